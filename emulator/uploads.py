"""What arrives in uploads: multipart bodies taken apart, and resumable sessions with their bytes.

Knows no Drive and answers no request (`drive_upload.py` does). Bytes of a session beyond 1 MiB
are in a nameless temporary file, so that the size of uploads costs no memory. Formats: RFC 2387;
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


class FileContent:
    """Bytes in a temporary file that ends with this object; hashed as they arrived."""

    cheap = True

    def __init__(self, handle: int, size: int, digests: dict[str, str]) -> None:
        self._handle = handle
        self.size = size
        self._digests = digests

    def read(self, start: int, stop: int) -> bytes:
        return os.pread(self._handle, max(0, stop - start), start)

    def digest(self, name: str) -> str:
        return self._digests[name]

    def __del__(self) -> None:
        os.close(self._handle)


class Received:
    """The bytes of one session so far."""

    def __init__(self) -> None:
        self.size = 0
        self._memory = bytearray()
        self._handle: int | None = None
        self._hashes = [hashlib.new(name) for name in _DIGESTS]

    def append(self, data: bytes) -> None:
        """One more piece; takes a thread's time where it is big."""
        self.size += len(data)
        if self.size > IN_MEMORY and self._handle is None:
            with tempfile.TemporaryFile() as file:
                self._handle = os.dup(file.fileno())
            self._write(bytes(self._memory))
            self._memory.clear()
        if self._handle is None:
            self._memory += data
        else:
            self._write(data)

    def content(self) -> Content:
        """All of it, as a blob; nothing may be appended afterwards."""
        if self._handle is None:
            return BytesContent(bytes(self._memory))
        handle, self._handle = self._handle, None
        digests = {n: h.hexdigest() for n, h in zip(_DIGESTS, self._hashes, strict=True)}
        return FileContent(handle, self.size, digests)

    def __del__(self) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def _write(self, data: bytes) -> None:
        for state in self._hashes:
            state.update(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._handle or 0, left) :]


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
