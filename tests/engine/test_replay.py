"""Change logs into the catalog: the same as a whole listing would write, and no more."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from model_bakery import baker

from syncapp.engine.absorb import Absorber, Counts
from syncapp.engine.replay import replay
from syncapp.engine.scan import scan
from syncapp.errors import CursorRejected, TransientError
from syncapp.models import Copy, File, Run, ScanProgress, Source, Version
from tests.engine.paged_reader import PagedReader, blob, folder
from tests.engine.test_scan import ROOT, due_to_move, listed, row, source, store_everything

__all__ = ["source"]
DRIVES = folder("~shared-drives", "", "Shared drives")


def replayed(source: Source, reader: PagedReader) -> Counts:
    source.refresh_from_db()
    absorber = Absorber(source, source.planned_for)
    replay(absorber, reader, lambda: None)
    return absorber.counts


def gone(source: Source) -> set[str]:
    return set(File.objects.exclude(vanished_at=None).values_list("remote_id", flat=True))


@pytest.mark.parametrize("files", [5, 50])
def test_a_replay_of_nothing_touches_the_source_alone(source: Source, files: int) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(files)))
    listed(source, reader)
    with CaptureQueriesContext(connection) as queries:
        counts = replayed(source, reader)
    assert counts.seen == 0
    assert reader.listings == 1
    updates = [q["sql"] for q in queries if q["sql"].startswith(("UPDATE", "INSERT", "DELETE"))]
    assert [sql.split()[1] for sql in updates] == ['"syncapp_source"']
    assert len(queries) == 2
    source.refresh_from_db()
    assert source.polled_at is not None


def test_new_edited_renamed_and_deleted_files_are_in_the_catalog(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(6)))
    listed(source, reader)
    store_everything(source)
    reader.put(blob("new"))
    reader.change("f1", revision="2")
    reader.change("f2", name="renamed.bin")
    reader.remove("f3")
    reader.change("f4", trashed=True)
    counts = replayed(source, reader)
    assert (counts.new, counts.changed, counts.vanished) == (1, 2, 2)
    assert gone(source) == {"f3"}
    assert due_to_move(source) == {"f2", "f3", "f4"}
    waiting = Version.objects.filter(state="pending").values_list("file__remote_id", flat=True)
    assert set(waiting) == {"new", "f1"}
    assert Copy.objects.filter(state="pending").count() == 4
    source.refresh_from_db()
    assert source.cursor == reader.start_cursor()


def test_removed_never_touches_a_copy(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a"))
    listed(source, reader)
    store_everything(source)
    reader.remove("a")
    replayed(source, reader)
    assert gone(source) == {"a"}
    assert Copy.objects.filter(state="stored").count() == 2


@pytest.mark.parametrize("first", ["user", "drive"])
def test_a_move_into_a_shared_drive_is_no_deletion(source: Source, first: str) -> None:
    drive = folder("D", "~shared-drives", drive_id="D")
    reader = PagedReader.of(ROOT, DRIVES, drive, blob("a"))
    listed(source, reader)
    store_everything(source)
    inside = replace(reader.items["a"], parent_id="D", drive_id="D")
    if first == "user":
        reader.remove("a")
        reader.put(inside)
    else:
        reader.put(inside)
        reader.log.append(("user", "a", None, ""))
    reader.page_size = 1
    replayed(source, reader)
    assert gone(source) == set()
    assert row(source, "a").drive_id == "D"
    assert due_to_move(source) == {"a"}
    assert not Version.objects.filter(state="pending").exists()


def test_the_log_of_another_drive_says_nothing_of_a_file(source: Source) -> None:
    drives = [folder(d, "~shared-drives", drive_id=d) for d in ("D", "E")]
    reader = PagedReader.of(ROOT, DRIVES, *drives, blob("a", parent="E", drive_id="E"), blob("u"))
    listed(source, reader)
    reader.log += [("D", "a", None, ""), ("D", "u", None, ""), ("user", "a", None, "")]
    replayed(source, reader)
    assert gone(source) == set()


def test_a_file_of_a_foreign_drive_belongs_to_the_users_log(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a", drive_id="foreign"))
    listed(source, reader)
    reader.remove("a")
    replayed(source, reader)
    assert gone(source) == {"a"}


def test_of_a_drive_that_was_left_everything_has_vanished(source: Source) -> None:
    drive = folder("D", "~shared-drives", drive_id="D")
    inside = [blob(f"d{n}", parent="D", drive_id="D") for n in range(4)]
    reader = PagedReader.of(ROOT, DRIVES, drive, *inside, blob("u"))
    listed(source, reader)
    store_everything(source)
    reader.leave("D")
    counts = replayed(source, reader)
    assert counts.vanished == 4
    assert gone(source) == {"D", "d0", "d1", "d2", "d3"}
    assert Copy.objects.filter(state="stored").count() == 10


def test_a_rejected_cursor_changes_nothing(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("a"))
    listed(source, reader)
    reader.change("a", revision="2")
    reader.oldest = 1
    before = source.cursor
    with pytest.raises(CursorRejected):
        replayed(source, reader)
    source.refresh_from_db()
    assert source.cursor == before


def test_a_replay_that_dies_at_any_page_goes_on_from_there(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(10)))
    listed(source, reader)
    for n in range(10):
        reader.change(f"f{n}", revision="2")
    reader.dies_after = 1  # each time one page further
    written = 0
    for _ in range(3):
        with pytest.raises(TransientError):
            replayed(source, reader)
        source.refresh_from_db()
        current = Version.objects.filter(revision="2", current=True).count()
        assert current == source.cursor["at"] == written + 3
        written = current
    reader.dies_after = None
    assert replayed(source, reader).changed == 1
    assert Version.objects.filter(revision="2", current=True).count() == 10


def test_a_new_file_in_a_folder_that_is_told_of_later_finds_its_place(source: Source) -> None:
    reader = PagedReader.of(ROOT, folder("~orphans", "", "Orphans"), page_size=1)
    listed(source, reader)
    reader.put(blob("a", parent="late"))
    reader.put(folder("late"))
    replayed(source, reader)
    assert row(source, "late").parent_id == "root"
    assert row(source, "late").fingerprint


@pytest.mark.parametrize("seed", range(12))
def test_a_log_leads_to_what_a_listing_would_have_found(source: Source, seed: int) -> None:
    rng = random.Random(seed)
    drive = folder("D", "~shared-drives", drive_id="D")
    folders = [folder(f"d{n}") for n in range(4)]
    reader = PagedReader.of(ROOT, DRIVES, drive, *folders, *(blob(f"f{n}") for n in range(12)))
    listed(source, reader)
    store_everything(source)
    for step in range(3):
        for n in range(rng.randrange(12)):
            _act(rng, reader, f"new{step}-{n}")
        replayed(source, reader)
    drift: set[str] = set()
    run = baker.make(Run, source=source, ended_at=timezone.now())
    scan(run, Absorber(source, source.planned_for), reader, lambda: None, drift)
    assert drift == set()
    alive = File.objects.filter(vanished_at=None).values_list("remote_id", flat=True)
    assert set(alive) == set(reader.items)


def _act(rng: random.Random, reader: PagedReader, fresh: str) -> None:
    files = [i for i in reader.items.values() if i.content == "blob"]
    target = rng.choice(files)
    drives = {"root": "", "d0": "", "d1": "", "d2": "", "D": "D"}
    parent = rng.choice(list(drives))
    match rng.randrange(6):
        case 0:
            reader.put(blob(fresh, parent=parent, drive_id=drives[parent]))
        case 1:
            reader.change(target.remote_id, revision=fresh)
        case 2:
            reader.change(target.remote_id, name=rng.choice(["same", fresh]))
        case 3 if len(files) > 2:
            reader.remove(target.remote_id, scope=target.drive_id or "user")
        case 4:
            if drives[parent] != target.drive_id:
                reader.log.append((target.drive_id or "user", target.remote_id, None, ""))
            reader.change(target.remote_id, parent_id=parent, drive_id=drives[parent])
        case _:
            reader.change("d0", name=fresh, parent_id=rng.choice(["root", "d3"]))


def test_what_no_log_told_of_is_drift_and_what_changes_meanwhile_is_not(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(12)))
    listed(source, reader)
    reader.change("f1", revision="2")  # the log tells
    reader.change("f2", revision="2", logged=False)
    reader.change("f3", metadata={"starred": True}, logged=False)  # no log would tell
    reader.remove("f4", logged=False)
    reader.put(blob("unseen"), logged=False)

    def meanwhile() -> None:
        if "f6" in reader.items and "f0" in reader.listed:
            reader.change("f5", name=f"renamed {len(reader.log)}")
            reader.remove("f6")

    source.refresh_from_db()
    reader.listed.clear()
    drift: set[str] = set()
    run = baker.make(Run, source=source, ended_at=timezone.now())
    scan(run, Absorber(source, source.planned_for), reader, meanwhile, drift)
    assert drift == {"f2", "f4", "unseen"}
    assert gone(source) == {"f4", "f6"}


def trashed(source: Source) -> set[str]:
    return set(File.objects.exclude(trashed_at=None).values_list("remote_id", flat=True))


def test_what_lies_below_a_folder_in_the_trash_is_there_too_and_comes_back(source: Source) -> None:
    reader = PagedReader.of(
        ROOT, folder("a"), folder("b", "a"), blob("x", parent="b"), blob("y", parent="a"), blob("z")
    )
    listed(source, reader)
    below = ["b", "x", "y"]
    for item in below:
        reader.change(item, trashed=True, logged=False)
    reader.change("a", trashed=True)
    assert replayed(source, reader).seen == 2
    assert trashed(source) == {"a", *below}
    for item in below:
        reader.change(item, trashed=False, logged=False)
    reader.change("a", trashed=False)
    replayed(source, reader)
    assert trashed(source) == set()
    assert Version.objects.filter(state=Version.State.PENDING).count() == 3


def test_file_first_seen_in_the_trash_is_backed_up_once_its_folder_comes_back(
    source: Source,
) -> None:
    reader = PagedReader.of(ROOT, folder("a", trashed=True), blob("x", parent="a", trashed=True))
    listed(source, reader)
    reader.change("x", trashed=False, logged=False)
    reader.change("a", trashed=False)
    replayed(source, reader)
    assert Version.objects.get().state == Version.State.PENDING


def test_nothing_is_looked_for_below_a_folder_that_was_only_renamed(source: Source) -> None:
    reader = PagedReader.of(ROOT, folder("a"), blob("x", parent="a"))
    listed(source, reader)
    reader.change("x", trashed=True, logged=False)
    reader.change("a", name="another")
    replayed(source, reader)
    assert trashed(source) == set()


def test_replay_that_dies_below_a_folder_looks_there_again(source: Source) -> None:
    reader = PagedReader.of(ROOT, folder("a"), blob("x", parent="a"))
    listed(source, reader)
    reader.change("x", trashed=True, logged=False)
    reader.change("a", trashed=True)

    def dies() -> None:
        raise TransientError("The worker died.")

    source.refresh_from_db()
    with pytest.raises(TransientError):
        replay(Absorber(source, []), reader, dies)
    replayed(source, reader)
    assert trashed(source) == {"a", "x"}


def test_a_recovered_file_that_no_listing_names_has_vanished(source: Source) -> None:
    """`adoption` makes such rows: without a fingerprint, but no folder."""
    listed(source, PagedReader.of(ROOT, blob("a")))
    baker.make(File, source=source, remote_id="b", parent_id="root", content="blob", name="b")
    listed(source, PagedReader.of(ROOT, blob("a")))
    assert row(source, "b").vanished_at is not None


def test_a_listing_whose_change_log_is_lost_meanwhile_begins_again(source: Source) -> None:
    reader = PagedReader.of(ROOT, *(blob(f"f{n}") for n in range(8)))
    run = baker.make(Run, source=source, ended_at=timezone.now())

    def on_page() -> None:
        reader.put(blob("new"))
        reader.oldest = len(reader.log)

    with pytest.raises(CursorRejected):
        scan(run, Absorber(source), reader, on_page)
    assert not ScanProgress.objects.exists()
    listed(source, reader, run)
    assert row(source, "new").vanished_at is None
