"""Keeps this host at work: the clusters running, lanes asked for, the heartbeat fresh.

The clusters are children that may die or hang at any time (an idle Django-Q worker that is killed
can take the queue's lock with it, django-q2 issue 23): then they are replaced. The supervisor
itself holds nothing: if it is killed, its children die with it and the next one starts clean.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from datetime import timedelta

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from syncapp.engine import budget, dispatch
from syncapp.engine.keeper import Keeper
from syncapp.engine.schedule import Schedule
from syncapp.models import Worker

log = logging.getLogger(__name__)
TICK_S = 1.0
SWEEP_S = 30.0
LOOK_S = 0.2  # how soon a new run is noticed, and a cluster's end
_FORGET_AFTER = timedelta(days=1)


class Supervisor:
    """One per host. `run` returns when a signal has asked for it."""

    def __init__(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self.host = socket.gethostname()[:255]
        self.asked = threading.Event()
        self.keepers = [
            Keeper(queue, hands, self.host, grace_s) for queue, hands in settings.QUEUES.items()
        ]
        self._next_tick = self._next_sweep = 0.0
        self._schedule = Schedule()

    def run(self) -> int:
        """Until SIGTERM or SIGINT; 0 if all that was in flight could be finished."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self.asked.set())
        while not self.asked.is_set():
            try:
                self._look()
            except DatabaseError:
                log.warning("supervisor.database_unreachable", exc_info=True)
                connection.close()
            self.asked.wait(LOOK_S)
        return self._stop()

    def _look(self) -> None:
        for keeper in self.keepers:
            keeper.keep()
        if time.monotonic() >= self._next_tick:
            self._next_tick = time.monotonic() + TICK_S
            self._tick()
        elif time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP_S
            self._sweep()
        elif dispatch.run_waits():
            dispatch.tick()

    def _tick(self) -> None:
        now = timezone.now()
        mine = Worker.objects.filter(host=self.host, pid=os.getpid())
        if not mine.update(heartbeat_at=now):
            Worker.objects.create(host=self.host, pid=os.getpid(), heartbeat_at=now)
        self._schedule.tick()
        dispatch.tick()
        for keeper in self.keepers:
            keeper.replace_if_hung()

    def _sweep(self) -> None:
        budget.sweep(settings.SPOOL_DIR)
        Worker.objects.filter(heartbeat_at__lt=timezone.now() - _FORGET_AFTER).delete()

    def _stop(self) -> int:
        for keeper in self.keepers:
            keeper.ask()
        ends = time.monotonic() + self.grace_s  # one grace for all, not one after the other
        statuses = [keeper.wait(max(ends - time.monotonic(), 0.0)) for keeper in self.keepers]
        try:
            Worker.objects.filter(host=self.host, pid=os.getpid()).delete()
        except DatabaseError:
            log.warning("supervisor.database_unreachable", exc_info=True)
        return next((status for status in statuses if status), 0)
