"""Making many files durable at the cost of a few: one syncfs(2) instead of two fsync(2) a file.

Only where that is known to be as good: on a disk's own file system (a network share, FUSE or an
overlay may answer before all is written), and since Linux 5.8, which made it tell of failures.
"""

from __future__ import annotations

import ctypes
import os
import re
import weakref
from pathlib import Path

FEW = 8  # so many are made durable one by one: whatever else the disk has to write need not wait
_AS_GOOD = {"ext4", "xfs", "btrfs", "f2fs", "tmpfs"}
_TELLS = (5, 8)
_libc = ctypes.CDLL(None, use_errno=True)


class FileSystem:
    """The one that a folder lies on. Made before anything is written there: failures since then
    are told."""

    def __init__(self, folder_fd: int) -> None:
        self._fd = os.dup(folder_fd)
        weakref.finalize(self, os.close, self._fd)
        self.syncs_at_once = _release() >= _TELLS and _kind(self._fd) in _AS_GOOD

    def holds(self, folder_fd: int) -> bool:
        """Whether this folder lies there too."""
        return os.fstat(folder_fd).st_dev == os.fstat(self._fd).st_dev

    def sync(self) -> None:
        """Make everything on it durable. OSError if anything could not be written."""
        if _libc.syncfs(self._fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def _release() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _kind(fd: int) -> str:
    """The file system's name, "" where the kernel does not tell."""
    try:
        about = Path(f"/proc/self/fdinfo/{fd}").read_text()
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:
        return ""
    mount = re.search(r"^mnt_id:\s*(\d+)$", about, re.MULTILINE)
    line = mount and re.search(rf"^{mount[1]} .* - (\S+) ", mounts, re.MULTILINE)
    return line[1] if line else ""
