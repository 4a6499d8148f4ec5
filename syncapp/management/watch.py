"""Waiting for runs that workers do elsewhere: looks at their rows, shows their progress.

The database is all that this process and the workers share, so it is asked at short intervals.
Must not wait for what can't come: it gives up when no worker is alive, or a person has to act.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syncapp.engine import restoring, runs
from syncapp.engine.kinds import is_paused
from syncapp.management.base import START_WORKERS, Exit
from syncapp.management.outcome import stopped_by
from syncapp.management.progress import Display, Pace, Sample, run_line
from syncapp.models import Run

POLL_S = 0.5
WORKERLESS_S = 30.0  # a worker that is being restarted is not gone


@dataclass(frozen=True)
class Ended:
    """How the waiting ended: OK when every run has ended, whatever its outcome."""

    code: Exit
    reason: str
    runs: list[Run]


class Watch:
    """Waits for some runs. `pause` and `clock` are time's, for tests."""

    def __init__(
        self,
        waited: Sequence[Run],
        display: Display,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ids = [run.pk for run in waited]
        self._display, self._pause, self._clock = display, pause, clock
        self._paces: dict[int, Pace] = defaultdict(Pace)
        self._worker_seen_at = clock()

    def until_ended(self) -> Ended:
        """Wait; Ctrl-C comes through as KeyboardInterrupt, and the runs go on."""
        try:
            while True:
                found = self._look()
                active = [run for run in found if run.ended_at is None]
                code, reason = self._hindrance(active) if active else (Exit.OK, "")
                if not active or reason:
                    return Ended(code, reason, found)
                self._display.show([self._line(run) for run in active])
                self._pause(POLL_S)
        finally:
            self._display.clear()

    def _look(self) -> list[Run]:
        rows = Run.objects.filter(pk__in=self._ids).select_related("source__account")
        return list(rows.order_by("pk"))

    def _line(self, run: Run) -> str:
        pace = self._paces[run.pk]
        pace.add(Sample(self._clock(), run.files_settled, run.bytes_done))
        waits = restoring.waits_for(run) if run.kind == Run.Kind.RESTORE else ""
        return "  ".join([run_line(run, pace), *([waits] if waits else [])])

    def _hindrance(self, active: Sequence[Run]) -> tuple[Exit, str]:
        """Why waiting on is of no use, "" while it is."""
        if runs.worker_alive():
            self._worker_seen_at = self._clock()
        elif self._clock() - self._worker_seen_at >= WORKERLESS_S:
            return Exit.NO_WORKER, f"No worker is running any more. {START_WORKERS}"
        if all(is_paused(run) for run in active):
            return Exit.BLOCKED, _why_paused(active[0])
        return Exit.OK, ""


def _why_paused(run: Run) -> str:
    if not run.paused:
        return stopped_by(run.source)
    reason = f" {run.error_message}" if run.error_message else ""
    return f"Run {run.pk} is paused.{reason} `manage.py restore resume {run.pk}` lets it go on."
