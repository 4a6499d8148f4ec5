"""Several hosts on one database: losing some of them loses and doubles nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.servers.emulator import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("netns"),
    pytest.mark.needs("postgresql"),
    pytest.mark.needs("redis"),
]


@pytest.mark.skipif(os.getuid() != 0, reason="namespaces with a bridge need root")
def test_a_killed_and_a_cut_off_host_lose_nothing() -> None:
    command = [sys.executable, "-m", "tests.scaleout.lost_hosts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == {}, told
    assert told["stray"] == []
    assert told["outcome"] == "ok"
    assert told["copies"] == 2 * told["live"] > 0
    assert told["at_work_while_two_were_away"] == ["host3"]
    assert told["scheduled_runs"] == 1
