"""The stage that reads the source, on the stand-in for Google: log or listing, told and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pytest
from django.utils import timezone

from syncapp.engine import dispatch, runs
from syncapp.engine.beat import Beat
from syncapp.models import Event, File, Lane, Run, ScanProgress, Source, Version
from syncapp.sources import drive_listing
from syncapp.sources.google_drive import GoogleDriveSource
from syncapp.types import ChangePage, JsonObject
from tests.engine.conftest import Setting


def test_the_first_backup_lists_and_the_next_reads_only_the_log(few: Setting) -> None:
    assert few.back_up().scan == Run.Scan.FULL
    few.control.reset_counters()
    again = few.back_up()
    assert (again.scan, again.outcome) == (Run.Scan.CHANGES, Run.Outcome.OK)
    requests = few.control.counters()["requests"]
    assert {kind: n for kind, n in requests.items() if kind != "control"} == {"changes.list": 1}


def test_what_happened_since_is_backed_up_from_the_log(few: Setting) -> None:
    few.back_up()
    edited, deleted, renamed = File.objects.filter(content="blob")[:3]
    few.control.edit(edited.remote_id, b"new content")
    few.control.delete(deleted.remote_id)
    few.control.rename(renamed.remote_id, "another name.bin")
    few.control.reset_counters()
    run = few.back_up()
    assert (run.scan, run.files_changed, run.files_vanished) == (Run.Scan.CHANGES, 2, 1)
    assert len(few.control.counters()["downloads"]) == 1
    version = Version.objects.get(file=edited, current=True)
    assert {few.stored_bytes(copy) for copy in version.copies.all()} == {b"new content"}
    deleted.refresh_from_db()
    assert deleted.vanished_at is not None


def test_a_rejected_cursor_leads_to_a_listing_that_keeps_all_state(few: Setting) -> None:
    few.back_up()
    source = Source.objects.get()
    Source.objects.update(cursor={**source.cursor, "user": "long forgotten"})
    edited = File.objects.filter(content="blob").first()
    assert edited is not None
    few.control.edit(edited.remote_id, b"new content")
    few.control.reset_counters()
    run = few.back_up()
    assert (run.scan, run.outcome) == (Run.Scan.FULL, Run.Outcome.OK), run.error_message
    assert len(few.control.counters()["downloads"]) == 1
    assert Event.objects.filter(run=run, code="cursor_rejected").count() == 1
    assert run.files_drifted == 0
    assert few.back_up().scan == Run.Scan.CHANGES


def test_what_the_log_had_not_told_is_reported_by_a_full_comparison(few: Setting) -> None:
    few.back_up()
    file = File.objects.filter(content="blob").first()
    assert file is not None
    File.objects.filter(pk=file.pk).update(name="wrong", mark=0, fingerprint="other")
    run = few.back_up(full=True)
    assert (run.scan, run.files_drifted) == (Run.Scan.FULL, 1)
    event = Event.objects.get(run=run, code="drift_found")
    assert file.name in event.message
    assert few.back_up(full=True).files_drifted == 0


def test_a_listing_longer_than_its_lane_is_gone_on_with_by_the_next(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_listing, "PAGE_SIZE", 8)
    goes_on: Iterator[bool] = cycle([True, True, False])
    monkeypatch.setattr(Beat, "may_take", lambda _: next(goes_on))
    few.control.reset_counters()
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert run.files_seen == run.files_new == 40
    assert not ScanProgress.objects.exists()
    assert File.objects.filter(vanished_at=None, content="blob").count() == 40


def test_a_worker_that_comes_back_after_it_was_replaced_writes_nothing(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.back_up()
    few.control.edit(File.objects.filter(content="blob")[0].remote_id, b"new content")
    run, _ = runs.request_backup(few.source)
    dispatch.tick()
    lane = Lane.objects.get(run=run)
    cursor = Source.objects.get().cursor
    real = GoogleDriveSource.changes

    def standing_still(self: GoogleDriveSource, at: JsonObject) -> Iterator[ChangePage]:
        for page in real(self, at):
            Lane.objects.filter(pk=lane.pk).update(ended_at=timezone.now())  # taken for dead
            yield page

    with monkeypatch.context() as patch:
        patch.setattr(GoogleDriveSource, "changes", standing_still)
        dispatch.work(lane.pk)
    assert Source.objects.get().cursor == cursor
    assert Version.objects.count() == 40
    assert few.work(run).outcome == Run.Outcome.OK
    assert Version.objects.count() == 41
