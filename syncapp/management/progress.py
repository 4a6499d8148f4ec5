"""Progress of runs on a terminal: speed over the last seconds, a bar redrawn in place.

Where the output is no terminal, plain lines at long intervals. Knows no database: figures come in
as Runs, time comes in as an argument. Must not write to stdout, which belongs to the result.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from syncapp.management.output import duration, fit, printable, size
from syncapp.models import Run

WINDOW_S = 20.0
PLAIN_INTERVAL_S = 10.0
BAR_COLUMNS = 20
LISTING = {Run.Stage.SCAN: "scanning", Run.Stage.PLAN: "planning", Run.Stage.QUEUED: "queued"}


class Stream(Protocol):
    """What Django's OutputWrapper offers."""

    def write(
        self,
        msg: str = "",
        style_func: Callable[[str], str] | None = None,
        ending: str | None = None,
    ) -> None:
        """Write a text in a style, with its ending."""

    def flush(self) -> None:
        """Let it be seen."""

    def isatty(self) -> bool:
        """Whether a person is looking."""


class Sample(NamedTuple):
    """Where a run stood at a moment."""

    at_s: float
    files: int
    bytes: int


@dataclass
class Pace:
    """Speed over the last WINDOW_S seconds."""

    samples: deque[Sample] = field(default_factory=deque)

    def add(self, sample: Sample) -> None:
        """Note where it stands; counters that went back (another stage) begin anew."""
        if self.samples and sample.files < self.samples[-1].files:
            self.samples.clear()
        self.samples.append(sample)
        while len(self.samples) > 2 and sample.at_s - self.samples[1].at_s >= WINDOW_S:
            self.samples.popleft()

    @property
    def files_per_s(self) -> float:
        """Files a second."""
        return self._rate(lambda sample: sample.files)

    @property
    def bytes_per_s(self) -> float:
        """Bytes a second."""
        return self._rate(lambda sample: sample.bytes)

    def eta_s(self, files_left: int, bytes_left: int) -> float | None:
        """Seconds to go: whichever of files and bytes takes longer; None while nothing moves."""
        waits = []
        for left, rate in ((files_left, self.files_per_s), (bytes_left, self.bytes_per_s)):
            if left > 0:
                if rate <= 0:
                    return None
                waits.append(left / rate)
        return max(waits, default=0.0)

    def _rate(self, figure: Callable[[Sample], int]) -> float:
        if len(self.samples) < 2:
            return 0.0
        first, last = self.samples[0], self.samples[-1]
        seconds = last.at_s - first.at_s
        return (figure(last) - figure(first)) / seconds if seconds > 0 else 0.0


def run_line(run: Run, pace: Pace) -> str:
    """The state of an active run on one line."""
    name = fit(printable(run.source.name), 24)
    listing = LISTING.get(Run.Stage(run.stage))
    if listing == "scanning":
        return f"{name}  scanning  {run.files_seen:,} seen  {run.files_new:,} new"
    if listing:
        return f"{name}  {listing}"
    if run.stage == Run.Stage.MOVE:
        return f"{name}  moving  {run.files_moved:,} moved"
    done = run.files_settled
    parts = [
        name,
        f"{bar(_share(run))} {_share(run):4.0%}",
        f"{done:,}/{run.files_total:,} {run.unit}",
        f"{size(run.bytes_done)} of {size(max(run.bytes_total, run.bytes_done))}",
        f"{pace.files_per_s:,.1f} {run.unit}/s",
        f"{pace.bytes_per_s / 1e6:,.1f} MB/s",
        f"ETA {_eta(run, pace)}",
    ]
    if run.files_failed:
        parts.append(f"{run.files_failed:,} failed")
    return "  ".join(parts)


def bar(share: float) -> str:
    """A bar of BAR_COLUMNS."""
    filled = int(share * BAR_COLUMNS)
    return f"[{'#' * filled}{'-' * (BAR_COLUMNS - filled)}]"


class Display:
    """Lines that replace each other on a terminal, and follow each other elsewhere.

    Written without a style: Django's stderr would be red.
    """

    def __init__(self, stream: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._terminal = stream.isatty()
        self._drawn = 0
        self._written_at = float("-inf")

    def show(self, lines: Sequence[str]) -> None:
        """Draw the lines over those before; elsewhere print them if it is time again."""
        if self._terminal:
            self._redraw(lines)
        elif self._clock() - self._written_at >= PLAIN_INTERVAL_S:
            self._written_at = self._clock()
            for line in lines:
                self._stream.write(line, str)
            self._stream.flush()

    def clear(self) -> None:
        """Take the drawn lines away, so that the result stands alone."""
        if self._drawn:
            self._redraw([])

    def _redraw(self, lines: Sequence[str]) -> None:
        # One column less than there are: a full line would wrap and be counted wrong.
        width = shutil.get_terminal_size().columns - 1
        back = f"\x1b[{self._drawn}F" if self._drawn else ""
        text = "".join(f"{fit(line, width)}\n" for line in lines)
        self._stream.write(f"{back}\x1b[J{text}", str, ending="")
        self._stream.flush()
        self._drawn = len(lines)


def _share(run: Run) -> float:
    """How far it is, by files or by bytes, whichever is behind."""
    done = run.files_settled
    if done >= run.files_total:
        return 1.0 if done else 0.0
    by_files = done / run.files_total
    # Exports have no size beforehand: their bytes come on top of the total.
    return min(by_files, run.bytes_done / run.bytes_total) if run.bytes_total else by_files


def _eta(run: Run, pace: Pace) -> str:
    seconds = pace.eta_s(run.files_total - run.files_settled, run.bytes_total - run.bytes_done)
    return "–" if seconds is None else duration(seconds)
