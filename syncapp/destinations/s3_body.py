"""A part as the body of a request: never a second copy of its bytes, never more or less of them."""

from __future__ import annotations

import io

from syncapp.errors import IntegrityError
from syncapp.types import Part

SMALL_BYTES = 1024**2  # such a part is read into memory, wherever it lies


class PartBody(io.RawIOBase):
    """A part as the body of a request: read from its source, never held here a second time.

    Raises IntegrityError into the HTTP client if the part is shorter than it says, so that no
    store waits for the rest; what is beyond its size is not sent but told too.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._reader = part.open()
        self._position = 0

    @property
    def sha256_hex(self) -> str:
        """Of all of it."""
        return self._part.sha256.hex()

    def __len__(self) -> int:
        return self._part.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._part.size}[whence]
        if base + offset != self._position:
            self._reader.close()
            self._reader = self._part.open()
            self._position = self._reader.seek(base + offset)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        left = self._part.size - self._position
        data = self._reader.read(left if size < 0 else min(size, left))
        self._position += len(data)
        if left and not data and size:
            raise wrong_length(self._part)
        if left and len(data) == left and self._reader.read(1):
            raise wrong_length(self._part)
        return data

    def close(self) -> None:
        self._reader.close()
        super().close()


def in_memory(part: Part) -> bytes | None:
    """The bytes of a part that is in memory, uncopied, or small; None: read it while it is sent."""
    with part.open() as reader:
        if part.size > SMALL_BYTES and type(reader) is not io.BytesIO:
            return None
        # Reading all of a BytesIO gives the very bytes that it was made of.
        data = reader.read(part.size + 1)
    if len(data) != part.size:
        raise wrong_length(part)
    return data


def wrong_length(part: Part) -> IntegrityError:
    return IntegrityError(f"Part {part.number} does not have the {part.size} bytes it should have.")
