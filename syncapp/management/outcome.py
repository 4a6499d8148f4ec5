"""How a run ended, for people and scripts: its figures, its troubles, its exit code.

JSON of a run, stable: id, source (slug), kind, stage, outcome, error_code, error_message,
created_at, started_at, ended_at, seconds, files_seen, files_new, files_changed, files_vanished,
files_moved, files_total, files_done, files_refused, files_failed, bytes_total, bytes_done,
bytes_read.
Troubles: kind (failed, refused, excluded, damaged), path, code, message, destination, object_key.
"""

from __future__ import annotations

from collections.abc import Iterable

from syncapp.engine.trouble import Trouble
from syncapp.management.base import Exit
from syncapp.models import Run, Source
from syncapp.types import JsonObject

_FIGURES = (
    *("files_seen", "files_new", "files_changed", "files_vanished", "files_moved"),
    *(
        "files_total",
        "files_done",
        "files_refused",
        "files_failed",
        "bytes_total",
        "bytes_done",
        "bytes_read",
    ),
)


def run_document(run: Run) -> JsonObject:
    """A run as JSON."""
    return {
        "id": run.pk,
        "source": run.source.slug,
        "kind": run.kind,
        "stage": run.stage,
        "outcome": run.outcome,
        "error_code": run.error_code,
        "error_message": run.error_message,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "seconds": seconds(run),
    } | {name: getattr(run, name) for name in _FIGURES}


def trouble_document(trouble: Trouble) -> JsonObject:
    """A trouble as JSON."""
    return {
        "kind": trouble.kind.value,
        "path": trouble.path,
        "code": trouble.code,
        "message": trouble.message,
        "destination": trouble.destination,
        "object_key": trouble.object_key,
    }


def seconds(run: Run) -> float | None:
    """From its start to its end."""
    if run.started_at is None or run.ended_at is None:
        return None
    return (run.ended_at - run.started_at).total_seconds()


def stopped_by(source: Source) -> str:
    """Why nothing, or not everything, goes on until a person acts; "" if nothing stops it."""
    source.refresh_from_db()
    name = source.name
    if source.paused:
        return f"“{name}” is paused: `manage.py source resume {source.pk}` lets it go on."
    if source.blocked_code:
        return f"“{name}” is blocked: {source.blocked_reason}"
    blocked = source.destinations.filter(enabled=True).exclude(blocked_code="").first()
    if blocked is not None:
        return f"“{blocked.name}” takes nothing: {blocked.blocked_reason}"
    return ""


def judge(run: Run) -> Exit:
    """The code for one ended run."""
    if run.outcome in (Run.Outcome.OK, Run.Outcome.WARNINGS):
        return Exit.OK
    return Exit.BLOCKED if stopped_by(run.source) else Exit.FAILED


def worst_of(codes: Iterable[Exit]) -> Exit:
    """One code for several: what failed comes before what waits for a person."""
    order = (Exit.USAGE, Exit.NO_WORKER, Exit.FAILED, Exit.BLOCKED, Exit.DETACHED, Exit.OK)
    return min(codes, key=order.index)
