"""The servers of the tests themselves: started once for all, and gone whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.servers import guard, rclone_s3
from tests.servers.process import alive, launch
from tests.servers.shared import shared


def test_a_server_is_started_once_and_stopped_by_its_last_user(tmp_path: Path) -> None:
    with shared("one", tmp_path, rclone_s3.start) as first:
        with shared("one", tmp_path, rclone_s3.start) as second:
            assert second == first
        with shared("one", tmp_path, rclone_s3.start) as third:
            assert third == first
        data = Path(first["data"])
        assert data.exists()

    assert not data.exists()
    assert [p for p in psutil.process_iter() if str(data) in command_of(p)] == []


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_killed_run_leaves_no_server_behind(tmp_path: Path) -> None:
    run = subprocess.Popen(["sleep", "60"])
    watcher = subprocess.Popen([sys.executable, guard.__file__, str(run.pid), "sleep", "61"])
    run.kill()
    run.wait()

    assert watcher.wait(10) != 0


def test_a_killed_guard_takes_its_server_along(tmp_path: Path) -> None:
    pid = launch(["sleep", "62"], tmp_path / "log")
    try:
        child = wait_for_child(pid)
    finally:
        os.kill(pid, 9)
    deadline = time.monotonic() + 5
    while alive(child.pid) and time.monotonic() < deadline:
        os.sched_yield()

    assert not alive(child.pid)


def wait_for_child(pid: int) -> psutil.Process:
    process = psutil.Process(pid)
    while not (children := process.children()):
        os.sched_yield()
    return children[0]
