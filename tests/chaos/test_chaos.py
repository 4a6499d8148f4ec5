"""A few seeds of `make chaos`, small: the harness works and the product survives."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.servers.emulator import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [pytest.param(1, marks=pytest.mark.needs("postgresql"), id="postgresql"), 2]
)
def test_random_faults_lose_nothing(seed: int) -> None:
    command = [sys.executable, "-m", "tests.chaos.seed", str(seed), "--files", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["live"] > 200
    assert told["copies"] >= 2 * told["live"]
