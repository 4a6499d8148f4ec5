"""Catalog segments as bytes: names, lines, and the check that nothing is lacking. Pure.

A part is gzip'd JSON Lines: a header, a line a file (or a removed one), a trailer with the number
of lines between and the SHA-256 of every byte before it. docs/format.md is the exact description,
`scripts/restore_without_app.py` a second reader. Whoever changes what a reader must know raises
VERSION.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import orjson

from syncapp.errors import IntegrityError
from syncapp.types import JsonObject

FORMAT, VERSION = "backup-catalog", 1
FOLDER = ".catalog"
DATABASE_FOLDER = f"{FOLDER}/database"
MOST_LINES = 50_000  # files in a part
MOST_LINE_BYTES = 64 * 1024**2  # a longer line is damage, not a file
_LEVEL = 4  # a third less time than 6 for a tenth more bytes
_BUFFER_BYTES = 256 * 1024
_NAME = re.compile(
    r"(?P<number>\d{9,18})-(?P<kind>full|delta)-(?P<part>\d{4,9})of(?P<parts>\d{4,9})"
    r"-d(?P<destination>\d{1,18})\.jsonl\.gz"
)


class DamagedSegment(IntegrityError):
    """A part is not what was written: cut, changed, or of a format that is not known here."""

    code = "damaged_segment"


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """One part of a segment. Names sort as they were written.

    `destination` is the id under which the segment's own header and copies know the place that
    it lies in.
    """

    slug: str
    number: int
    kind: str
    part: int
    parts: int
    destination: int

    @property
    def key(self) -> str:
        """Where it lies, below the destination's prefix."""
        place = f"{self.part:04}of{self.parts:04}-d{self.destination}"
        return f"{FOLDER}/{self.slug}/{self.number:09}-{self.kind}-{place}.jsonl.gz"

    @classmethod
    def parse(cls, key: str) -> Name | None:
        """The name that a key says, None for anything else."""
        folder, _, rest = key.partition("/")
        slug, _, name = rest.partition("/")
        match = _NAME.fullmatch(name)
        if folder != FOLDER or not slug or match is None:
            return None
        kind, numbers = (
            match["kind"],
            {k: int(v) for k, v in match.groupdict().items() if k != "kind"},
        )
        found = cls(slug=slug, kind=kind, **numbers)
        return found if 1 <= found.part <= found.parts else None


class PartWriter:
    """Writes one part into an open binary file; `close` adds the trailer."""

    def __init__(self, target: BinaryIO, header: JsonObject) -> None:
        self._gzip = gzip.GzipFile("", "wb", _LEVEL, target, mtime=0)
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.lines = 0
        self._add(orjson.dumps({"format": FORMAT, "version": VERSION, **header}))

    def add(self, line: JsonObject) -> None:
        """One file."""
        self._add(orjson.dumps(line))
        self.lines += 1

    def close(self) -> None:
        """Finish the part; the target stays open."""
        self._flush()
        trailer = {"end": True, "lines": self.lines, "sha256": self._digest.hexdigest()}
        self._gzip.write(orjson.dumps(trailer) + b"\n")
        self._gzip.close()

    def _add(self, line: bytes) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes > _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            data = b"\n".join([*self._waiting, b""])
            self._digest.update(data)
            self._gzip.write(data)
            self._waiting.clear()
            self._waiting_bytes = 0


class PartReader:
    """Reads one part from its chunks; DamagedSegment as soon as, or at the end if, it is not whole.

    `header` is there after the first line was asked for. Whoever acts on lines before the end must
    be able to take it back.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._lines = _lines(_inflated(chunks))
        self.header: JsonObject = {}

    def lines(self) -> Iterator[JsonObject]:
        """Every line between header and trailer."""
        digest = hashlib.sha256()
        count, last = 0, b""
        for line in self._lines:
            if last:
                if self.header:
                    count += 1
                    yield _object(last)
                else:
                    self.header = _header(last)
                digest.update(last)
                digest.update(b"\n")
            last = line
        if not self.header:
            raise DamagedSegment("It ends before its first file.")
        _check(_object(last), count, digest.hexdigest())

    def check(self) -> JsonObject:
        """Read all of it; the header. Parses only the first and the last line."""
        digest = hashlib.sha256()
        count, last, first = -1, b"", b""
        for line in self._lines:
            if last:
                first = first or last
                count += 1
                digest.update(last)
                digest.update(b"\n")
            last = line
        if not first:
            raise DamagedSegment("It ends before its first file.")
        self.header = _header(first)
        _check(_object(last), count, digest.hexdigest())
        return {**self.header, "lines": count}


def _check(trailer: JsonObject, count: int, digest: str) -> None:
    if trailer.get("end") is not True:
        raise DamagedSegment("Its end is missing.")
    if trailer.get("lines") != count or trailer.get("sha256") != digest:
        raise DamagedSegment("Its checksum does not fit its lines.")


def _header(line: bytes) -> JsonObject:
    header = _object(line)
    if header.get("format") != FORMAT:
        raise DamagedSegment("It is no catalog segment.")
    if not isinstance(header.get("version"), int) or header["version"] > VERSION:
        raise DamagedSegment(
            f"It has version {header.get('version')} of the format; this program knows {VERSION}."
        )
    return header


def _object(line: bytes) -> JsonObject:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DamagedSegment("A line of it is not JSON.") from error
    if not isinstance(value, dict):
        raise DamagedSegment("A line of it is no JSON object.")
    return value


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    engine = zlib.decompressobj(31)
    try:
        for chunk in chunks:
            while chunk:
                yield engine.decompress(chunk, 1024**2)
                chunk = engine.unconsumed_tail
    except zlib.error as error:
        raise DamagedSegment("It can't be unpacked.") from error
    if not engine.eof:
        raise DamagedSegment("It is cut off.")


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines without their ends; the last one must have its end."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from filter(None, lines)
        if len(rest) > MOST_LINE_BYTES:
            raise DamagedSegment("A line of it is too long to be true.")
    if rest:
        raise DamagedSegment("Its last line is cut off.")
