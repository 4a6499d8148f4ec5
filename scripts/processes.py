"""Start the programs that belong together, wait until each is ready, and stop all of them for sure.

Each child gets a session of its own: Ctrl-C in the terminal reaches only this process, which then
stops the children in order, the last started first. On Linux a child also gets SIGTERM when this
process dies without a word (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from scripts.reporting import ROOT, Failure, say

READY_S = 60
POLL_S = 0.1
LONGEST_BACKOFF_S = 30.0
# A child that ran this long did not fail at its start: its next restart is immediate again.
STEADY_S = 60
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
# Looked up here: between fork and exec nothing may be imported or locked.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Stopped(Exception):
    """A person, or the system, wants this to end."""


@dataclass(frozen=True)
class Service:
    """One program. `stop_s` is how long it may take to end by itself; without `log` it prints."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    log: Path | None = None
    stop_s: float = 15


@dataclass(frozen=True)
class _Child:
    service: Service
    process: subprocess.Popen[bytes]
    started: float


@dataclass
class Services:
    """The running programs; leaving the `with` block stops them, whatever happened inside."""

    _running: dict[str, _Child] = field(default_factory=dict)
    _ended: queue.Queue[str] = field(default_factory=queue.Queue)
    _waits: dict[str, float] = field(default_factory=dict)
    _before: dict[signal.Signals, Any] = field(default_factory=dict)
    _hurried: bool = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, _stop) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        for number, action in self._before.items():
            signal.signal(number, action)

    def start(self, service: Service) -> None:
        """Start one; a thread notes its end."""
        output = service.log.open("ab") if service.log else None
        process = subprocess.Popen(
            service.command,
            cwd=ROOT,
            env=dict(service.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        if output:
            output.close()
        self._running[service.name] = _Child(service, process, time.monotonic())
        threading.Thread(target=self._watch, args=(service.name, process), daemon=True).start()

    def wait_ready(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until it works; Failure if it ends before, or takes over READY_S."""
        deadline = time.monotonic() + READY_S
        while not ready():
            self.require(name)
            if time.monotonic() > deadline:
                raise Failure(f"{name} does not answer after {READY_S} s{self._clue(name)}")
            time.sleep(POLL_S)  # another program's port: there is no event to wait for

    def require(self, name: str) -> None:
        """Failure if it has ended."""
        status = self._running[name].process.poll()
        if status is not None:
            raise Failure(f"{name} ended with status {status}{self._clue(name)}")

    def keep_running(self) -> None:
        """Restart whatever ends, at first at once, then ever slower; until a signal."""
        due: dict[str, float] = {}
        while True:
            wait = max(0.0, min(due.values()) - time.monotonic()) if due else None
            try:
                name = self._ended.get(timeout=wait)
            except queue.Empty:
                name = min(due, key=due.__getitem__)
                del due[name]
                self.start(self._running[name].service)
            else:
                due[name] = time.monotonic() + self._backoff(name)

    def stop(self) -> None:
        """Ask each to end, the last started first; what does not is killed with its children.

        A second Ctrl-C kills at once.
        """
        for number in _SIGNALS:
            signal.signal(number, self._hurry)
        for child in reversed(self._running.values()):
            if child.process.poll() is None:
                child.process.terminate()
            deadline = time.monotonic() + child.service.stop_s
            while child.process.poll() is None and not self._hurried:
                if time.monotonic() > deadline:
                    say(f"{child.service.name} did not end in time: killed")
                    break
                time.sleep(POLL_S / 2)
            _kill_group(child.process.pid)
            child.process.wait()
        self._running.clear()

    def _backoff(self, name: str) -> float:
        child = self._running[name]
        steady = time.monotonic() - child.started > STEADY_S
        wait = 1.0 if steady else self._waits.get(name, 0.5) * 2
        self._waits[name] = min(wait, LONGEST_BACKOFF_S)
        status = child.process.returncode
        say(f"{name} ended with status {status}; it starts again in {self._waits[name]:.0f} s")
        return self._waits[name]

    def _hurry(self, number: int, frame: FrameType | None) -> None:
        self._hurried = True

    def _watch(self, name: str, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._ended.put(name)

    def _clue(self, name: str) -> str:
        log = self._running[name].service.log
        if log is None:
            return "."
        lines = log.read_text(errors="replace").strip().splitlines()
        where = log.relative_to(ROOT) if log.is_relative_to(ROOT) else log
        return f": {lines[-1]} (all of it: {where})" if lines else f" (see {where})"


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def _die_with_parent() -> None:
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_group(leader: int) -> None:
    """End whatever the child has left behind in its group."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left
