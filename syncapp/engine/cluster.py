"""The Django-Q cluster of this host, made safe to kill.

Its own process, below the supervisor. A signal only asks the lanes to drain; the cluster is then
stopped within a grace time. All processes die with their parent, so no orphan goes on working.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import threading

from syncapp import destinations
from syncapp.engine import drain

log = logging.getLogger(__name__)
YOUNG = 5000  # objects between two collections: most of a transfer's live shorter (Python: 700)
SENTINEL_DIED, NOT_DRAINED = 70, 71
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends (Linux only; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prepare() -> None:
    """Once, before the workers are forked, what each would do again: load the adapters. What is
    there by then is never garbage: no collection looks through it, and no page of it is copied."""
    for kind in destinations.KINDS:
        destinations.destination_class(kind)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


def run(grace_s: float) -> int:
    """Run until asked to end; the exit status: 0 drained, otherwise why not."""
    from django_q.cluster import Cluster

    asked = threading.Event()

    class DrainingCluster(Cluster):  # type: ignore[misc]
        """Stops from the main loop instead of inside a signal handler, which may deadlock."""

        def sig_handler(self, signum: int, frame: object) -> None:
            drain.ask()
            asked.set()

    die_with_parent()
    _prepare()
    os.register_at_fork(after_in_child=die_with_parent)
    cluster = DrainingCluster()
    cluster.start()
    while not asked.wait(0.5):
        if not cluster.sentinel.is_alive():
            log.error("cluster.sentinel_died")
            return SENTINEL_DIED
    stopper = threading.Thread(target=cluster.stop, daemon=True)
    stopper.start()
    stopper.join(grace_s)
    return NOT_DRAINED if stopper.is_alive() else 0
