"""Files are found by whatever is known of them, page by page, and nobody's else."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from model_bakery import baker

from syncapp.engine import search as searching
from syncapp.engine import search_leads
from syncapp.engine.search import Deleted, Kind, Wanted, search
from syncapp.models import File, Source
from syncapp.types import Content
from tests.engine.finding import DAY, NOON, a_source, file, names, renamed, version


@pytest.fixture(autouse=True)
def _all_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_SECONDS", 60)


@pytest.fixture
def source(db: None) -> Source:
    return a_source()


def test_all_words_must_be_in_the_name_in_whatever_capitals_and_order(source: Source) -> None:
    for name in ("Tax Report 2024.pdf", "report.txt", "Steuerbescheid.pdf", "übergröße TAX report"):
        file(source, name)
    assert set(names(source, text="report TAX")) == {"Tax Report 2024.pdf", "übergröße TAX report"}
    assert names(source, text="bescheid") == ["Steuerbescheid.pdf"]
    assert names(source, text="ÜBERGRÖ") == ["übergröße TAX report"]
    assert names(source, text="report 24") == ["Tax Report 2024.pdf"]
    assert names(source, text="nothing like it") == []


def test_words_too_short_for_the_index_are_found_too(source: Source) -> None:
    for name in ("qi.txt", "other.txt", "日本語.txt"):
        file(source, name)
    assert names(source, text="QI") == ["qi.txt"]
    assert names(source, text="日本") == ["日本語.txt"]
    assert names(source, text="日本語") == ["日本語.txt"]


@pytest.mark.parametrize(
    "text",
    ['"', '"""', "a\"b OR name:x", "NEAR(a b)", "name : abc*", "100%_x", "\\%_", "z\0bc", "---",
     "' OR 1=1 --", "(((", "\ud800abc", "%%%", "___", "abc^2", "x" * 5000],
)  # fmt: skip
def test_whatever_is_typed_is_only_looked_for(source: Source, text: str) -> None:
    file(source, "innocent abc.txt")
    assert names(source, text=text) == []
    assert names(source, path=text) == []


def test_a_name_is_found_however_its_letters_are_composed(source: Source) -> None:
    composed, apart = "Caf\u00e9 Ti\u1ebfng.txt", "Cafe\u0301 Tie\u0302\u0301ng.txt"
    half = "Caf\u00e9 Ti\u00ea\u0301ng.txt"
    folder = file(source, "Cafe\u0301s", remote_id="d1", content=Content.FOLDER)
    for name in (composed, apart, half):
        one = file(source, name, "d1")
        renamed(one, f"now {one.pk}", NOON + DAY)
        file(source, name)
    assert sorted(names(source, text="caf\u00e9 ti\u1ebfng")) == sorted(2 * [composed, apart, half])
    assert sorted(names(source, text="CAFE\u0301 TIE\u0302\u0301NG")) == sorted(
        2 * [composed, apart, half]
    )
    assert names(source, text="Caf\u00e9s") == [folder.name]
    assert len(names(source, path="drive/CAF\u00c9S")) == 3
    assert names(source, text="e\u0301s") == [folder.name]


def test_words_too_short_for_the_index_are_found_in_former_names_too(source: Source) -> None:
    one = file(source, "qi.txt")
    version(one, 7)
    renamed(one, "other.txt", NOON + DAY)
    gone = file(source, "qi too.txt")
    renamed(gone, "something.txt", NOON + DAY)
    File.objects.filter(pk=gone.pk).update(trashed_at=NOON + DAY)
    assert sorted(names(source, text="QI", limit=1)) == ["qi too.txt", "qi.txt"]
    assert names(source, text="qi", larger=5) == ["qi.txt"]
    assert names(source, text="qi tx", deleted=Deleted.ONLY) == ["qi too.txt"]


