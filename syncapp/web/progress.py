"""Where a run is, from its own row; the live messages then move the same figures on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from syncapp.engine.kinds import is_paused
from syncapp.models import Run


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's figures as a page shows them first. Rates are the average since transfer began."""

    run: Run
    percent: int | None
    files_per_s: float | None
    bytes_per_s: float | None
    eta_s: float | None
    seconds: float | None
    held: str  # why it does not go on by itself, in two words; "" if it does


def progress_of(run: Run, now: datetime) -> Progress:
    """The figures of a run at a moment."""
    started = run.transfer_started_at or run.started_at
    end = run.ended_at or now
    moving_s = max((end - started).total_seconds(), 0.001) if started else None
    files_per_s = run.files_settled / moving_s if moving_s and run.transfer_started_at else None
    bytes_per_s = run.bytes_done / moving_s if moving_s and run.transfer_started_at else None
    seconds = (end - (run.started_at or run.created_at)).total_seconds()
    return Progress(
        run,
        _percent(run),
        files_per_s,
        bytes_per_s,
        _eta(run, files_per_s, bytes_per_s),
        seconds,
        _held(run),
    )


def _held(run: Run) -> str:
    if run.ended_at is not None or not is_paused(run):
        return ""
    return "Waits for you" if run.paused and run.error_code else "Paused"


def _percent(run: Run) -> int | None:
    """None while the amount is unknown. Exports have no size beforehand, so files count too."""
    if run.ended_at is not None:
        return 100
    if not run.files_total:
        return None
    by_files = run.files_settled / run.files_total
    by_bytes = run.bytes_done / run.bytes_total if run.bytes_total else by_files
    return min(99, int(100 * (by_files + min(by_bytes, 1)) / 2))


def _eta(run: Run, files_per_s: float | None, bytes_per_s: float | None) -> float | None:
    if run.ended_at is not None or not files_per_s:
        return None
    by_files = (run.files_total - run.files_settled) / files_per_s
    by_bytes = max(run.bytes_total - run.bytes_done, 0) / bytes_per_s if bytes_per_s else 0
    return max(by_files, by_bytes, 0)
