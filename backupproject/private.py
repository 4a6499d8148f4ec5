"""Keeps what is the program's alone from other users of the machine.

The database has session keys in clear, and the data folder parts of files. Set when settings are
read, before anything connects; what belongs to another user is left as it is.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

IN_MEMORY = ":memory:"
_BESIDE = ("-wal", "-shm", "-journal")  # SQLite gives new ones the mode of the database


def make_folder(folder: Path, program: Path) -> None:
    """Make it, or take it from others, unless they have to reach something else through it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared = folder.stat().st_mode & stat.S_ISVTX  # as /tmp is
    if not shared and not program.is_relative_to(folder):
        _close(folder)


def make_database(name: str) -> None:
    """An empty file is an empty database; whether it can be made is told when it is opened."""
    if name == IN_MEMORY:
        return
    with suppress(OSError):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    for end in ("", *_BESIDE):
        _close(Path(name + end))


def _close(path: Path) -> None:
    with suppress(OSError):  # SQLite removes those beside it at any time
        found = path.stat()
        if found.st_uid == os.geteuid() and found.st_mode & 0o077:
            path.chmod(stat.S_IMODE(found.st_mode) & ~0o077)
