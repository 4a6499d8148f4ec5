"""The keeper of a cluster: one that hangs is replaced, and nobody waits for its end."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from model_bakery import baker

from syncapp.engine import keeper
from syncapp.engine.keeper import Keeper
from syncapp.models import Lane, Run

pytestmark = pytest.mark.django_db
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)"


def test_a_cluster_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "REPLACE_S", 2.0)
    monkeypatch.setattr(Keeper, "_is_hung", lambda _: True)
    kept = Keeper("transfer", 1, "host", 1.0)
    command = [sys.executable, "-c", f"{DEAF}; time.sleep(60)"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    child.stdout.readline()
    kept._child = child
    began = time.monotonic()
    for _ in range(3):
        kept.replace_if_hung()
    assert time.monotonic() - began < 1.5, "less than the moment it gives"
    started: list[bool] = []
    monkeypatch.setattr(Keeper, "_start", lambda _: started.append(True))
    kept.keep()
    assert child.poll() is None, "it has a moment to end by itself"
    while child.poll() is None:
        kept.keep()
        time.sleep(0.05)
        assert time.monotonic() - began < 20
    child.stdout.close()
    while not started:
        kept.keep()
        time.sleep(0.05)
        assert time.monotonic() - began < 20


def test_each_cluster_that_took_nothing_leaves_the_next_one_twice_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host under load may need longer only to start one: it must not be replaced for ever."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=1000.0)
    monkeypatch.setattr(keeper, "time", clock)
    run: Run = baker.make(Run, ended_at=None, stage="transfer")
    lane = Lane.objects.create(run=run, stage="transfer")
    kept = Keeper("transfer", 1, "host", 1.0)

    def patience_s() -> float:
        """How long one that takes nothing is left in peace."""
        kept._child = Mock(poll=lambda: None)
        kept._started_at, kept._kill_at, kept._starved_since = clock.now, None, None
        while kept._kill_at is None:
            kept.replace_if_hung()
            clock.now += 1
        return clock.now - kept._started_at - 2

    waits = [patience_s() for _ in range(7)]
    assert waits[:3] == [keeper.HUNG_S, 2 * keeper.HUNG_S, 4 * keeper.HUNG_S]
    assert waits[-1] == keeper.MOST_HUNG_S
    Lane.objects.filter(pk=lane.pk).update(owner="host:1")
    kept._kill_at = None
    kept.replace_if_hung()
    Lane.objects.filter(pk=lane.pk).update(owner="")
    assert patience_s() == keeper.HUNG_S, "one that takes lanes has shown how quick it is"
