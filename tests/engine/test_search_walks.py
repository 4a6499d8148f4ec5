"""The walks along the indexes of names, on either database, however small their steps."""

from __future__ import annotations

import pytest
from django.db import connection

from syncapp.engine import search as searching
from syncapp.engine import search_leads, search_walks
from syncapp.engine.search import Wanted, search
from syncapp.models import File, Place, Source
from syncapp.types import Content
from tests.engine.finding import DAY, NOON, a_source, file, names, renamed


@pytest.fixture(autouse=True)
def _all_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_SECONDS", 60)
    monkeypatch.setattr(search_walks, "MOST_MS", 60_000)


@pytest.fixture
def source(db: None) -> Source:
    return a_source()


@pytest.mark.database("sqlite")
def test_a_walk_by_name_goes_stretch_by_stretch(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_walks, "_STRETCH", 2)
    monkeypatch.setattr(search_walks, "_BRISK", 0)
    wanted = [file(source, f"wanted {number}.txt") for number in range(2)]
    for number in range(9):
        file(source, f"f{number}.txt")
    assert names(source, text="wanted") == [wanted[1].name, wanted[0].name]
    monkeypatch.setattr(searching, "MOST_SECONDS", 0)
    page = search(Wanted([source.pk], text="wanted"))
    assert (page.hits, page.cut) == ([], True)
    assert names(source, text="wanted", limit=1) == [wanted[1].name, wanted[0].name]


@pytest.mark.database("postgresql")
def test_an_index_that_takes_too_long_is_given_up_for_the_rows(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = file(source, "wanted folder", content=Content.FOLDER, remote_id="d1")
    two = file(source, "wanted file.txt", "d1")
    renamed(file(source, "wanted once"), "other", NOON + DAY)
    for number in range(5):
        file(source, f"f{number}.txt")
    monkeypatch.setattr(search_walks, "_timed", lambda sql, given: None)
    monkeypatch.setattr(search_walks, "_ROWS", 2)
    for limit in (1, 50):
        assert names(source, text="wanted", limit=limit) == [one.name, two.name, "wanted once"]
    assert names(source, path="wanted") == [two.name]


@pytest.mark.database("postgresql")
def test_a_question_to_postgresql_is_cut_off_in_time(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_walks, "MOST_MS", 50)
    assert search_walks._timed("SELECT pg_sleep(%s)", [5]) is None
    assert search_walks._timed("SELECT %s::int", [5]) == [(5,)]
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_rows_are_found_by_name_so_many_at_most(source: Source) -> None:
    made = [file(source, f"wanted {number}.txt") for number in range(3)]
    renamed(made[0], "other", NOON + DAY)
    both = [made[2].pk, made[1].pk]
    look = search_leads.found_by_name
    assert look(File, [source.pk], "WANTED", 50, 60) == (both, True)
    assert look(File, [source.pk], "wanted", 1, 60) == (both[:1], False)
    assert look(Place, [source.pk], "wanted", 50, 60)[0] == [Place.objects.get().pk]
    assert look(File, [], "wanted", 50, 60) == ([], True)
