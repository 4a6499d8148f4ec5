"""The scan lane: list the source into the catalog, plan the copies, open the transfers."""

from __future__ import annotations

import time

from syncapp.engine import guard, moving, planning, record, restore_uploads, runs, uploads
from syncapp.engine.absorb import Absorber, Counts
from syncapp.engine.adapters import destination_for, source_for
from syncapp.engine.beat import Beat
from syncapp.engine.folders import Folders
from syncapp.engine.replay import replay
from syncapp.engine.scan import Stopped, scan
from syncapp.errors import BackupError, CursorRejected, Interrupted
from syncapp.models import Event, File, Lane, Run

MOST_EXAMPLES = 5
TELL_S = 0.5  # between two tellings of how far a scan is
TOO_MUCH = "change_too_large"  # error code of a log whose single entry outlasts a lane


def scan_and_plan(run: Run, lane: Lane, beat: Beat) -> None:
    """Read what the source has, plan the copies, go on to the transfers."""
    wanted = planning.wanted_destinations(run.source)
    try:
        _read(run, wanted, beat)
    except (Stopped, Interrupted):
        return
    planning.plan_copies(run, wanted)
    guard.check(run)
    if run.scan == Run.Scan.FULL:
        _sweep(run)
    runs.move_on(run, Run.Stage.SCAN, moving.next_stage(run))


def _read(run: Run, wanted: list[int], beat: Beat) -> None:
    """The change logs where they tell all, the whole listing otherwise."""
    reader = source_for(run.source, beat.halted)
    counts = Counts(run.files_seen, run.files_new, run.files_changed, run.files_vanished)
    absorber = Absorber(run.source, wanted, counts, beat.fence)
    told = _Told(run, beat, counts)
    known = bool(run.source.cursor) and run.source.scanned_at is not None
    if not run.scan:
        run.scan = Run.Scan.CHANGES if known else Run.Scan.FULL
        run.save(update_fields=["scan"])
    try:
        if run.scan == Run.Scan.CHANGES:
            replay(absorber, reader, told, within=told.within)
        else:
            drift: set[str] | None = set() if known and not _was_rejected(run) else None
            scan(run, absorber, reader, told, drift, within=told.within)
            _tell_drift(run, drift or set())
    except CursorRejected as error:
        _rejected(run, error)
        scan(run, absorber, reader, told, within=told.within)
    told.now()


def _was_rejected(run: Run) -> bool:
    """Whether an earlier lane of the run has found that the change logs can't be read on."""
    return Event.objects.filter(run=run, code__in=[CursorRejected.code, TOO_MUCH]).exists()


def _rejected(run: Run, error: CursorRejected) -> None:
    """The change logs can't be read on: the whole listing it is."""
    run.scan = Run.Scan.FULL
    run.save(update_fields=["scan"])
    if Event.objects.filter(run=run, code=error.code).exists():
        return
    record.event(
        run.source.owner,
        error.code,
        f"The change log of {run.source.name} can't be read on: {error.message} The whole listing"
        " is read instead; what is stored stays and is not stored again.",
        level=Event.Level.WARNING,
        source=run.source,
        run=run,
    )


def _tell_drift(run: Run, drift: set[str]) -> None:
    """What a whole listing found that the change logs had not told of."""
    if not drift:
        return
    run.files_drifted = len(drift)
    run.save(update_fields=["files_drifted"])
    folders = Folders(run.source_id)
    some = File.objects.filter(source=run.source, remote_id__in=sorted(drift)[:MOST_EXAMPLES])
    paths = ", ".join(folders.path(file.parent_id, file.name) for file in some)
    record.event(
        run.source.owner,
        "drift_found",
        f"A full comparison of {run.source.name} found {len(drift)} differences that Google's"
        f" change log had not told of; they are mended. Among them: {paths}",
        level=Event.Level.WARNING,
        source=run.source,
        run=run,
    )


class _Told:
    """Called after each page: stops the scan when it should, and shows how far it is."""

    def __init__(self, run: Run, beat: Beat, counts: Counts) -> None:
        self._run, self._beat, self._counts, self._next = run, beat, counts, 0.0

    def __call__(self) -> None:
        self._beat.raise_if_lost()
        if not self._beat.may_take():
            self.now()
            raise Stopped("The scan stops here and goes on later.")
        if time.monotonic() >= self._next:
            self.now()

    def within(self) -> None:
        """After a page behind which nobody could go on: stops only when it must. What outlasts a
        lane would begin again for ever; a whole listing keeps its place."""
        self._beat.raise_if_lost()
        if self._beat.halted():
            self.now()
            raise Stopped("The scan stops here and begins with this entry again.")
        if self._beat.is_over():
            raise CursorRejected("One entry tells of too much at once.", code=TOO_MUCH)
        if time.monotonic() >= self._next:
            self.now()

    def now(self) -> None:
        """Show it."""
        run, counts = self._run, self._counts
        run.files_seen, run.files_new = counts.seen, counts.new
        run.files_changed, run.files_vanished = counts.changed, counts.vanished
        run.save(update_fields=["files_seen", "files_new", "files_changed", "files_vanished"])
        record.progress(run, run.source.owner_id, files_per_s=0, bytes_per_s=0)
        self._next = time.monotonic() + TELL_S


def _sweep(run: Run) -> None:
    """Abort what earlier, killed workers left half-made at the destinations.

    Only uploads from before this run: no lane has begun one since. Those that the next lane goes on
    with are kept. Another source's run may be
    uploading to the same destination, so then the sweep is left to a later run.
    """
    others = Run.objects.filter(ended_at__isnull=True, kind=Run.Kind.BACKUP).exclude(pk=run.pk)
    for destination in run.source.destinations.filter(enabled=True):
        if others.filter(source__destinations=destination).exists():
            continue
        try:
            keep = uploads.worth_keeping(destination)
            keep |= restore_uploads.worth_keeping(destination)
            destination_for(destination).sweep_uploads(run.created_at, keep)
        except BackupError as error:
            record.event(
                run.source.owner,
                "sweep_failed",
                f"{destination.name}: left-over uploads could not be removed: {error.message}",
                level="warning",
                destination=destination,
                run=run,
            )
