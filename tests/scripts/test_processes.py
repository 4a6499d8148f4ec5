"""Programs are started, awaited, restarted and, whatever happens, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts.processes import Service, Services
from scripts.reporting import Failure

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20


def service(code: str, log: Path, **settings: float) -> Service:
    return Service("sleeper", (sys.executable, "-c", code), dict(os.environ), log, **settings)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def note_pid(file: Path) -> str:
    """Python that writes its process id, whole, and sleeps."""
    return (
        f"import os, pathlib, time; part = pathlib.Path({str(file)!r} + '.part');"
        f"part.write_text(str(os.getpid())); part.rename({str(file)!r}); time.sleep(600)"
    )


def test_leaving_the_block_stops_children_and_theirs(tmp_path: Path) -> None:
    child, grandchild = tmp_path / "child", tmp_path / "grandchild"
    starts = f"subprocess.Popen([sys.executable, '-c', {note_pid(grandchild)!r}]);"
    code = f"import subprocess, sys; {starts} {note_pid(child)}"
    with Services() as services:
        services.start(service(code, tmp_path / "log"))
        services.wait_ready("sleeper", lambda: child.exists() and grandchild.exists())

    assert gone(int(child.read_text()))
    wait_until(lambda: gone(int(grandchild.read_text())))


def test_one_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + note_pid(pid)

    with Services() as services:
        services.start(service(code, tmp_path / "log", stop_s=0.2))
        services.wait_ready("sleeper", pid.exists)

    assert gone(int(pid.read_text()))


def test_one_that_ends_before_it_is_ready_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Services() as services:
        services.start(service("raise SystemExit('no disk')", tmp_path / "log"))
        with pytest.raises(Failure, match="sleeper ended with status 1: no disk"):
            services.wait_ready("sleeper", lambda: False)


def test_signals_mean_afterwards_what_they_meant_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Services():
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before


SUPERVISOR = """
import os, sys
from pathlib import Path
from scripts.processes import Service, Services, Stopped
command = (sys.executable, "-c", sys.argv[1])
try:
    with Services() as services:
        services.start(Service("sleeper", command, dict(os.environ), Path(sys.argv[2])))
        services.keep_running()
except Stopped:
    print("stopped")
"""


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A supervisor with one child, which writes its process id to `tmp_path`/pid."""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, note_pid(tmp_path / "pid"), str(tmp_path / "log")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until((tmp_path / "pid").exists)
    yield supervisor
    supervisor.kill()
    supervisor.communicate()


def test_a_child_that_dies_is_started_again(
    supervised: subprocess.Popen[str], tmp_path: Path
) -> None:
    first = int((tmp_path / "pid").read_text())
    (tmp_path / "pid").unlink()
    os.kill(first, signal.SIGKILL)

    wait_until((tmp_path / "pid").exists)
    second = int((tmp_path / "pid").read_text())
    assert second != first
    supervised.send_signal(signal.SIGTERM)
    said, _ = supervised.communicate(timeout=PATIENCE_S)
    assert "sleeper ended with status -9; it starts again in 1 s" in said
    assert said.endswith("stopped\n")
    assert gone(second)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's end")
def test_children_end_when_the_supervisor_is_killed(
    supervised: subprocess.Popen[str], tmp_path: Path
) -> None:
    child = int((tmp_path / "pid").read_text())
    supervised.kill()

    wait_until(lambda: gone(child))
