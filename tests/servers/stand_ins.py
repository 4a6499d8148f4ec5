"""A process that has imported the stand-in, and forks a stand-in for each that is asked for.

What a test run does a thousand times must not import a web server a thousand times. Each stand-in
is a process of its own with a world of its own, and runs what `python -m emulator` runs.

    python -m tests.servers.stand_ins

A line asks: {"words": [flag, …], "log": path}. A line answers: its process id. The end of the
asker, however it comes, is the end of all: the fork server reads the end of its input, and its
children are killed with it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.servers.guard import die_with


class StandIn:
    """One that was started; the fork server's child, hence no exit status."""

    def __init__(self, pid: int, fd: int | None) -> None:
        self.pid = pid
        self._fd = fd

    def ended(self, wait_s: float = 0) -> bool:
        return self._fd is None or bool(select.select([self._fd], [], [], wait_s)[0])

    def kill(self) -> None:
        """At once, for nothing of it is worth a farewell; it is gone when this returns."""
        if self._fd is None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        select.select([self._fd], [], [])
        os.close(self._fd)
        self._fd = None


class _Asker:
    """In a test run: the one fork server it has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parents[2],
            env={k: v for k, v in os.environ.items() if not k.startswith("DJANGO")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self._end)

    def start(self, words: Sequence[str], log_path: Path) -> StandIn:
        assert self._server.stdin
        assert self._server.stdout
        line = json.dumps({"words": list(words), "log": str(log_path)}) + "\n"
        with self._lock:
            self._server.stdin.write(line.encode())
            self._server.stdin.flush()
            pid = int(self._server.stdout.readline())
        try:
            return StandIn(pid, os.pidfd_open(pid))
        except ProcessLookupError:
            return StandIn(pid, None)

    def _end(self) -> None:
        self._server.communicate()


@functools.cache
def _asker() -> _Asker:
    return _Asker()


def start(words: Sequence[str], log_path: Path) -> StandIn:
    """A stand-in with these flags, on its way up; what it prints goes to the log."""
    return _asker().start(words, log_path)


def main() -> int:
    """Fork at every line of the input, until its end."""
    import emulator.__main__  # noqa: F401 - that is what the forks shall have

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the asker's to act on
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # leaves no zombies
    gc.freeze()
    own = os.getpid()
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return _serve(own, asked["words"], asked["log"])
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    return 0


def _serve(fork_server: int, words: list[str], log_path: str) -> int:
    from emulator.__main__ import main as serve

    die_with(fork_server)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open(log_path, "wb") as log, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.argv = ["emulator", *words]
    return serve()


if __name__ == "__main__":
    sys.exit(main())
