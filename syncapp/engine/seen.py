"""Which rows a listing has named: a byte per row, in blocks, so that gaps in the keys cost nothing.

Rows are written a page at a time, so a million files fill about a megabyte, wherever their keys
begin.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

_BITS = 12
_BLOCK = 1 << _BITS
_NUMBER_BYTES = 8


class Seen:
    """A set of primary keys."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}

    def add(self, pks: Iterable[int]) -> None:
        """These were named."""
        blocks = self._blocks
        for pk in pks:
            number = pk >> _BITS
            block = blocks.get(number)
            if block is None:
                block = blocks[number] = bytearray(_BLOCK)
            block[pk & (_BLOCK - 1)] = 1

    @classmethod
    def unpack(cls, packed: bytes) -> Seen:
        """What `pack` was called on."""
        seen, data = cls(), zlib.decompress(packed) if packed else b""
        step = _BLOCK + _NUMBER_BYTES
        for at in range(0, len(data), step):
            number = int.from_bytes(data[at : at + _NUMBER_BYTES], "big")
            seen._blocks[number] = bytearray(data[at + _NUMBER_BYTES : at + step])
        return seen

    def pack(self) -> bytes:
        """All of it, in about a kilobyte a million rows if there are few gaps."""
        squeeze = zlib.compressobj(1)
        parts = [
            squeeze.compress(number.to_bytes(_NUMBER_BYTES, "big") + block)
            for number, block in self._blocks.items()
        ]
        return b"".join([*parts, squeeze.flush()])

    def lacks(self, pks: Iterable[int]) -> list[int]:
        """Those of these that were not named."""
        blocks, none = self._blocks, bytes(_BLOCK)
        return [pk for pk in pks if not blocks.get(pk >> _BITS, none)[pk & (_BLOCK - 1)]]

    def __contains__(self, pk: int) -> bool:
        block = self._blocks.get(pk >> _BITS)
        return block is not None and block[pk & (_BLOCK - 1)] == 1

    def __len__(self) -> int:
        return sum(block.count(1) for block in self._blocks.values())
