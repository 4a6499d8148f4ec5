"""Parts that wait on the temporary disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncapp.engine.budget import Budget, Disk, Memory
from syncapp.engine.spool import PartFiller, Spool
from syncapp.errors import IntegrityError
from syncapp.types import Part

SIZE = 32 * 1024


def test_bytes_that_the_disk_gives_back_otherwise_are_not_taken_for_right(tmp_path: Path) -> None:
    budget = Budget(Memory(SIZE), Disk(tmp_path, SIZE), at_once=4)
    budget.memory.take(SIZE)
    filler = PartFiller(Spool(budget, [0]), 1, SIZE, lambda *_: None)
    filler.write(bytes(SIZE))
    held = filler.close()
    assert held.path is not None
    held.path.write_bytes(b"\1" + bytes(SIZE - 1))
    with pytest.raises(IntegrityError):
        _ = held.part.md5
    with pytest.raises(IntegrityError):
        _ = held.part.sha256
    assert held.part.crc32c == Part.of(1, bytes(SIZE)).crc32c, "what the store is told"
    budget.disk.close()
