"""Zip archives written to a stream (PKWARE APPNOTE 6.3.10), of any size and number of entries.

Why no library: zipstream-ng gives streamed entries the present time and keeps 1 kB an entry,
stream-zip keeps 0.3 kB and brings a library of ciphers. Here the central directory goes to a
temporary file, so memory does not grow at all.

An entry whose bytes are known beforehand is stored or deflated, with size and CRC in front. One
that is streamed is always a deflate stream with its size and CRC behind it, of blocks that are
merely stored where the bytes would not shrink: only so do readers that can't seek find its end.
Names are UTF-8; times are local (MS-DOS) and exact to the second (extra field "UT").
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from struct import pack
from typing import NamedTuple

from django.utils import timezone

STORE, DEFLATE = 0, 6  # zlib's levels
_STORED, _DEFLATED = 0, 8
_MOST_32, _MOST_16 = 0xFFFF_FFFF, 0xFFFF
# Blocks that are only stored take 5 bytes for 16 kB: below this nothing outgrows 32 bits.
_SAFE_32 = 4_000_000_000
_UTF8, _BEHIND = 1 << 11, 1 << 3  # flags: encoding of names; size and CRC follow the bytes
_UNIX, _ZIP64_VERSION, _VERSION = 3 << 8, 45, 20
_FILE_MODE, _FOLDER_MODE = 0o100644 << 16, 0o040755 << 16 | 0x10
_IN_MEMORY = 1024**2  # of the directory, before it becomes a file
_READ = 64 * 1024


class _Entry(NamedTuple):
    """What header and directory say alike."""

    name: bytes
    flags: int
    method: int
    dos: bytes
    unix: bytes
    attributes: int


class ZipWriter:
    """One archive: hand the bytes of each call out in order, those of `end` last."""

    def __init__(self, spool_dir: str | None = None) -> None:
        """The directory's file lies in `spool_dir` (None: the system's)."""
        self._directory = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=spool_dir)  # noqa: SIM115
        self._at = 0
        self._entries = 0

    def __enter__(self) -> ZipWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.close()

    def folder(self, name: str, modified_at: datetime | None) -> Iterator[bytes]:
        """A folder; what it holds comes in entries of its own."""
        entry = _entry(f"{name}/", modified_at, _STORED, attributes=_FOLDER_MODE)
        yield from self._known(entry, b"", 0, 0)

    def whole(
        self, name: str, modified_at: datetime | None, data: bytes, level: int = STORE
    ) -> Iterator[bytes]:
        """A file whose bytes are at hand; deflated only if that makes it smaller."""
        body, method = data, _STORED
        if level != STORE:
            packer = _packer(level)
            packed = packer.compress(data) + packer.flush()
            if len(packed) < len(data):
                body, method = packed, _DEFLATED
        entry = _entry(name, modified_at, method)
        yield from self._known(entry, body, zlib.crc32(data), len(data))

    def _known(self, entry: _Entry, body: bytes, crc: int, size: int) -> Iterator[bytes]:
        start = self._at
        yield self._count(_header(entry, _VERSION, crc, (len(body), size), entry.unix) + body)
        self._register(entry, start, crc, len(body), size)

    def streamed(
        self,
        name: str,
        modified_at: datetime | None,
        chunks: Iterable[bytes],
        *,
        size: int,
        level: int = STORE,
    ) -> Iterator[bytes]:
        """A file of `size` bytes as they come. If reading fails, the archive is lost."""
        start, wide = self._at, size >= _SAFE_32
        entry = _entry(name, modified_at, _DEFLATED, flags=_BEHIND)
        if wide:
            extra = pack("<HHQQ", 1, 16, 0, 0) + entry.unix
            yield self._count(_header(entry, _ZIP64_VERSION, 0, (_MOST_32, _MOST_32), extra))
        else:
            yield self._count(_header(entry, _VERSION, 0, (0, 0), entry.unix))
        packer, crc, seen, packed = _packer(level), 0, 0, 0
        for chunk in chunks:
            crc, seen = zlib.crc32(chunk, crc), seen + len(chunk)
            if out := packer.compress(chunk):
                packed += len(out)
                yield self._count(out)
        out = packer.flush()
        packed += len(out)
        if seen != size:
            raise ValueError(f"{seen} bytes came where {size} were announced")
        yield self._count(
            out + pack("<4sLQQ" if wide else "<4sLLL", b"PK\x07\x08", crc, packed, seen)
        )
        self._register(entry, start, crc, packed, seen)

    def end(self) -> Iterator[bytes]:
        """The central directory: without it nothing opens the archive."""
        start = self._at
        self._directory.seek(0)
        while data := self._directory.read(_READ):
            yield self._count(data)
        size, entries = self._at - start, self._entries
        if entries >= _MOST_16 or max(start, size) >= _MOST_32:
            version = _UNIX | _ZIP64_VERSION
            yield pack(
                *("<4sQHHLLQQQQ", b"PK\x06\x06", 44, version, _ZIP64_VERSION, 0, 0),
                *(entries, entries, size, start),
            ) + pack("<4sLQL", b"PK\x06\x07", 0, self._at, 1)
        few = min(entries, _MOST_16)
        place = min(size, _MOST_32), min(start, _MOST_32)
        yield pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, few, few, *place, 0)

    def _count(self, data: bytes) -> bytes:
        self._at += len(data)
        return data

    def _register(self, entry: _Entry, start: int, crc: int, packed: int, size: int) -> None:
        """Write the entry's line of the directory."""
        wide = [value for value in (size, packed, start) if value >= _MOST_32]
        extra = entry.unix
        if wide:
            extra = pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) + extra
        is_wide = wide or (entry.flags & _BEHIND and size >= _SAFE_32)
        version = _ZIP64_VERSION if is_wide else _VERSION
        self._directory.write(
            pack("<4sHHHH", b"PK\x01\x02", _UNIX | version, version, entry.flags, entry.method)
            + entry.dos
            + pack("<LLL", crc, min(packed, _MOST_32), min(size, _MOST_32))
            + pack("<HHHHH", len(entry.name), len(extra), 0, 0, 0)
            + pack("<LL", entry.attributes, min(start, _MOST_32))
            + entry.name
            + extra
        )
        self._entries += 1


