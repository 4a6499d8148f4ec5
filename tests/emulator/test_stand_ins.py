"""The stand-ins of the tests: forks of a warm process, each as fresh as a command's own start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from emulator.control import Control
from tests.servers import stand_ins
from tests.servers.emulator import ROOT, running_emulator
from tests.servers.process import launch, stop

PATIENCE_S = 30


def all_of(control: Control) -> dict[str, Any]:
    """What a stand-in tells of its state."""
    accounts = control.accounts()
    return {
        "accounts": accounts,
        "files": [list(control.manifest(account["email"])) for account in accounts],
        "faults": control.faults(),
        "channels": control.channels(),
        "downloads": control.counters()["downloads"],
        "bytes_served": control.counters()["bytes_served"],
    }


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_fork_is_what_the_command_starts(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    pid = launch([sys.executable, "-m", "emulator", "--ready-file", str(ready)], tmp_path / "log")
    try:
        wait_for(ready)
        fresh = all_of(Control(json.loads(ready.read_text())["url"]))
    finally:
        stop([pid])
    with running_emulator() as fork:
        assert all_of(fork.control) == fresh


def test_what_is_done_to_one_is_not_seen_by_another_nor_by_a_later_one() -> None:
    with running_emulator() as first, running_emulator() as second:
        fresh = all_of(second.control)
        assert first.url != second.url
        token = first.access_token()
        assert token != second.access_token()
        first.control.create("only here.txt", b"new", parents=["root"])
        first.control.add_fault("alt=media", status=503)
        assert all_of(first.control) != fresh
        assert all_of(second.control) == fresh
    with running_emulator() as later:
        assert all_of(later.control) == fresh
        assert later.access_token() != token


def test_it_is_gone_when_its_test_has_ended(tmp_path: Path) -> None:
    started = stand_ins.start(["--ready-file", str(tmp_path / "ready.json")], tmp_path / "log")
    wait_for(tmp_path / "ready.json")
    process = psutil.Process(started.pid)
    assert not started.ended()
    started.kill()
    started.kill()
    _, alive = psutil.wait_procs([process], PATIENCE_S)
    assert alive == []


def test_none_outlives_a_killed_test_run(tmp_path: Path) -> None:
    act = (
        "from pathlib import Path; from tests.servers import stand_ins; import sys, time;"
        f"folder = Path({str(tmp_path)!r});"
        "stand_ins.start(['--ready-file', str(folder / 'ready.json')], folder / 'log');"
        "time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", act], cwd=ROOT)
    try:
        wait_for(tmp_path / "ready.json")
        family = psutil.Process(run.pid).children(recursive=True)
        fork = json.loads((tmp_path / "ready.json").read_text())["pid"]
        assert fork in {process.pid for process in family}
        assert fork != os.getpid()
    finally:
        run.kill()
        run.wait()
    _, alive = psutil.wait_procs(family, PATIENCE_S)
    assert alive == []
