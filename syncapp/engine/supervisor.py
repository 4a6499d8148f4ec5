"""Keeps this host at work: the cluster running, lanes asked for, the heartbeat fresh.

The cluster is a child that may die or hang at any time (an idle Django-Q worker that is killed
can take the queue's lock with it, django-q2 issue 23): then it is replaced. The supervisor itself
holds nothing: if it is killed, its children die with it and the next one starts clean.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from syncapp.engine import cluster, dispatch
from syncapp.models import Lane, Worker

log = logging.getLogger(__name__)
TICK_S = 1.0
HUNG_S = 8.0  # lanes unclaimed for so long while hands should be free
MOST_BACKOFF_S = 30.0
_FORGET_AFTER = timedelta(days=1)


class Supervisor:
    """One per host. `run` returns when a signal has asked for it."""

    def __init__(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self.host = socket.gethostname()[:255]
        self.asked = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._start_at = self._started_at = 0.0
        self._starved_since: float | None = None

    def run(self) -> int:
        """Until SIGTERM or SIGINT; the cluster's exit status."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self.asked.set())
        while not self.asked.is_set():
            self._keep_cluster()
            try:
                self._tick()
            except DatabaseError:
                log.warning("supervisor.database_unreachable", exc_info=True)
                connection.close()
            self.asked.wait(TICK_S)
        status = self._stop_cluster(self.grace_s)
        Worker.objects.filter(host=self.host, pid=os.getpid()).delete()
        return status

    def _tick(self) -> None:
        now = timezone.now()
        Worker.objects.update_or_create(
            host=self.host, pid=os.getpid(), defaults={"heartbeat_at": now}
        )
        Worker.objects.filter(heartbeat_at__lt=now - _FORGET_AFTER).delete()
        dispatch.tick()
        if self._is_hung():
            log.error("supervisor.cluster_hung: replacing it")
            self._stop_cluster(5.0)

    def _is_hung(self) -> bool:
        """Lanes wait and hands should be free, but nobody takes them."""
        open_lanes = Lane.objects.filter(ended_at__isnull=True)
        unclaimed = open_lanes.filter(owner="").exists()
        busy = open_lanes.filter(owner__startswith=f"{self.host[:30]}:").count()
        if not unclaimed or busy >= settings.WORKERS:
            self._starved_since = None
            return False
        now = time.monotonic()
        self._starved_since = max(self._starved_since or now, self._started_at)
        return now - self._starved_since > HUNG_S

    def _keep_cluster(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            lived = time.monotonic() - self._started_at
            self._deaths = 0 if lived > 60 else self._deaths + 1
            wait = min(0.5 * 2**self._deaths, MOST_BACKOFF_S)
            log.error(
                "supervisor.cluster_ended status=%s again_in=%.1f", self._child.returncode, wait
            )
            self._child, self._start_at = None, time.monotonic() + wait
            self._end_lanes()
        if self._child is None and time.monotonic() >= self._start_at:
            command = [sys.executable, sys.argv[0], "runworkers", "--cluster"]
            self._child = subprocess.Popen(
                [*command, f"--grace={self.grace_s}"],
                preexec_fn=cluster.die_with_parent,
                start_new_session=True,
            )
            self._started_at = time.monotonic()
            self._starved_since = None

    def _end_lanes(self) -> None:
        """All lanes of this host died with the cluster: their successors need not wait."""
        Lane.objects.filter(ended_at__isnull=True, owner__startswith=f"{self.host[:30]}:").update(
            ended_at=timezone.now()
        )

    def _stop_cluster(self, grace_s: float) -> int:
        child = self._child
        if child is None or child.poll() is not None:
            return 0
        child.terminate()  # the main process only: it drains and stops the others
        try:
            return child.wait(grace_s + 5)
        except subprocess.TimeoutExpired:
            log.exception("supervisor.cluster_killed after=%.0f s", grace_s + 5)
            os.killpg(child.pid, signal.SIGKILL)
            return child.wait()
