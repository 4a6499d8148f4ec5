"""The catalog beside the data: nothing that changed is forgotten, everywhere the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import recovery_plan, runs, segment_store, segment_turns, segments
from syncapp.engine.adapters import destination_for
from syncapp.engine.segment_format import PartReader
from syncapp.models import Change, Copy, Destination, File, Run, Segment, SegmentTurn, Version
from syncapp.types import JsonObject
from tests.engine.conftest import Setting


def content(destination: Destination) -> dict[str, JsonObject]:
    """The catalog as the segments at a destination have it: a line a file."""
    store = destination_for(destination)
    found = recovery_plan.sources(store)
    state: dict[str, JsonObject] = {}
    for slug, there in found.items():
        chain = recovery_plan.chain(store, slug, there)
        assert chain.notes == []
        for segment in chain.segments:
            for name in segment.names:
                with store.read(name.key) as chunks:
                    for line in PartReader(chunks).lines():
                        if "gone" in line:
                            state.pop(line["gone"], None)
                        else:
                            state[line["file"]] = line
    return state


def names(setting: Setting, destination: Destination) -> list[tuple[int, str]]:
    store = destination_for(destination)
    return sorted((n.number, n.kind) for n in segment_store.names(store, "drive"))


def catalog(setting: Setting) -> dict[str, list[str]]:
    """Of each file, the hashes of its stored versions."""
    files = {f.pk: f.remote_id for f in File.objects.filter(source=setting.source)}
    found: dict[str, list[str]] = {remote_id: [] for remote_id in files.values()}
    for file_id, sha256 in Version.objects.order_by("pk").values_list("file_id", "sha256"):
        found[files[file_id]].append(sha256)
    return found


def told(state: dict[str, JsonObject]) -> dict[str, list[str]]:
    return {
        remote_id: [v.get("sha256", "") for v in line.get("versions", [])]
        for remote_id, line in state.items()
    }


def test_after_a_backup_every_destination_has_the_whole_catalog(few: Setting) -> None:
    few.back_up()
    segments.write(few.source.pk)
    for destination in (few.folder, few.bucket):
        state = content(destination)
        assert told(state) == catalog(few)
        keys = {c["key"] for f in state.values() for v in f.get("versions", []) for c in v["copies"]
                if c["to"] == destination.pk}  # fmt: skip
        assert keys == set(
            Copy.objects.filter(destination=destination).values_list("object_key", flat=True)
        )
        assert names(few, destination) == [(1, "full")]
    assert not Change.objects.exists()
    assert not segment_turns.something_to_write(few.source.pk)


def test_an_edit_a_rename_and_a_removal_come_as_one_small_delta(few: Setting) -> None:
    few.back_up()
    segments.write(few.source.pk)
    edited, renamed, removed = File.objects.filter(content="blob").order_by("pk")[:3]
    few.control.edit(edited.remote_id, b"new content")
    few.control.rename(renamed.remote_id, "another name.txt")
    few.back_up()
    Copy.objects.filter(version__file=removed).delete()
    Version.objects.filter(file=removed).delete()
    removed.delete()
    segments.write(few.source.pk)
    for destination in (few.folder, few.bucket):
        assert names(few, destination) == [(1, "full"), (2, "delta")]
        state = content(destination)
        assert told(state) == catalog(few)
        assert removed.remote_id not in state
        assert state[renamed.remote_id]["name"] == "another name.txt"
    delta = Segment.objects.get(number=2)
    assert delta.lines == 3
    assert not Change.objects.exists()


def test_a_destination_that_missed_a_delta_gets_a_whole_catalog(few: Setting) -> None:
    few.back_up()
    segments.write(few.source.pk)
    Destination.objects.filter(pk=few.bucket.pk).update(blocked_code="test")
    file = File.objects.filter(content="blob").first()
    assert file is not None
    few.control.edit(file.remote_id, b"new content")
    few.source.destinations.remove(few.bucket)
    few.back_up()
    segments.write(few.source.pk)
    few.source.destinations.add(few.bucket)
    Destination.objects.filter(pk=few.bucket.pk).update(blocked_code="")
    assert segment_turns.something_to_write(few.source.pk)
    segments.write(few.source.pk)
    assert names(few, few.folder) == [(1, "full"), (2, "delta"), (3, "delta")]
    assert names(few, few.bucket) == [(1, "full"), (4, "full")]
    assert told(content(few.bucket)) == told(content(few.folder)) == catalog(few)


def test_a_change_stays_noted_until_a_destination_has_confirmed_it(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.back_up()
    noted = Change.objects.count()
    assert noted >= 40

    def fail(*_: Any, **__: Any) -> int:
        raise OSError("killed")

    with monkeypatch.context() as broken:
        broken.setattr(segment_store, "send", fail)
        with pytest.raises(OSError, match="killed"):
            segments.write(few.source.pk)
    assert Change.objects.count() == noted
    segments.write(few.source.pk)
    assert not Change.objects.exists()
    assert told(content(few.folder)) == catalog(few)


def test_a_file_that_changes_while_a_delta_is_written_is_in_the_next_one(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.back_up()
    file = File.objects.filter(content="blob").first()
    assert file is not None
    real = segment_store.send

    def meanwhile(*given: Any, **more: Any) -> int:
        File.objects.filter(pk=file.pk).update(name="later")
        return real(*given, **more)

    with monkeypatch.context() as busy:
        busy.setattr(segment_store, "send", meanwhile)
        segments.write(few.source.pk)
    assert list(Change.objects.values_list("file_id", flat=True)) == [file.pk]
    segments.write(few.source.pk)
    assert content(few.folder)[file.remote_id]["name"] == "later"


def test_leases_marks_and_checks_note_nothing(few: Setting) -> None:
    few.back_up()
    segments.write(few.source.pk)
    now = timezone.now()
    Version.objects.update(lease_owner="me", due_at=now, leases=1, attempts=2)
    File.objects.update(mark=7)
    Copy.objects.update(state="verified", verified_at=now, checked_at=now)
    assert not Change.objects.exists()


def test_deltas_that_have_grown_make_a_new_whole_catalog_and_old_ones_go(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FEW_LINES", 0)
    few.back_up()
    for n in range(6):
        segments.write(few.source.pk)
        File.objects.filter(content="blob").update(extension=f"e{n}")
    segments.write(few.source.pk)
    there = names(few, few.folder)
    assert there == names(few, few.bucket)
    wholes = [number for number, kind in there if kind == "full"]
    assert len(wholes) == 2
    assert there[0] == (wholes[0], "full")
    assert told(content(few.folder)) == catalog(few)
    kept = set(Segment.objects.values_list("number", flat=True))
    assert kept == {number for number, _ in there}


def test_only_one_writer_writes(few: Setting) -> None:
    few.back_up()
    turn = segment_turns.Turn.claim(few.source.pk)
    assert turn is not None
    segments.write(few.source.pk)
    assert names(few, few.folder) == []
    SegmentTurn.objects.update(leased_until=timezone.now() - segment_turns.LEASE)
    segments.write(few.source.pk)
    assert names(few, few.folder) == [(1, "full")]
    with pytest.raises(segment_turns.TurnLost):
        turn.fence()


def test_an_erased_file_lives_on_in_no_segment(few: Setting) -> None:
    few.back_up()
    segments.write(few.source.pk)
    file = File.objects.filter(content="blob").first()
    assert file is not None
    Copy.objects.filter(version__file=file).delete()
    file.delete()
    report = segments.rewrite(few.source)
    assert len(report) == 2
    for destination in (few.folder, few.bucket):
        assert names(few, destination) == [(2, "full")]
        assert file.remote_id not in content(destination)


def test_care_asks_for_a_writing_once(few: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(segment_turns, "async_task", lambda _, pk, **__: asked.append(pk))
    few.back_up()
    now = timezone.now()
    segment_turns.care(now)
    segment_turns.care(now)
    assert asked == [few.source.pk]
    segments.write(few.source.pk)
    later = now + segment_turns.IDLE_EVERY * 2
    segment_turns.care(later)
    assert asked == [few.source.pk]
    few.source.name = "Another name"
    few.source.save(update_fields=["name"])
    segment_turns.care(later)
    assert asked == [few.source.pk] * 2
    segments.write(few.source.pk)
    assert not segment_turns.something_to_write(few.source.pk)


def test_the_catalog_follows_within_a_minute_of_a_backups_end(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long ago it was written while the backup was at work."""
    asked: list[int] = []
    monkeypatch.setattr(segment_turns, "async_task", lambda _, pk, **__: asked.append(pk))
    run, _ = runs.request_backup(few.source)
    began = timezone.now()
    segment_turns.care(began)
    segments.write(few.source.pk)
    assert few.work(run).outcome == Run.Outcome.OK
    segment_turns.care(began + segment_turns.IDLE_EVERY / 2)
    assert asked == [few.source.pk]
    segment_turns.care(began + segment_turns.IDLE_EVERY)
    assert asked == [few.source.pk] * 2
