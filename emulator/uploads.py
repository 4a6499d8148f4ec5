"""What arrives in uploads: multipart bodies taken apart, and resumable sessions with their bytes.

Knows no Drive and answers no request (`drive_upload.py` does). Uploads of more than 1 MiB are in a
nameless temporary file, so that their size costs no memory. Formats: RFC 2387;
developers.google.com/workspace/drive/api/guides/manage-uploads.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass, field
from email.message import Message
from threading import Lock
from typing import Any

from emulator.content import BytesContent, Content

IN_MEMORY = 1024 * 1024
STEP = 256 * 1024  # every piece but the last is a multiple of it
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_DIGESTS = ("md5", "sha1", "sha256")


class BadUpload(ValueError):
    """A body or header that no client of Google's would send."""


@dataclass(frozen=True, slots=True)
class Media:
    """The bytes of an upload and what they are said to be."""

    content: Content
    mime_type: str


@dataclass(frozen=True, slots=True)
class Span:
    """A Content-Range: `start` None asks how far the session is; `total` None is not known yet."""

    start: int | None
    stop: int
    total: int | None


class _Heap:
    """One nameless file for the bytes of all uploads; what is written stays until the process ends.

    A file for each would be a file descriptor for each.
    """

    def __init__(self) -> None:
        self._end = 0
        self._handle = -1
        self._turn = Lock()

    def write(self, data: bytes) -> int:
        """Keep the bytes; where they are."""
        with self._turn:
            if self._handle < 0:
                with tempfile.TemporaryFile() as file:
                    self._handle = os.dup(file.fileno())
            place, self._end = self._end, self._end + len(data)
        written = 0
        while written < len(data):
            written += os.pwrite(self._handle, data[written:], place + written)
        return place

    def read(self, place: int, size: int) -> bytes:
        return os.pread(self._handle, size, place)


_HEAP = _Heap()


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where a stretch of an upload, from `start`, lies in the heap."""

    start: int
    size: int
    place: int


class HeapContent:
    """Bytes in the heap, hashed as they arrived."""

    cheap = True

    def __init__(self, size: int, extents: list[_Extent], digests: dict[str, str]) -> None:
        self.size = size
        self._extents = extents
        self._digests = digests

    def read(self, start: int, stop: int) -> bytes:
        found = []
        for extent in self._extents:
            first, last = max(start, extent.start), min(stop, extent.start + extent.size)
            if first < last:
                found.append(_HEAP.read(extent.place + first - extent.start, last - first))
        return b"".join(found)

    def digest(self, name: str) -> str:
        return self._digests[name]


class Received:
    """The bytes of one session so far."""

    def __init__(self) -> None:
        self.size = 0
        self._memory = bytearray()
        self._extents: list[_Extent] = []
        self._hashes = [hashlib.new(name) for name in _DIGESTS]

    def append(self, data: bytes) -> None:
        """One more piece; takes a thread's time where it is big."""
        for state in self._hashes:
            state.update(data)
        self.size += len(data)
        self._memory += data
        if self.size > IN_MEMORY:
            kept, size = bytes(self._memory), len(self._memory)
            self._extents.append(_Extent(self.size - size, size, _HEAP.write(kept)))
            self._memory.clear()

    def content(self) -> Content:
        """All of it, as a blob; nothing may be appended afterwards."""
        if not self._extents:
            return BytesContent(bytes(self._memory))
        digests = {n: h.hexdigest() for n, h in zip(_DIGESTS, self._hashes, strict=True)}
        return HeapContent(self.size, self._extents, digests)


@dataclass(slots=True)
class UploadSession:
    """A resumable upload: what it is to become, and what has arrived."""

    id: str
    sub: str
    client_id: str
    scopes: frozenset[str]
    query: dict[str, list[str]]  # of the request that began it: `fields`, flags
    said: dict[str, Any]  # the metadata
    target: str  # the file whose content it replaces, "" for a new one
    mime_type: str
    total: int | None
    received: Received = field(default_factory=Received)
    done: str = ""  # id of the file that it became
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


def parse_range(header: str, length: int) -> Span:
    """The Content-Range of a piece of `length` bytes; without one the piece is everything."""
    if not header:
        return Span(0, length, length)
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise BadUpload("Failed to parse Content-Range header.")
    first, last, all_of = match.groups()
    total = None if all_of == "*" else int(all_of)
    if first is None:
        return Span(None, 0, total)
    start, stop = int(first), int(last) + 1
    if stop - start != length or (total is not None and stop > total):
        raise BadUpload("The Content-Range does not match the bytes that were sent.")
    if stop != total and length % STEP:
        raise BadUpload("Chunks must be multiples of 256 KiB.")
    return Span(start, stop, total)


def split_related(content_type: str, body: bytes) -> tuple[bytes, bytes, str]:
    """The metadata, the media, and the media's type of a multipart/related body."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = head.get_param("boundary", "")
    if head.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise BadUpload("Malformed multipart body.")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if len(parts) < 4:  # a client of ours ends its lines with "\n" alone
        parts = (b"\n" + body).split(b"\n--" + boundary.encode())
    if not boundary or len(parts) != 4 or not parts[3].startswith(b"--"):
        raise BadUpload("Malformed multipart body.")
    metadata, _ = _part(parts[1])
    media, kind = _part(parts[2])
    return metadata, media, kind


def _part(raw: bytes) -> tuple[bytes, str]:
    match = re.search(rb"\r?\n\r?\n", raw)
    if match is None:
        raise BadUpload("Malformed multipart body.")
    head = Message()
    for line in raw[: match.start()].decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        if value:
            head[name.strip()] = value.strip()
    data = raw[match.end() :]
    if head.get("Content-Transfer-Encoding", "").lower() == "base64":
        data = base64.b64decode(data)
    return data, head.get_content_type() if "Content-Type" in head else ""
