"""A lane's pulse: renews its leases and its heartbeat, and hears when it should stop.

`halt` is set within a second of a pause, a cancellation, a drain or the loss of the lane: what is
in flight then stops at its next part.

A thread of its own, so that a slow page from Google or a long commit never looks like death. It
stops renewing as soon as the lane's row says that somebody else has taken over.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from syncapp.engine import drain, lease
from syncapp.engine.kinds import ACTIVE
from syncapp.engine.sets import chunks
from syncapp.errors import TransientError
from syncapp.models import Lane, Run

log = logging.getLogger(__name__)
EVERY_S = 1.0
RENEWED = 0.25  # leases are renewed when this share of their time has passed
SHARE_S = 20.0  # a lane works at least this long before it makes room for another run


class LaneLost(TransientError):
    """Another lane was started in this one's place: write nothing more."""

    code = "lane_lost"


class Halt(threading.Event):
    """Set when what is in flight is to stop; as good as set, too, while the pulse has stood still
    for so long that others may have taken over: a worker that was frozen sends nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.pulse_until = math.inf  # monotonic

    def is_set(self) -> bool:
        return super().is_set() or time.monotonic() > self.pulse_until


class Beat:
    """The pulse of one claimed lane. Use as a context manager around its work."""

    def __init__(self, lane: Lane, run: Run) -> None:
        self._lane_id, self._owner = lane.pk, lane.owner
        self._run_id = run.pk
        self.halt = Halt()
        self._held: dict[int, float] = {}  # version → when it was leased or renewed (monotonic)
        self._to_give: list[tuple[int, datetime]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._lost = False
        self._wanted = True
        self._ends_at = time.monotonic() + settings.LANE_SECONDS
        self._share_until = time.monotonic() + SHARE_S
        self._thread = threading.Thread(target=self._loop, name="beat", daemon=True)

    def __enter__(self) -> Beat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def hold(self, ids: Iterable[int]) -> None:
        """Renew these leases from now on."""
        with self._lock:
            self._held.update(dict.fromkeys(ids, time.monotonic()))

    def drop(self, ids: Iterable[int]) -> None:
        """They are settled: renew them no more."""
        with self._lock:
            for version_id in ids:
                self._held.pop(version_id, None)

    def give_back(self, version_id: int, due_at: datetime) -> None:
        """Release a lease at the next beat (for threads without a database connection)."""
        with self._lock:
            self._held.pop(version_id, None)
            self._to_give.append((version_id, due_at))

    def release_all(self) -> None:
        """Give back every lease that is still held."""
        with self._lock:
            ids = list(self._held)
            self._held.clear()
        self._give()
        if ids:
            lease.release(self._owner, ids)

    def may_take(self) -> bool:
        """Whether the lane should take up more work."""
        running = self._wanted and not self.halt.is_set() and not drain.asked()
        return running and not self.is_over()

    def is_over(self) -> bool:
        """Whether it has worked for as long as a lane may."""
        return time.monotonic() >= self._ends_at

    def halted(self) -> bool:
        """Whether what is in flight should end as soon as it can: paused, cancelled, draining."""
        return self.halt.is_set() or drain.asked()

    def raise_if_lost(self) -> None:
        """LaneLost if another lane has this one's place."""
        if self._lost:
            raise LaneLost("This lane was silent for too long and was replaced.")

    def fence(self) -> None:
        """In a transaction: LaneLost unless the lane's row is ours, and then it stays ours.

        For writes that no lease guards. A worker that stood still (a stopped machine) may come
        back in the middle of its work, before its pulse has noticed anything.
        """
        ours = Lane.objects.filter(pk=self._lane_id, owner=self._owner, ended_at__isnull=True)
        if not ours.select_for_update().values_list("pk", flat=True):
            self._lost = True
            self.raise_if_lost()

    def wait(self, seconds: float) -> None:
        """A pause that ends early when the lane is told to stop."""
        self.halt.wait(seconds)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self._beat()
            except DatabaseError:
                # Leases last for three more tries; a lasting fault shows in the lane's own writes.
                log.warning("beat.database_unreachable lane=%d", self._lane_id, exc_info=True)
                connection.close()
            self._stop.wait(_every_s())
        connection.close()

    def _beat(self) -> None:
        began = time.monotonic()
        alive = Lane.objects.filter(
            pk=self._lane_id, owner=self._owner, ended_at__isnull=True
        ).update(heartbeat_at=timezone.now())
        if not alive:
            self._lost = True
            self.halt.set()
            return
        self._renew()
        # By then the first lease may have ended.
        self.halt.pulse_until = began + settings.LEASE_SECONDS * (1 - RENEWED) - _every_s()
        self._give()
        run_on = Run.objects.filter(ACTIVE, pk=self._run_id).exists()
        if not run_on or drain.asked():
            self.halt.set()
        self._wanted = run_on and not self._others_wait()

    def _renew(self) -> None:
        """Leases that have lasted for a quarter of their time; most files take less."""
        now = time.monotonic()
        with self._lock:
            renewed = settings.LEASE_SECONDS * RENEWED
            due = [pk for pk, at in self._held.items() if now - at > renewed]
        for some in chunks(due, 500):
            lease.renew(self._owner, some, settings.LEASE_SECONDS)
            with self._lock:
                self._held.update({pk: now for pk in some if pk in self._held})

    def _others_wait(self) -> bool:
        """Another run asked for a lane and got none: after its share of time, make room."""
        if time.monotonic() < self._share_until:
            return False
        asked = Lane.objects.filter(owner="", ended_at__isnull=True).exclude(run_id=self._run_id)
        return asked.exists()

    def _give(self) -> None:
        with self._lock:
            giving, self._to_give = self._to_give, []
        for version_id, due_at in giving:
            lease.release(self._owner, [version_id], due_at)


def _every_s() -> float:
    return float(min(settings.LEASE_SECONDS / 4, EVERY_S))
