"""Bytes gathered in memory that are held once: not moved as they grow, not copied at the end."""

from __future__ import annotations

from io import BytesIO


def reserved(size: int) -> BytesIO:
    """A buffer whose memory for `size` > 0 bytes is taken at once."""
    buffer = BytesIO()
    buffer.seek(size - 1)
    buffer.write(b"\0")
    buffer.seek(0)
    return buffer


def gathered(buffer: BytesIO) -> bytes:
    """What was written into it and no more; its own memory, CPython copies nothing here."""
    buffer.truncate(buffer.tell())
    return buffer.getvalue()
