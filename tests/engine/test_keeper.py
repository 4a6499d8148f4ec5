"""The keeper of a cluster: one that hangs is replaced, and nobody waits for its end."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from syncapp.engine import keeper
from syncapp.engine.keeper import Keeper

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
