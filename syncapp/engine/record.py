"""What a person may want to have seen: Event rows, alerts, and live progress.

An event is a row and a live message. Names of files come from outside: they are data in a
message, never markup. Must not be given anything secret.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from accounts.models import User
from syncapp.engine import live
from syncapp.models import Destination, Event, Run, Source, Version

_TIMED = [
    Run.Stage.TRANSFER,
    Run.Stage.VERIFY,
    Run.Stage.RESTORE,
]  # stages whose end can be told from their rates


def event(
    owner: User,
    code: str,
    message: str,
    *,
    level: str = Event.Level.INFO,
    source: Source | None = None,
    destination: Destination | None = None,
    run: Run | None = None,
    version: Version | None = None,
) -> Event:
    """Keep one event and send it to its owner's browsers."""
    made = Event.objects.create(
        owner=owner,
        source=source,
        destination=destination,
        run=run,
        version=version,
        level=level,
        code=code,
        message=message,
    )
    announce(made)
    return made


def announce(made: Event) -> None:
    """Send an event that is already stored."""
    live.publish(
        made.owner_id,
        "event",
        {
            "id": made.pk,
            "level": made.level,
            "code": made.code,
            "message": made.message,
            "source": made.source_id,
            "destination": made.destination_id,
            "run": made.run_id,
            "at": made.created_at,
        },
    )


def mended(owner: User, code: str, **about: Any) -> int:
    """Close the open alerts of this code about this thing: it works again. How many."""
    return Event.objects.filter(
        owner=owner, code=code, level=Event.Level.ALERT, acknowledged_at__isnull=True, **about
    ).update(acknowledged_at=timezone.now())


def changed(source: Source, run: Run | None = None) -> None:
    """Tell the browsers that a source or run looks different now."""
    live.publish(source.owner_id, "state", {"source": source.pk, "run": run.pk if run else None})


def progress(run: Run, owner_id: int, *, files_per_s: float, bytes_per_s: float) -> None:
    """Send where a run is. Rates are of the last seconds; `eta_s` is None while unknown."""
    by_files = (run.files_total - run.files_settled) / files_per_s if files_per_s else None
    by_bytes = max(run.bytes_total - run.bytes_done, 0) / bytes_per_s if bytes_per_s else None
    known = [seconds for seconds in (by_files, by_bytes) if seconds is not None]
    live.publish(
        owner_id,
        "progress",
        {
            "run": run.pk,
            "source": run.source_id,
            "kind": run.kind,
            "stage": run.stage,
            "files_seen": run.files_seen,
            "files_moved": run.files_moved,
            "files_total": run.files_total,
            "files_done": run.files_done,
            "files_failed": run.files_failed,
            "files_refused": run.files_refused,
            "files_skipped": run.files_skipped,
            "files_there": run.files_there,
            "bytes_total": run.bytes_total,
            "bytes_done": run.bytes_done,
            "files_per_s": round(files_per_s, 2),
            "bytes_per_s": round(bytes_per_s),
            "eta_s": round(max(known)) if known and run.stage in _TIMED else None,
        },
    )
