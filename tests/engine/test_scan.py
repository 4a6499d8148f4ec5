"""A whole listing into the catalog: what it writes, and what it must not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from model_bakery import baker

from accounts.models import User
from syncapp.engine import planning, progress
from syncapp.engine.absorb import Absorber, Counts
from syncapp.engine.folders import Folders
from syncapp.engine.scan import Stopped, scan
from syncapp.errors import Interrupted, TransientError, Unavailable
from syncapp.models import Copy, Destination, File, Run, ScanProgress, Source, Version
from syncapp.types import Content
from tests.engine.paged_reader import PagedReader, blob, folder

ROOT = folder("root", "", "My Drive")
WRITTEN = re.compile(r'^(?:UPDATE|INSERT INTO|DELETE FROM) "(\w+)"')


@pytest.fixture
def source(db: None) -> Source:
    owner = baker.make(User)
    made = baker.make(Source, owner=owner, account__user=owner, slug="ada", planned_for=[])
    made.destinations.add(*baker.make(Destination, 2, owner=owner, kind="local"))
    return made


def listed(source: Source, reader: PagedReader, run: Run | None = None) -> Counts:
    """A scan as a run makes it, the plan included."""
    source.refresh_from_db()
    run = run or baker.make(Run, source=source, ended_at=timezone.now())
    wanted = planning.wanted_destinations(source)
    absorber = Absorber(source, wanted)
    scan(run, absorber, reader, lambda: None)
    planning.plan_copies(run, wanted)
    return absorber.counts


def store_everything(source: Source) -> None:
    """As if its transfers had been made, under the keys that are right now."""
    folders = Folders(source.pk)
    for copy in Copy.objects.filter(version__source=source, state="pending"):
        file = copy.version.file
        key = "/".join([*folders.components(file.parent_id), file.key_name])
        Copy.objects.filter(pk=copy.pk).update(
            state="stored", object_key=key, stored_at=timezone.now()
        )
    Version.objects.filter(source=source, state="pending").update(state="stored")


def due_to_move(source: Source) -> set[str]:
    return set(
        File.objects.filter(source=source, move_due=True).values_list("remote_id", flat=True)
    )


def row(source: Source, remote_id: str) -> File:
    return File.objects.get(source=source, remote_id=remote_id)


def test_a_first_scan_plans_a_copy_of_each_file_for_each_destination(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(7)))
    counts = listed(source, reader)
    assert (counts.seen, counts.new, counts.changed, counts.vanished) == (7, 7, 0, 0)
    assert Copy.objects.filter(version__source=source, state="pending").count() == 14
    assert source.planned_for == planning.wanted_destinations(source)
    assert source.cursor == reader.start_cursor()


def test_copies_are_planned_with_their_page(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(7)), dies_after=2)
    with pytest.raises(TransientError):
        listed(source, reader)
    assert Version.objects.count() == 5
    assert Copy.objects.count() == 10


def test_what_is_unchanged_is_neither_translated_nor_written(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(9)))
    listed(source, reader)
    reader.translated.clear()
    run = baker.make(Run, source=source, ended_at=timezone.now())
    absorber = Absorber(source, source.planned_for)
    with CaptureQueriesContext(connection) as queries:
        scan(run, absorber, reader, lambda: None)
    counts = absorber.counts
    assert reader.translated == []
    assert (counts.seen, counts.new, counts.changed) == (9, 0, 0)
    touched = {sql for q in queries for sql in WRITTEN.findall(q["sql"])}
    assert touched == {"syncapp_source", "syncapp_scanprogress"}


def test_only_what_changed_is_translated(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(9)))
    listed(source, reader)
    reader.translated.clear()
    reader.change("f4", revision="2")
    reader.put(blob("new"))
    counts = listed(source, reader)
    assert set(reader.translated) == {"f4", "new"}
    assert (counts.new, counts.changed) == (1, 1)
    assert Version.objects.get(file__remote_id="f4", current=True).revision == "2"


def test_an_item_that_only_looks_different_gets_its_new_mark_and_nothing_else(
    source: Source,
) -> None:
    reader = PagedReader.of(ROOT, blob("a"))
    listed(source, reader)
    first = row(source, "a")
    File.objects.filter(pk=first.pk).update(mark=7)
    assert listed(source, reader).changed == 0
    again = row(source, "a")
    assert (again.mark, again.fingerprint) == (first.mark, first.fingerprint)


def test_pages_that_are_not_trusted_are_compared_by_what_they_mean(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a"), blob("b"))
    listed(source, reader)
    reader.translated.clear()
    reader.tree = "another"
    reader.change("b", name="renamed")
    counts = listed(source, reader)
    assert set(reader.translated) == {"root", "a", "b"}
    assert (counts.new, counts.changed) == (0, 1)


def test_what_is_not_listed_has_vanished_and_keeps_its_copies(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(5)))
    listed(source, reader)
    store_everything(source)
    reader.remove("f1", "f3")
    counts = listed(source, reader)
    assert counts.vanished == 2
    gone = File.objects.exclude(vanished_at=None).values_list("remote_id", flat=True)
    assert set(gone) == {"f1", "f3"}
    assert Copy.objects.filter(state="stored").count() == 10
    assert listed(source, reader).vanished == 0


def test_what_vanished_before_it_was_stored_is_not_waited_for(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a"), blob("b"))
    listed(source, reader)
    reader.remove("a")
    listed(source, reader)
    assert Version.objects.get(file__remote_id="a").state == "superseded"
    assert not Copy.objects.filter(version__file__remote_id="a").exists()


def test_what_comes_back_is_planned_for_destinations_that_came_in_between(
    source: Source,
) -> None:
    reader = PagedReader.of(ROOT, blob("a"), blob("b"))
    listed(source, reader)
    store_everything(source)
    gone = reader.items["a"]
    reader.remove("a")
    listed(source, reader)
    source.destinations.add(baker.make(Destination, owner=source.owner, kind="local"))
    listed(source, reader)
    assert Copy.objects.filter(state="pending").count() == 1
    reader.put(gone)
    listed(source, reader)
    back = Version.objects.get(file__remote_id="a")
    assert back.state == "pending"
    assert sorted(back.copies.values_list("state", flat=True)) == ["pending", "stored", "stored"]


@pytest.mark.parametrize("page", range(5))
def test_a_listing_that_breaks_off_marks_nothing_as_vanished(source: Source, page: int) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(11)))
    listed(source, reader)
    before = source.cursor
    reader.remove("f0", "f5")
    reader.put(blob("new"))
    reader.dies_after = page
    with pytest.raises(TransientError):
        listed(source, reader)
    source.refresh_from_db()
    assert source.cursor == before
    assert not File.objects.exclude(vanished_at=None).exists()
    reader.dies_after = None
    assert listed(source, reader).vanished == 2
    alive = File.objects.filter(vanished_at=None).values_list("remote_id", flat=True)
    assert set(alive) == set(reader.items)


def test_a_renamed_folder_makes_all_that_is_stored_below_due_to_move(source: Source) -> None:
    reader = PagedReader.of(
        ROOT, folder("top"), folder("mid", "top"), folder("beside"),
        blob("a", parent="top"), blob("b", parent="mid"), blob("c", parent="beside"),
        blob("waiting", parent="mid"),
    )  # fmt: skip
    listed(source, reader)
    Copy.objects.filter(version__file__remote_id="waiting").delete()
    store_everything(source)
    reader.change("top", name="renamed")
    listed(source, reader)
    assert due_to_move(source) == {"a", "b"}
    assert row(source, "top").key_name == "renamed"


def test_a_moved_or_renamed_file_is_due_to_move_and_not_read_again(source: Source) -> None:
    reader = PagedReader.of(ROOT, folder("f"), blob("a"), blob("b"), blob("c"))
    listed(source, reader)
    store_everything(source)
    reader.change("a", parent_id="f")
    reader.change("b", name="renamed.bin")
    reader.change("c", metadata={"starred": True})
    listed(source, reader)
    assert due_to_move(source) == {"a", "b"}
    assert not Version.objects.filter(state="pending").exists()


def test_a_file_that_is_not_stored_anywhere_has_nothing_to_move(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a"))
    listed(source, reader)
    reader.change("a", name="renamed.bin")
    listed(source, reader)
    assert due_to_move(source) == set()


def test_siblings_of_one_name_are_held_apart_across_pages(source: Source) -> None:
    same = [blob(f"f{n}", name="Same.txt") for n in range(7)]
    listed(source, PagedReader.of(ROOT, *same, folder("d", name="same.TXT")))
    folds = list(File.objects.filter(parent_id="root").values_list("key_fold", flat=True))
    assert len(set(folds)) == len(folds) == 8


def test_siblings_may_swap_their_names(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a", name="one"), blob("b", name="two"))
    listed(source, reader)
    reader.change("a", name="two")
    reader.change("b", name="one")
    listed(source, reader)
    assert (row(source, "a").key_name, row(source, "b").key_name) == ("two", "one")


@pytest.mark.parametrize("newcomer", ["a-new", "z-new"])
def test_a_newcomer_may_have_the_name_of_a_file_that_moves_away_in_the_same_page(
    source: Source, newcomer: str
) -> None:
    reader = PagedReader.of(ROOT, folder("f"), blob("m", name="name"), page_size=10)
    listed(source, reader)
    away = replace(reader.items.pop("m"), parent_id="f")
    both = sorted([blob(newcomer, name="name"), away], key=lambda file: file.remote_id)
    reader.put(*both)
    listed(source, reader)
    assert (row(source, newcomer).key_name, row(source, "m").key_name) == ("name", "name")


def test_a_file_whose_folder_is_not_listed_lies_below_the_orphans(source: Source) -> None:
    reader = PagedReader.of(ROOT, folder("~orphans", "", "Orphans"), blob("a", parent="lost"))
    assert listed(source, reader).vanished == 0
    assert Folders(source.pk).path("lost", "a.bin") == "Orphans/lost/a.bin"
    assert row(source, "a").parent_id == "lost"
    store_everything(source)
    listed(source, reader)
    assert row(source, "lost").vanished_at is None
    assert due_to_move(source) == set()


def test_an_orphan_goes_back_when_its_folder_appears(source: Source) -> None:
    reader = PagedReader.of(ROOT, folder("~orphans", "", "Orphans"), blob("a", parent="lost"))
    listed(source, reader)
    store_everything(source)
    reader.put(folder("lost", name="Found"))
    listed(source, reader)
    assert Folders(source.pk).path("lost", "a.bin") == "My Drive/Found/a.bin"
    assert due_to_move(source) == {"a"}


def test_what_google_no_longer_gives_leaves_the_work_and_comes_back(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a"))
    listed(source, reader)
    plain = reader.items["a"]
    reader.put(replace(plain, problem="cannot_download"))
    listed(source, reader)
    version = Version.objects.get(file__remote_id="a")
    assert version.state == "refused"
    assert not version.copies.exists()
    reader.put(plain)
    listed(source, reader)
    version.refresh_from_db()
    assert version.state == "pending"
    assert version.copies.count() == 2


def test_a_revision_that_comes_back_is_the_version_that_it_was(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a"))
    listed(source, reader)
    store_everything(source)
    reader.change("a", revision="2")
    listed(source, reader)
    reader.change("a", revision="1")
    listed(source, reader)
    states = {v.revision: (v.current, v.state) for v in Version.objects.all()}
    assert states == {"1": (True, "stored"), "2": (False, "superseded")}


def test_the_same_item_twice_in_a_listing_counts_as_its_last(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a"))
    twice = [ROOT, blob("a"), blob("a", name="moved.bin")]
    reader.items = dict(enumerate(twice))  # type: ignore[arg-type]
    listed(source, reader)
    assert row(source, "a").name == "moved.bin"
    assert listed(source, reader).vanished == 0


def test_folders_and_unreadable_items_get_no_version(source: Source) -> None:
    site = blob("s", content=Content.UNSUPPORTED, problem="not_exportable")
    listed(source, PagedReader.of(ROOT, site, blob("t", trashed=True)))
    assert not Version.objects.exists()
    assert row(source, "t").problem == "in_trash"


@pytest.mark.parametrize("fault", [Unavailable, Stopped, Interrupted])
def test_a_listing_that_is_cut_off_goes_on_where_it_was(
    source: Source, fault: type[TransientError]
) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(11)))
    listed(source, reader)
    reader.remove("f0", "f9", logged=False)
    run = baker.make(Run, source=source, ended_at=timezone.now())
    reader.listed.clear()
    reader.fault, reader.dies_after = fault, 2
    with pytest.raises(fault):
        listed(source, reader, run)
    reader.dies_after = None
    counts = listed(source, reader, run)
    assert reader.listed == list(reader.items)
    assert (counts.seen, counts.vanished) == (9, 2)
    assert not ScanProgress.objects.exists()


def test_a_worker_that_dies_loses_only_what_was_not_kept_yet(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(11)))
    listed(source, reader)
    reader.remove("f0", "f9", logged=False)
    run = baker.make(Run, source=source, ended_at=timezone.now())
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    reader.listed.clear()
    absorber = Absorber(source)
    pages = iter(range(2))
    monkeypatch.setattr(progress.Progress, "drop", lambda _: None)  # nothing runs after a kill
    with pytest.raises(StopIteration):
        scan(run, absorber, reader, lambda: next(pages) and None)
    assert ScanProgress.objects.get().after == {"at": 9}
    monkeypatch.undo()
    assert listed(source, reader, run).vanished == 2
    assert reader.listed == list(reader.items)


def test_a_listing_that_is_not_whole_begins_again(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(8)), dies_after=2)
    run = baker.make(Run, source=source, ended_at=timezone.now())
    with pytest.raises(TransientError):
        listed(source, reader, run)
    assert not ScanProgress.objects.exists()


def test_what_moves_within_the_listing_while_it_is_read_is_not_taken_for_gone(
    source: Source,
) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(8)))
    listed(source, reader)
    run = baker.make(Run, source=source, ended_at=timezone.now())

    def jump() -> None:
        """The last file is edited, and comes first from now on."""
        if "f7" not in reader.listed and next(iter(reader.items)) != "f7":
            edited = replace(reader.items.pop("f7"), revision="2")
            reader.items = {"f7": edited, **reader.items}
            reader.log.append(("user", "f7", edited, ""))

    absorber = Absorber(source, source.planned_for)
    reader.listed.clear()
    scan(run, absorber, reader, jump)
    assert "f7" not in reader.listed
    assert absorber.counts.vanished == 0
    assert Version.objects.get(file__remote_id="f7", current=True).revision == "2"
