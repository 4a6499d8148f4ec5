"""Start a server of its own for a test run, wait until it answers, stop it for certain."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.servers import guard

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0


class DidNotStart(Exception):
    """A server ended, or said nothing, before it was ready; the message has its last words."""


def run_pid() -> int:
    """The process whose end is the end of the whole test run."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def launch(command: Sequence[str], log: Path, *, env: dict[str, str] | None = None) -> int:
    """Run `command` under a guard, with its output in `log`; the guard's process id."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, guard.__file__, str(run_pid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        ).pid


def wait_for_words(pid: int, log: Path, pattern: str) -> re.Match[str]:
    """The first match of `pattern` in what the server says."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        said = log.read_text(errors="replace")
        found = re.search(pattern, said)
        if found:
            return found
        if not alive(pid):
            raise DidNotStart(f"{log.name}: {said[-2000:]}")
        time.sleep(0.02)
    raise DidNotStart(f"{log.name} said nothing like {pattern!r} in {START_TIMEOUT_S:.0f} s")


def wait_for_port(pid: int, log: Path, port: int) -> None:
    """Until somebody listens on a loopback port."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if not alive(pid):
            raise DidNotStart(f"{log.name}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
    raise DidNotStart(f"{log.name}: nobody listens on port {port}")


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def alive(pid: int) -> bool:
    """Whether the process still runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(pids: Sequence[int]) -> None:
    """Ask each to end, in order, then make it end. The parent may be another process of the run,
    that has not collected its zombie yet: such a one counts as ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(map(alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not any(map(alive, pids)):
            return
