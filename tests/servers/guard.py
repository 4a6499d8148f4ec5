"""Run one server, and end it when the test run that asked for it has ended, however that ended.

    python guard.py <process id of the run> <command> …

Standard library only: it starts in milliseconds and is started once per server.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1


def die_with(guard_pid: int) -> None:
    """In the server's process: a killed guard must not leave it behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard_pid:
        os._exit(1)  # it died before it was asked for


def main(run_pid: int, command: list[str]) -> int:
    own = os.getpid()
    server = subprocess.Popen(command, preexec_fn=lambda: die_with(own))
    # What is thrown away needs no farewell: Ceph would take its time to write everything down.
    signal.signal(signal.SIGTERM, lambda *_: server.kill())
    watch = select.poll()
    server_fd = os.pidfd_open(server.pid)
    watch.register(server_fd, select.POLLIN)
    try:
        watch.register(os.pidfd_open(run_pid), select.POLLIN)
    except ProcessLookupError:
        server.kill()
    watch.poll()
    server.kill()
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
