"""One `runworkers` for a host and data folder: a lock that the kernel drops when the process ends.

A second one would take the first one's lanes for its own, and end them all when a cluster of its
own dies; and there would be twice the workers, connections and memory that the settings allow.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syncapp.errors import BackupError


class AlreadyRunning(BackupError):
    """Others work here."""

    code = "already_running"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of this host; AlreadyRunning if another process does."""
    with (folder / f"workers-{socket.gethostname()}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"Another `manage.py runworkers` works here already, with {folder} as its "
                "DATA_DIR: one is enough for a host, its processes are set by WORKERS."
            ) from error
        yield