def _entry(
    name: str,
    modified_at: datetime | None,
    method: int,
    *,
    flags: int = 0,
    attributes: int = _FILE_MODE,
) -> _Entry:
    dos, unix = _times(modified_at or timezone.now())
    return _Entry(name.encode(errors="replace"), _UTF8 | flags, method, dos, unix, attributes)


def _times(moment: datetime) -> tuple[bytes, bytes]:
    """As MS-DOS has it (local, every other second, 1980 to 2107), and as the field "UT" does."""
    local = timezone.localtime(moment)
    if local.year < 1980:
        local = datetime(1980, 1, 1, tzinfo=UTC)
    elif local.year > 2107:
        local = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
    time = local.hour << 11 | local.minute << 5 | local.second // 2
    date = (local.year - 1980) << 9 | local.month << 5 | local.day
    seconds = min(max(int(moment.timestamp()), -(2**31)), 2**31 - 1)
    return pack("<HH", time, date), pack("<HHBl", 0x5455, 5, 1, seconds)


def _header(entry: _Entry, version: int, crc: int, sizes: tuple[int, int], extra: bytes) -> bytes:
    """What stands before an entry's bytes; `sizes`: packed and as they are."""
    return (
        pack("<4sHHH", b"PK\x03\x04", version, entry.flags, entry.method)
        + entry.dos
        + pack("<LLL", crc, *sizes)
        + pack("<HH", len(entry.name), len(extra))
        + entry.name
        + extra
    )


def _packer(level: int) -> zlib._Compress:
    return zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
