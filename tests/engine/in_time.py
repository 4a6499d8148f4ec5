"""Runs in real time: nothing is hurried, so that waits and tries by themselves can be seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import connection

from syncapp.engine import dispatch
from syncapp.models import Copy, Destination, Lane, Run


def step(run: Run) -> None:
    """One tick, and whatever lanes it asks for; nothing is hurried."""
    dispatch.tick()
    for lane in Lane.objects.filter(run=run, owner="", ended_at__isnull=True):
        dispatch.work(lane.pk)
    run.refresh_from_db()


def worked(run: Run) -> threading.Thread:
    """Lanes of the run until it ends, in a thread of their own and in real time."""

    def work() -> None:
        while run.ended_at is None:
            step(run)
            threading.Event().wait(0.1)

    return in_a_thread(work)


def in_a_thread(work: Callable[[], object]) -> threading.Thread:
    """Begun, with a connection of its own that ends with it."""

    def act() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def wait_for(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def stored(destination: Destination) -> int:
    return Copy.objects.filter(destination=destination, state="stored").count()
