"""A file between its one reader and its several writers: parts, in order, each freed when done.

A part lives in memory while the process's window lasts, otherwise in a temporary file within the
host's budget. A writer takes parts at its own pace; a part is freed once every writer that is
still counted has confirmed it. A writer that failed for the moment stays counted (its parts are
held for another try) until the reader needs the room: then it is dropped and served later.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from syncapp.engine.budget import Budget
from syncapp.errors import BackupError, TransientError
from syncapp.types import Digest, Part


@dataclass
class _Held:
    """A part and where its bytes are: in `memory_bytes`, or in a file, or already freed."""

    part: Part
    memory_bytes: int = 0
    path: Path | None = None


class Dropped(TransientError):
    """The room was needed: this writer's parts are gone, it must be served by another read."""

    code = "dropped"


class Spool:
    """One file on its way. The reader appends and seals; writers take and confirm."""

    def __init__(self, budget: Budget, writers: list[int]) -> None:
        self._budget = budget
        self._held: list[_Held] = []
        self._confirmed = dict.fromkeys(writers, 0)  # parts confirmed, by writer
        self._stalled: set[int] = set()
        self._freed = 0
        self._several = False
        self._changed = threading.Condition()
        self.digest: Digest | None = None
        self.error: BackupError | None = None

    # The reader's side

    def append(self, held: _Held) -> None:
        """The next part is complete."""
        with self._changed:
            self._held.append(held)
            self._free()
            self._changed.notify_all()

    def expect_more(self) -> None:
        """The file does not end with its first part; said before room for a second is asked."""
        with self._changed:
            self._several = True
            self._changed.notify_all()

    def seal(self, digest: Digest) -> None:
        """All parts are there, and they are what the source promised."""
        with self._changed:
            self.digest = digest
            self._changed.notify_all()

    def fail(self, error: BackupError) -> None:
        """There will be no more parts; writers must abort."""
        with self._changed:
            self.error = error
            self._changed.notify_all()

    def drop_stalled(self) -> bool:
        """Give up the writers that failed for the moment, to make room; whether any was."""
        with self._changed:
            dropped = [writer for writer in self._stalled if writer in self._confirmed]
            for writer in dropped:
                del self._confirmed[writer]
            self._free()
            self._changed.notify_all()
        return bool(dropped)

    @property
    def abandoned(self) -> bool:
        """Nobody takes parts any more."""
        with self._changed:
            return not self._confirmed

    # A writer's side

    def take(self, writer: int) -> tuple[Part | None, bool]:
        """The writer's next part, and whether the file is whole in it alone.

        Blocks until that is known. None when all parts are confirmed and the file is sealed.
        Raises the reader's error, or Dropped.
        """
        with self._changed:
            self._stalled.discard(writer)
            while True:
                self._check(writer)
                at = self._confirmed[writer]
                # A first part waits until it is known whether it is all.
                if len(self._held) > at and (self._several or self.digest):
                    return self._held[at].part, not self._several
                if self.digest:
                    return None, False
                self._changed.wait()

    def confirm(self, writer: int) -> None:
        """The writer's destination has its next part."""
        with self._changed:
            if writer in self._confirmed:
                self._confirmed[writer] += 1
                self._free()

    def stall(self, writer: int) -> None:
        """The writer failed for the moment; its parts are held while there is room."""
        with self._changed:
            self._stalled.add(writer)

    def leave(self, writer: int) -> None:
        """The writer is done, or will not come back."""
        with self._changed:
            self._confirmed.pop(writer, None)
            self._free()
            self._changed.notify_all()

    def holds_for(self, writer: int) -> bool:
        """Whether another try of this writer can be made without reading the source again."""
        with self._changed:
            return writer in self._confirmed and self.digest is not None

    def spill(self) -> bool:
        """Move what is in memory to disk, to be held for longer; False if there is no room."""
        with self._changed:
            for held in self._held[self._freed :]:
                if held.memory_bytes and not _spill(held, self._budget):
                    return False
        return True

    def close(self) -> None:
        """Free everything that is left."""
        with self._changed:
            self._confirmed.clear()
            self._free()

    def _check(self, writer: int) -> None:
        if self.error:
            raise self.error
        if writer not in self._confirmed:
            raise Dropped("The temporary space was needed; this copy is made by a later read.")

    def _free(self) -> None:
        needed = min(self._confirmed.values(), default=len(self._held))
        for held in self._held[self._freed : needed]:
            _discard(held, self._budget)
        self._freed = max(self._freed, needed)


def _discard(held: _Held, budget: Budget) -> None:
    if held.path is not None:
        held.path.unlink()
        budget.give_disk(held.part.size)
    elif held.memory_bytes:
        budget.give_memory(held.memory_bytes)
    held.part = replace(held.part, open=_gone)


def _spill(held: _Held, budget: Budget) -> bool:
    if not budget.disk.take(held.part.size):
        return False
    path = budget.disk.folder / f"{uuid.uuid4().hex}.part"
    with held.part.open() as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    held.part = replace(held.part, open=lambda: path.open("rb"))
    held.path = path
    budget.give_memory(held.memory_bytes)
    held.memory_bytes = 0
    return True


def _gone() -> BinaryIO:
    raise Dropped("This part was already freed.")


class PartFiller:
    """Collects bytes into one part of at most `size` bytes, and hashes them as they pass."""

    def __init__(self, budget: Budget, number: int, size: int, spool: Spool) -> None:
        self.number, self.size = number, size
        self._budget = budget
        self._md5, self._sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._chunks: list[bytes] = []
        self.filled = 0
        self._claim(spool)

    def _claim(self, spool: Spool) -> None:
        """Memory, else disk, else wait: first for stalled writers' parts, then for others'."""
        disk = self._budget.disk
        while not self._budget.memory.take(self.size):
            if disk.take(self.size):
                self._path = disk.folder / f"{uuid.uuid4().hex}.part"
                self._file = self._path.open("wb", buffering=0)
                return
            if not spool.drop_stalled():
                self._budget.wait()

    def write(self, data: memoryview) -> memoryview:
        """Take what fits; the rest comes back."""
        fitting, rest = data[: self.size - self.filled], data[self.size - self.filled :]
        self._md5.update(fitting)
        self._sha256.update(fitting)
        if self._file is not None:
            self._file.write(fitting)
        else:
            self._chunks.append(bytes(fitting))
        self.filled += len(fitting)
        return rest

    def close(self) -> _Held:
        """The finished part; claims that it did not need are returned."""
        spare = self.size - self.filled
        digests = self._md5.digest(), self._sha256.digest()
        if self._file is not None and self._path is not None:
            self._file.close()
            self._budget.give_disk(spare)
            path = self._path
            part = Part(self.number, self.filled, *digests, lambda: path.open("rb"))
            return _Held(part, path=path)
        self._budget.give_memory(spare)
        part = Part.of(self.number, b"".join(self._chunks), *digests)
        self._chunks.clear()
        return _Held(part, memory_bytes=self.filled)

    def discard(self) -> None:
        """Give everything back unused."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._path.unlink()
            self._budget.give_disk(self.size)
        else:
            self._budget.give_memory(self.size)
