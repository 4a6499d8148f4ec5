"""Keeps the cluster of one queue running on this host: started, replaced when it dies or hangs."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time

from django.utils import timezone

from syncapp.engine import cluster, queues
from syncapp.models import Lane

log = logging.getLogger(__name__)
HUNG_S = 8.0  # lanes unclaimed for so long while hands should be free
MOST_HUNG_S = 240.0  # the same for a cluster whose predecessors were replaced before they took one
MOST_BACKOFF_S = 30.0
REPLACE_S = 10.0  # a cluster that hangs has so long to end by itself
STEADY_S = 60.0  # a cluster that lived so long did not fail at its start
# glibc otherwise keeps an arena a thread, with freed parts in each: two are 40 MB a worker more
# than one, measured. A part from memory that is kept costs no page faults: 10 % of big files' CPU.
_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(16 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(32 * 1024**2),
}


class Keeper:
    """One queue's cluster. A child that may die at any time; nothing is lost with it."""

    def __init__(self, queue: str, hands: int, host: str, grace_s: float) -> None:
        self.queue, self.hands = queue, hands
        self._grace_s = grace_s
        self._lanes = Lane.objects.filter(stage__in=queues.stages(queue), ended_at__isnull=True)
        self._owners = f"{host[:30]}:"
        self._child: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._patience_s = HUNG_S
        self._start_at = self._started_at = 0.0
        self._starved_since: float | None = None
        self._kill_at: float | None = None

    def keep(self) -> None:
        """Start it, or start it again; each death in a row waits longer."""
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill()
        if self._child is not None and self._child.poll() is not None:
            lived = time.monotonic() - self._started_at
            self._deaths = 0 if lived > STEADY_S else self._deaths + 1
            wait = min(0.5 * 2**self._deaths, MOST_BACKOFF_S)
            log.error(
                "keeper.cluster_ended queue=%s status=%s again_in=%.1f",
                self.queue,
                self._child.returncode,
                wait,
            )
            self._child, self._start_at = None, time.monotonic() + wait
            self._end_lanes()
        if self._child is None and time.monotonic() >= self._start_at:
            self._start()

    def _start(self) -> None:
        command = [sys.executable, sys.argv[0], "runworkers", "--cluster"]
        self._child = subprocess.Popen(
            [*command, f"--grace={self._grace_s}"],
            env={**_MALLOC, **os.environ, "Q_CLUSTER_NAME": self.queue},
            preexec_fn=cluster.die_with_parent,
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        self._starved_since = self._kill_at = None

    def replace_if_hung(self) -> None:
        """An idle worker that was killed can take the queue's lock with it. Waits for nothing."""
        if self._kill_at is None and self._is_hung():
            log.error("keeper.cluster_hung queue=%s: replacing it", self.queue)
            self.ask()
            self._patience_s = min(2 * self._patience_s, MOST_HUNG_S)
            self._kill_at = time.monotonic() + REPLACE_S

    def _kill(self) -> None:
        self._kill_at = None
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def _is_hung(self) -> bool:
        """Lanes wait and hands should be free, but nobody takes them.

        A host under heavy load may need longer than that only to start a cluster: each one that
        took nothing leaves its successor twice the time, or none would ever come to work.
        """
        owners = list(self._lanes.values_list("owner", flat=True))
        busy = sum(owner.startswith(self._owners) for owner in owners)
        if busy:
            self._patience_s = HUNG_S
        if "" not in owners or busy >= self.hands:
            self._starved_since = None
            return False
        now = time.monotonic()
        self._starved_since = max(self._starved_since or now, self._started_at)
        return now - self._starved_since > self._patience_s

    def _end_lanes(self) -> None:
        """All its lanes died with it: their successors need not wait."""
        self._lanes.filter(owner__startswith=self._owners).update(ended_at=timezone.now())

    def ask(self) -> None:
        """Ask it to drain and end: the main process only, which stops the others."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def wait(self, grace_s: float) -> int:
        """Its exit status; killed with all its processes when `grace_s` and a little are over."""
        child = self._child
        if child is None:
            return 0
        try:
            return child.wait(grace_s + 5)
        except subprocess.TimeoutExpired:
            log.exception("keeper.cluster_killed queue=%s after=%.0f s", self.queue, grace_s + 5)
            os.killpg(child.pid, signal.SIGKILL)
            return child.wait()
