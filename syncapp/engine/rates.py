"""How fast a run goes: files and bytes of the last seconds, told to its owner's browsers."""

from __future__ import annotations

import threading
import time
from collections import deque

from syncapp.engine import record
from syncapp.models import Run

EVERY_S = 1.0
WINDOW_S = 10.0


class Rates:
    """Counts bytes in flight (any thread) and tells progress (the lane's thread)."""

    def __init__(self, run: Run) -> None:
        self._owner_id = run.source.owner_id
        self._lock = threading.Lock()
        self._read = 0  # bytes read by this lane, settled or not
        self._told_at = 0.0
        self._samples: deque[tuple[float, int, int]] = deque()

    def add(self, size: int) -> None:
        """More bytes were read."""
        with self._lock:
            self._read += size

    def tell(self, run: Run, *, last: bool = False) -> None:
        """Send the run's progress, at most once a second."""
        now = time.monotonic()
        if now - self._told_at < EVERY_S and not last:
            return
        self._told_at = now
        run.refresh_from_db()
        self._samples.append((now, run.files_done, self._read))
        while now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
        began, files, size = self._samples[0]
        seconds = max(now - began, EVERY_S)
        record.progress(
            run,
            self._owner_id,
            files_per_s=(run.files_done - files) / seconds,
            bytes_per_s=(self._read - size) / seconds,
        )