def test_folders_come_first_and_a_thing_may_become_one(source: Source) -> None:
    file(source, "plan one", content=Content.FOLDER)
    other = file(source, "plan two")
    file(source, "plan three")
    assert names(source, text="plan") == ["plan one", "plan three", "plan two"]
    assert names(source, text="plan", kind=Kind.FOLDER) == ["plan one"]
    File.objects.filter(pk=other.pk).update(content=Content.FOLDER)
    assert names(source, text="plan", limit=1) == ["plan two", "plan one", "plan three"]
    other.delete()
    assert names(source, text="plan") == ["plan one", "plan three"]


def test_strangers_files_take_nothing_of_the_time(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger: Source = baker.make(Source, slug="stranger")
    own = file(source, "report.txt")
    renamed(own, "now.txt", NOON + DAY)
    for number in range(30):
        other = file(stranger, f"report {number}.txt")
        renamed(other, f"now {number}.txt", NOON + DAY)
    file(source, "my own report.txt")
    monkeypatch.setattr(searching, "MOST_LOOKED_AT", 4)
    for wanted in ({"text": "report"}, {"text": "re"}):
        page = search(Wanted([source.pk], **wanted))
        assert {hit.name for hit in page.hits} == {"report.txt", "my own report.txt"}
        assert (page.after, page.cut) == ("", False)


def test_a_path_of_too_many_folders_is_looked_for_among_everything(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_leads, "MOST_FOLDERS", 3)
    for number in range(6):
        file(source, f"year {number}", remote_id=f"d{number}", content=Content.FOLDER)
        file(source, f"in {number}.txt", f"d{number}")
    assert names(source, path="year", limit=1) == [f"in {n}.txt" for n in range(5, -1, -1)]
    assert names(source, path="year 3") == ["in 3.txt"]


def test_what_looks_like_a_pattern_is_found_as_it_is(source: Source) -> None:
    for name in ('100%_sure "so" (1).txt', "100 percent sure.txt"):
        file(source, name)
    assert names(source, text='100%_ "so" (1)') == ['100%_sure "so" (1).txt']


def test_a_renamed_file_is_found_by_its_former_name_too_and_once(source: Source) -> None:
    one = file(source, "draft one.txt")
    renamed(one, "draft two.txt", NOON + DAY)
    renamed(one, "draft three.txt", NOON + 2 * DAY)
    renamed(one, "final.txt", NOON + 3 * DAY)
    assert names(source, text="final") == ["final.txt"]
    assert names(source, text="draft", limit=1) == ["draft three.txt"]
    assert names(source, text="draft one") == ["draft one.txt"]
    renamed(one, "draft again.txt", NOON + 4 * DAY)
    assert names(source, text="draft") == ["draft again.txt"]


def test_the_index_follows_renames_and_removals(source: Source) -> None:
    one = file(source, "before.txt")
    File.objects.filter(pk=one.pk).update(name="afterwards.txt")
    assert names(source, text="before") == []
    assert names(source, text="afterwards") == ["afterwards.txt"]
    one.delete()
    assert names(source, text="afterwards") == []


def test_a_moment_has_the_names_and_files_of_then(source: Source) -> None:
    one = file(source, "draft.txt")
    renamed(one, "final draft.txt", NOON + DAY)
    file(source, "late draft.txt", first_seen_at=NOON + 5 * DAY, placed_at=NOON + 5 * DAY)
    lost = file(source, "lost draft.txt")
    renamed(lost, "lost draft.txt", NOON + 2 * DAY)
    File.objects.filter(pk=lost.pk).update(vanished_at=NOON + 2 * DAY)
    at = NOON + timedelta(hours=1)
    assert sorted(names(source, text="draft", at=at)) == ["draft.txt", "lost draft.txt"]
    assert names(source, text="final", at=at) == []
    after = NOON + 3 * DAY
    assert names(source, text="draft", at=after) == ["final draft.txt"]
    assert set(names(source, at=at)) == {"My Drive", "draft.txt", "lost draft.txt"}


def test_what_is_gone_is_found_left_out_or_wanted_alone(source: Source) -> None:
    file(source, "here.txt")
    file(source, "trashed.txt", trashed_at=NOON)
    file(source, "vanished.txt", vanished_at=NOON)
    assert set(names(source, text="txt")) == {"here.txt", "trashed.txt", "vanished.txt"}
    assert names(source, text="txt", deleted=Deleted.NO) == ["here.txt"]
    assert names(source, text="txt", deleted=Deleted.ONLY) == ["vanished.txt", "trashed.txt"]
    assert names(source, deleted=Deleted.ONLY, limit=1) == ["vanished.txt", "trashed.txt"]


def test_sizes_are_those_of_any_version_and_largest_come_first(source: Source) -> None:
    small, grown, big = (file(source, name) for name in ("small", "grown", "big"))
    version(small, 10)
    for size in (20, 3000, 2500, 40):
        version(grown, size)
    version(big, 9000)
    version(file(source, "unread"), None)
    assert names(source, larger=2000, limit=1) == ["big", "grown"]
    assert names(source, smaller=20) == ["grown", "small"]
    assert names(source, larger=2600, smaller=8000) == ["grown"]
    hit = search(Wanted([source.pk], larger=2000, smaller=2999)).hits[0]
    assert hit.version is not None
    assert hit.version.size == 2500
    assert names(source, larger=2000, at=NOON) == ["big", "grown"]
    grown.versions.filter(size__gt=2000).update(replaced_at=NOON)
    assert names(source, larger=2000, at=NOON) == ["big"]


def test_dates_are_those_of_any_version_and_must_fit_with_the_size(source: Source) -> None:
    one, other = file(source, "one"), file(source, "other")
    version(one, 10, NOON)
    version(one, 500, NOON + 9 * DAY)
    version(other, 10, NOON + 5 * DAY)
    assert names(source, since=NOON + DAY, limit=1) == ["one", "other"]
    assert names(source, until=NOON + 6 * DAY) == ["other", "one"]
    assert names(source, since=NOON + DAY, until=NOON + 6 * DAY) == ["other"]
    assert names(source, larger=100, until=NOON + DAY) == []
    assert names(source, text="one", larger=100, since=NOON + DAY) == ["one"]


def test_kinds_go_by_type(source: Source) -> None:
    for number, mime in enumerate(
        ("image/png", "image/jpeg", "application/pdf", "video/mp4", "application/zip")
    ):
        file(source, f"f{number}", mime_type=mime)
    assert set(names(source, kind=Kind.IMAGE, limit=1)) == {"f0", "f1"}
    assert names(source, kind=Kind.ARCHIVE) == ["f4"]
    assert names(source, kind=Kind.FOLDER) == ["My Drive"]
    assert names(source, kind=Kind.AUDIO) == []
    for number, mime in enumerate(("", "application/octet-stream", "application/x-shape")):
        file(source, f"other {number}", mime_type=mime)
    others = ["other 0", "other 1", "other 2"]
    assert sorted(names(source, kind=Kind.OTHER, limit=1)) == others
    assert sorted(names(source, kind=Kind.OTHER, deleted=Deleted.NO, text="other")) == others


def test_a_path_finds_what_lies_anywhere_below(source: Source) -> None:
    for remote_id, parent, name in (
        ("d1", "root", "Projects"), ("d2", "d1", "2024"), ("d3", "root", "2024"),
    ):  # fmt: skip
        file(source, name, parent, remote_id=remote_id, content=Content.FOLDER)
    for parent in ("d1", "d2", "d3"):
        file(source, f"in {parent}.txt", parent)
    assert set(names(source, path="projects")) == {"2024", "in d1.txt", "in d2.txt"}
    assert names(source, path="Projects/2024/") == ["in d2.txt"]
    assert set(names(source, path="2024", limit=1)) == {"in d2.txt", "in d3.txt"}
    assert names(source, text="txt", path="Drive/2024") == ["in d3.txt"]
    assert search(Wanted([source.pk], path="Projects/2024")).hits[0].folder == (
        "My Drive/Projects/2024"
    )


def test_only_the_sources_asked_are_searched(source: Source) -> None:
    other: Source = baker.make(Source, owner=source.owner, account__user=source.owner, slug="bob")
    theirs = file(other, "mine or yours.txt")
    version(theirs, 5000)
    file(source, "mine or yours.txt")
    wishes: list[dict[str, Any]] = [
        {"text": "yours"}, {"larger": 1}, {"kind": Kind.DOCUMENT}, {}, {"path": "Drive"},
        {"since": NOON - DAY}, {"deleted": Deleted.ONLY},
    ]  # fmt: skip
    for wanted in wishes:
        hits = search(Wanted([source.pk], **wanted)).hits
        assert {hit.file.source_id for hit in hits} <= {source.pk}
    both = search(Wanted([source.pk, other.pk], kind=Kind.DOCUMENT), limit=1)
    assert both.hits[0].file.source_id == source.pk
    more = search(Wanted([source.pk, other.pk], kind=Kind.DOCUMENT), both.after)
    assert [hit.file.pk for hit in more.hits] == [theirs.pk]


def test_a_page_looks_at_so_much_and_says_where_to_go_on(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MOST_LOOKED_AT", 20)
    monkeypatch.setattr(searching, "_FIRST_BATCH", 5)
    monkeypatch.setattr(searching, "_BATCH", 10)
    wanted = file(source, "the one.txt", mime_type="image/png")
    for number in range(60):
        file(source, f"f{number}.txt")
    page = search(Wanted([source.pk], text="txt", kind=Kind.IMAGE))
    assert not page.hits
    assert page.after
    assert page.cut
    assert page.looked_at < 40
    assert names(source, text="txt", kind=Kind.IMAGE) == [wanted.name]


def test_a_page_ends_in_time(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_SECONDS", 0)
    for number in range(3):
        file(source, f"f{number}.txt", mime_type="text/plain" if number else "image/png")
    monkeypatch.setattr(searching, "_FIRST_BATCH", 1)
    wanted = Wanted([source.pk], text="txt", kind=Kind.IMAGE)
    page, looked_at = search(wanted), 0
    while page.cut and not page.hits and looked_at < 9:
        looked_at += page.looked_at
        page = search(wanted, page.after)
    assert looked_at == 2
    assert [hit.name for hit in page.hits] == ["f0.txt"]


@pytest.mark.parametrize("key", ["", "0", "1", "00000000000000000001", None, 5])
@pytest.mark.parametrize("value", [0, 2**70, "x", "2026-01-01", NOON.isoformat(), None, [], 1e400])
def test_a_place_that_nobody_gave_breaks_nothing(source: Source, key: Any, value: Any) -> None:
    version(file(source, "some.txt"), 5)
    wishes: dict[str, dict[str, Any]] = {
        "name": {"text": "some"}, "size": {"larger": 1}, "date": {"since": NOON - DAY}
    }  # fmt: skip
    for lead, wanted in wishes.items():
        for led in (lead, "gone", None):
            raw = base64.urlsafe_b64encode(json.dumps([led, key, value, 7]).encode()).decode()
            search(Wanted([source.pk], **wanted), raw)
    for junk in ("ü", "====", "e30", raw[:-3], "bnVsbA"):
        assert len(search(Wanted([source.pk], text="some"), junk).hits) == 1


def test_a_page_costs_the_same_few_queries_for_any_number_of_hits(source: Source) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            search(Wanted([source.pk], text="file", larger=1, path="Drive"))
        return len(queries)

    version(file(source, "file 0"), 5)
    before = count()
    for number in range(40):
        version(file(source, f"file {number + 1}"), 5)
    assert count() <= before
