"""The scan lane: list the source into the catalog, plan the copies, open the transfers."""

from __future__ import annotations

from syncapp.engine import planning, record, runs
from syncapp.engine.adapters import destination_for, source_for
from syncapp.engine.beat import Beat, LaneLost
from syncapp.engine.scan import Counts, scan
from syncapp.errors import BackupError
from syncapp.models import Lane, Run


def scan_and_plan(run: Run, lane: Lane, beat: Beat) -> None:
    """A whole scan, then the plan; a scan that is cut short is made again from its start."""
    planning.wanted_destinations(run.source)

    def on_page(counts: Counts) -> None:
        beat.raise_if_lost()
        if not beat.may_take():
            raise _Stopped("The scan stops here and starts again later.")
        _count(run, counts)

    try:
        _count(run, scan(run.source, source_for(run.source, beat.halted), on_page))
    except _Stopped:
        return
    planning.plan_copies(run)
    _sweep(run)
    runs.move_on(run, Run.Stage.SCAN, Run.Stage.TRANSFER)


class _Stopped(LaneLost):
    """Paused, cancelled or draining: not a fault."""


def _count(run: Run, counts: Counts) -> None:
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
