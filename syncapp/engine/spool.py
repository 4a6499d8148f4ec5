"""A file between its one reader and its several destinations: parts, each freed when done.

A part lives in memory while the process's window lasts, otherwise in a temporary file within the
host's budget. Every destination still counted owes a confirmation of every part, in any order; a
part is freed with the last. A destination that failed for the moment stays counted (its parts are
held for another try) until the reader needs the room: then it is dropped and served later.
"""

from __future__ import annotations

import errno
import io
import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from syncapp.buffers import gathered, reserved
from syncapp.engine.budget import Budget
from syncapp.errors import BackupError, TransientError, Unavailable
from syncapp.types import Crc32c, Digest, Part

_GROWS = 1024**2  # bytes up to which a part's memory is not reserved beforehand
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Held:
    """A part and where its bytes are: in `memory_bytes`, or in a file, or already freed."""

    part: Part
    memory_bytes: int = 0
    path: Path | None = None
    owed: set[int] = field(default_factory=set)  # destinations that have not confirmed it


class Dropped(TransientError):
    """The room was needed: this destination's parts are gone, another read must serve it."""

    code = "dropped"


class Spool:
    """One file on its way. The reader appends and seals; destinations confirm."""

    def __init__(self, budget: Budget, destinations: list[int]) -> None:
        self.budget = budget
        self._held: list[Held] = []
        self._counted = set(destinations)
        self._stalled: set[int] = set()
        self._lock = threading.Lock()
        self.several = False
        self.digest: Digest | None = None
        self.error: BackupError | None = None

    # The reader's side

    def append(self, held: Held) -> None:
        """The next part is complete."""
        with self._lock:
            held.owed = set(self._counted)
            self._held.append(held)
            self.budget.owe(held.owed - self._stalled, [held.part.size])
            if not held.owed:
                _discard(held, self.budget)

    def expect_more(self) -> None:
        """The file does not end with its first part; said before room for a second is asked."""
        self.several = True

    def seal(self, digest: Digest) -> None:
        """All parts are there, and they are what the source promised."""
        self.digest = digest

    def fail(self, error: BackupError) -> None:
        """There will be no more parts, and what there is must not become an object."""
        self.error = error

    def drop_stalled(self) -> bool:
        """Give up the destinations that failed for the moment, to make room; whether any was."""
        with self._lock:
            dropped = self._stalled & self._counted
            for destination in dropped:
                self._forget(destination)
        return bool(dropped)

    def claim(
        self, size: int, make_room: Callable[[int, int], None], on_disk: Callable[[int], bool]
    ) -> bool:
        """Room for `size` bytes: True in memory, False where `on_disk` has taken them, which is
        asked while a destination of this file would stand idle. `make_room` is called with what
        was freed so far (`Budget.times_freed`) and the size: it waits, or raises."""
        while True:
            freed = self.budget.times_freed
            if self.budget.take_memory(size):
                return True
            if self.may_use_disk(size) and on_disk(size):
                return False
            make_room(freed, size)

    def may_use_disk(self, wanted: int) -> bool:
        """Whether one that takes this file would stand idle while `wanted` bytes wait for memory;
        also if all failed for the moment."""
        with self._lock:
            taking = self._counted - self._stalled
        return self.budget.is_idle(taking, wanted)

    @property
    def abandoned(self) -> bool:
        """Nobody takes parts any more."""
        return not self._counted

    # A destination's side

    def part(self, number: int) -> Held | None:
        """The part of this number (from 1), None if it is not there yet."""
        return self._held[number - 1] if number <= len(self._held) else None

    def count(self) -> int:
        """Parts that are there, or were."""
        return len(self._held)

    def confirm(self, destination: int, number: int) -> None:
        """The destination has this part."""
        with self._lock:
            self._paid(destination, self._held[number - 1])

    def stall(self, destination: int) -> None:
        """It failed for the moment; its parts are held while there is room."""
        with self._lock:
            if destination in self._counted and destination not in self._stalled:
                self._stalled.add(destination)
                self.budget.paid(destination, self._owed_by(destination))

    def take_up(self, destination: int) -> None:
        """It tries again. Raises Dropped if its parts are gone."""
        with self._lock:
            if destination not in self._counted:
                raise Dropped("The temporary space was needed; a later read makes this copy.")
            if destination in self._stalled:
                self._stalled.discard(destination)
                self.budget.owe({destination}, self._owed_by(destination))

    def leave(self, destination: int) -> None:
        """It is done, or will not come back."""
        with self._lock:
            self._forget(destination)

    def holds_for(self, destination: int) -> bool:
        """Whether another try of this one can be made without reading the source again."""
        return destination in self._counted and self.digest is not None

    def spill(self) -> bool:
        """Move what is in memory to disk, to be held for longer; False if there is no room."""
        with self._lock:
            return all(
                _spill(held, self.budget) for held in self._held if held.owed and held.memory_bytes
            )

    def close(self) -> None:
        """Free everything that is left."""
        with self._lock:
            for destination in list(self._counted):
                self._forget(destination)

    def _owed_by(self, destination: int) -> list[int]:
        return [held.part.size for held in self._held if destination in held.owed]

    def _forget(self, destination: int) -> None:
        if destination not in self._counted:
            return
        for held in self._held:
            self._paid(destination, held)
        self._counted.discard(destination)
        self._stalled.discard(destination)

    def _paid(self, destination: int, held: Held) -> None:
        if destination not in held.owed:
            return
        held.owed.discard(destination)
        if destination not in self._stalled:
            self.budget.paid(destination, [held.part.size])
        if not held.owed:
            _discard(held, self.budget)


