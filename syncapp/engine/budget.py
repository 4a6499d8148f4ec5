"""How much may be in flight: bytes in memory per process, bytes on temporary disk per host.

The disk budget is shared by all worker processes of a host. Each has a folder of its own in the
spool, with the number of bytes that it claims and a lock that the kernel drops when the process
dies: whoever claims next, and the supervisor now and then, sweeps the dead one's folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_LOCK, _ALIVE, _CLAIMED = "lock", "alive", "claimed"
OTHERS_S = 0.2  # after which what another process has freed is found


class Memory:
    """A count of bytes that never goes over its limit. One request at a time may be larger."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Claim `size` bytes if they fit now."""
        with self._lock:
            if self._used and self._used + size > self.limit:
                return False
            self._used += size
            return True

    def give(self, size: int) -> None:
        """Return bytes."""
        with self._lock:
            self._used -= size


class Disk:
    """This process's folder in the spool and its share of the host's budget."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit
        self.folder = root / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._claimed = 0
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            # Made under the lock: a sweep can't meet the folder before it is alive.
            self.folder.mkdir(mode=0o700)
            self._alive = (self.folder / _ALIVE).open("wb")
            fcntl.flock(self._alive, fcntl.LOCK_EX)
            self._claim(0)

    def take(self, size: int) -> bool:
        """Claim `size` bytes of the host's budget if they fit now."""
        with self._locked():
            _sweep(self.root, self.folder)
            if self._others() + self._claimed + size > self.limit:
                return False
            self._claim(size)
            return True

    def give(self, size: int) -> None:
        """Return bytes."""
        with self._locked():
            self._claim(-size)

    def used(self) -> int:
        """Bytes claimed on this host now, by all processes."""
        with self._locked():
            _sweep(self.root, self.folder)
            return self._others() + self._claimed

    def close(self) -> None:
        """Remove this process's folder and with it its claim."""
        with self._locked():
            shutil.rmtree(self.folder)
        self._alive.close()

    def _claim(self, more: int) -> None:
        self._claimed += more
        (self.folder / _CLAIMED).write_text(str(self._claimed))

    def _others(self) -> int:
        claims = (
            folder / _CLAIMED
            for folder in self.root.iterdir()
            if folder.is_dir() and folder != self.folder
        )
        return sum(int(claim.read_text()) for claim in claims if claim.exists())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _locked(self.root):
            yield


def sweep(root: Path) -> None:
    """Remove what processes that have died left in the spool of this host."""
    if root.is_dir():
        with _locked(root):
            _sweep(root)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sweep(root: Path, own: Path | None = None) -> None:
    for folder in root.iterdir():
        if folder.is_dir() and folder != own and _is_dead(folder):
            shutil.rmtree(folder)


def _is_dead(folder: Path) -> bool:
    try:
        with (folder / _ALIVE).open("rb") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


class Budget:
    """Memory first, disk where that keeps somebody at work, and a wait where neither is there.

    It knows how many bytes, and in how many pieces, each destination is behind the reads (`owe`,
    `paid`). While those that a file is for have enough to do, its reader waits for memory; disk is
    used only where one of them would otherwise stand idle because another is slow.

    `on_pressure` is called while somebody has to wait: it may free what is only kept in case
    (parked spools), and answers whether it freed anything.
    """

    def __init__(self, memory: Memory, disk: Disk, *, at_once: int) -> None:
        """`at_once` is how many pieces a destination takes at the same time."""
        self.memory, self.disk = memory, disk
        self.freed = threading.Condition()
        self.on_pressure: Callable[[], bool] = lambda: False
        self.times_freed = 0
        self._few_bytes, self._few_pieces = memory.limit // 4, 2 * at_once
        self._owed: dict[int, tuple[int, int]] = {}  # bytes and pieces, by destination
        self._lock = threading.Lock()

    def owe(self, destinations: Collection[int], sizes: Sequence[int]) -> None:
        """These have pieces of so many bytes more to store."""
        with self._lock:
            for destination in destinations:
                size, pieces = self._owed.get(destination, (0, 0))
                self._owed[destination] = size + sum(sizes), pieces + len(sizes)

    def paid(self, destination: int, sizes: Sequence[int]) -> None:
        """It has stored these pieces, or will not."""
        with self._lock:
            size, pieces = self._owed[destination]
            self._owed[destination] = size - sum(sizes), pieces - len(sizes)
        if self.is_idle([destination]):  # a reader may go on by way of the disk
            self._tell()

    def is_idle(self, destinations: Collection[int], wanted: int = 0) -> bool:
        """Whether one of them, if any, has little left to do: few bytes, and few pieces unless a
        part of `wanted` bytes, too large to wait for memory among small ones, is to come."""
        with self._lock:
            left = [self._owed.get(destination, (0, 0)) for destination in destinations]
        large = wanted > self._few_bytes
        return not left or any(
            size < self._few_bytes and (large or pieces < self._few_pieces) for size, pieces in left
        )

    def take_memory(self, size: int) -> bool:
        """Claim `size` bytes of memory if they fit now."""
        if not self.memory.take(size):
            return False
        with self.freed:  # whoever freed memory woke one; there may be enough for another
            self.freed.notify()
        return True

    def give_memory(self, size: int) -> None:
        """Return bytes of memory and wake who waits."""
        self.memory.give(size)
        self._tell()

    def give_disk(self, size: int) -> None:
        """Return bytes of disk and wake who waits."""
        self.disk.give(size)
        self._tell()

    def wait(self, times_freed: int) -> None:
        """Until more was freed here than so far, a destination has little left to do, or long
        enough that another process may have freed something."""
        with self.freed:
            if self.times_freed == times_freed:
                self.freed.wait(timeout=OTHERS_S)

    def _tell(self) -> None:
        """One is woken, not all: most would find too little."""
        with self.freed:
            self.times_freed += 1
            self.freed.notify()
