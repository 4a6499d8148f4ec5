"""The scan lane: list the source into the catalog, plan the copies, open the transfers."""

from __future__ import annotations

import time

from syncapp.engine import moving, planning, record, runs
from syncapp.engine.absorb import Counts
from syncapp.engine.adapters import destination_for, source_for
from syncapp.engine.beat import Beat, LaneLost
from syncapp.engine.replay import replay
from syncapp.engine.scan import scan
from syncapp.errors import BackupError, CursorRejected
from syncapp.models import Lane, Run
from syncapp.sources.base import Source as Reader

TELL_S = 0.5  # between two tellings of how far a scan is


def scan_and_plan(run: Run, lane: Lane, beat: Beat) -> None:
    """Read what the source has, plan the copies, go on to the transfers."""
    wanted = planning.wanted_destinations(run.source)
    told = _Told(run, beat)
    try:
        _read(run, source_for(run.source, beat.halted), told, wanted)
    except _Stopped:
        return
    planning.plan_copies(run, wanted)
    if run.scan == Run.Scan.FULL:
        _sweep(run)
    runs.move_on(run, Run.Stage.SCAN, moving.next_stage(run))


def _read(run: Run, reader: Reader, told: _Told, wanted: list[int]) -> None:
    """The change log where it tells all, the whole listing otherwise."""
    source = run.source
    if not run.scan:
        known = bool(source.cursor) and source.scanned_at is not None
        run.scan = Run.Scan.CHANGES if known else Run.Scan.FULL
        run.save(update_fields=["scan"])
    if run.scan == Run.Scan.CHANGES:
        try:
            told.end(replay(source, reader, told, wanted))
            return
        except CursorRejected as error:
            _list_instead(run, error)
    told.end(scan(source, reader, told, wanted))


def _list_instead(run: Run, error: CursorRejected) -> None:
    run.scan = Run.Scan.FULL
    run.save(update_fields=["scan"])
    record.event(
        run.source.owner,
        error.code,
        f"The change log of {run.source.name} can't be read on ({error.message}); the whole"
        " listing is read instead. Nothing is lost or stored again.",
        level="warning",
        source=run.source,
        run=run,
    )


class _Stopped(LaneLost):
    """Paused, cancelled or draining: not a fault."""


class _Told:
    """Called after each page: stops the scan when it should, and shows how far it is."""

    def __init__(self, run: Run, beat: Beat) -> None:
        self._run, self._beat, self._next = run, beat, 0.0

    def __call__(self, counts: Counts) -> None:
        self._beat.raise_if_lost()
        if not self._beat.may_take():
            raise _Stopped("The scan stops here and starts again later.")
        if time.monotonic() >= self._next:
            self.end(counts)
            self._next = time.monotonic() + TELL_S

    def end(self, counts: Counts) -> None:
        run = self._run
        run.files_seen, run.files_new = counts.seen, counts.new
        run.files_changed, run.files_vanished = counts.changed, counts.vanished
        run.save(update_fields=["files_seen", "files_new", "files_changed", "files_vanished"])
        record.progress(run, run.source.owner_id, files_per_s=0, bytes_per_s=0)


def _sweep(run: Run) -> None:
    """Abort what earlier, killed workers left half-made at the destinations.

    Only uploads from before this run: no lane has begun one since. Another source's run may be
    uploading to the same destination, so then the sweep is left to a later run.
    """
    others = Run.objects.filter(ended_at__isnull=True, kind=Run.Kind.BACKUP).exclude(pk=run.pk)
    for destination in run.source.destinations.filter(enabled=True):
        if others.filter(source__destinations=destination).exists():
            continue
        try:
            destination_for(destination).sweep_uploads(run.created_at)
        except BackupError as error:
            record.event(
                run.source.owner,
                "sweep_failed",
                f"{destination.name}: left-over uploads could not be removed: {error.message}",
                level="warning",
                destination=destination,
                run=run,
            )