def _discard(held: Held, budget: Budget) -> None:
    held.part = replace(held.part, open=_gone)
    if held.path is not None:
        held.path.unlink()
        budget.give_disk(held.part.size)
    elif held.memory_bytes:
        budget.give_memory(held.memory_bytes)


def _spill(held: Held, budget: Budget) -> bool:
    if not budget.disk.take(held.part.size):
        return False
    path = budget.disk.folder / f"{uuid.uuid4().hex}.part"
    crc32c = held.part.crc32c  # before it leaves the memory: a disk may give other bytes back
    try:
        with held.part.open() as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        path.unlink(missing_ok=True)
        budget.disk.give(held.part.size)
        return False
    held.part = replace(held.part, open=lambda: path.open("rb"), known_crc32c=crc32c)
    held.path = path
    budget.give_memory(held.memory_bytes)
    held.memory_bytes = 0
    return True


def _gone() -> BinaryIO:
    raise Dropped("This part was already freed.")


class PartFiller:
    """Collects bytes into one part of at most `size` bytes.

    `make_room` is called while there is neither memory nor disk for it, as by `Spool.claim`.
    """

    def __init__(
        self, spool: Spool, number: int, size: int, make_room: Callable[[int, int], None]
    ) -> None:
        self.number, self.size = number, size
        self._budget = budget = spool.budget
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._bytes = io.BytesIO()
        self._crc32c = Crc32c()  # of what goes to disk, which may give other bytes back
        self.filled = 0
        if not spool.claim(size, make_room, budget.disk.take):
            self._path = budget.disk.folder / f"{uuid.uuid4().hex}.part"
            self._file = self._path.open("wb", buffering=0)
        elif size > _GROWS:
            self._bytes = reserved(size)

    def write(self, data: bytes) -> bytes:
        """Take what fits; the rest comes back."""
        room = self.size - self.filled
        fitting, rest = (data, b"") if len(data) <= room else (data[:room], data[room:])
        if self._file is None:
            self._bytes.write(fitting)
        else:
            self._to_file(self._file, fitting)
        self.filled += len(fitting)
        return rest

    def _to_file(self, file: BinaryIO, data: bytes) -> None:
        self._crc32c.update(data)
        try:
            file.write(data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            message = f"The temporary disk ({self._budget.disk.root}) is full."
            raise Unavailable(message, code="temporary_disk_full") from error

    def close(self) -> Held:
        """The finished part; claims that it did not need are returned."""
        spare = self.size - self.filled
        if self._file is not None and self._path is not None:
            self._file.close()
            if spare:
                self._budget.give_disk(spare)
            path, crc32c = self._path, self._crc32c.digest()
            part = Part(self.number, self.filled, b"", lambda: path.open("rb"), known_crc32c=crc32c)
            return Held(part, 0, path)
        if spare:
            self._budget.give_memory(spare)
        return Held(Part.of(self.number, gathered(self._bytes)), memory_bytes=self.filled)

    def discard(self) -> None:
        """Give everything back unused."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._path.unlink()
            self._budget.give_disk(self.size)
        else:
            self._budget.give_memory(self.size)
