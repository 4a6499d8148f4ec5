"""What the sink holds: objects in memory, sorted by key; unfinished uploads; what listings show.

A body is a tuple of pieces. Pieces over SPILL_BYTES go to a file, or are forgotten after hashing
(a benchmark of big files needs their hashes, not their bytes).
"""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from crc32c import crc32c
from sortedcontainers import SortedDict

SPILL_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Bytes that were hashed and dropped."""

    size: int


Piece = bytes | Path | Forgotten


@dataclass(slots=True)
class Stored:
    """One object. `etag` as S3 has it: MD5, or MD5 of the parts' MD5s with their number."""

    pieces: tuple[Piece, ...]
    size: int
    etag: str
    meta: tuple[tuple[bytes, bytes], ...] = ()
    modified: float = field(default_factory=time.time)


class Body:
    """Takes a request's body as it comes."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder  # None: forget
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.crc32c: int | None = None  # counted where the client names one
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """The next bytes."""
        self._md5.update(chunk)
        if self.crc32c is not None:
            self.crc32c = crc32c(chunk, self.crc32c)
        self.size += len(chunk)
        if self.size > SPILL_BYTES:
            self._spill(chunk)
        else:
            self._chunks.append(chunk)

    def _spill(self, chunk: bytes) -> None:
        if self._folder is None:
            self._chunks.clear()
            return
        if self._file is None:
            self._path = self._folder / uuid.uuid4().hex
            self._file = self._path.open("wb")
            self._file.writelines(self._chunks)
            self._chunks.clear()
        self._file.write(chunk)

    def digest(self) -> bytes:
        """The MD5 of all of it."""
        return self._md5.digest()

    def small(self) -> bytes:
        """All of it, if it was not too much to keep in memory."""
        return b"".join(self._chunks)

    def piece(self) -> Piece:
        """All of it, to keep."""
        if self._file is not None and self._path is not None:
            self._file.close()
            return self._path
        if self.size > SPILL_BYTES:
            return Forgotten(self.size)
        return b"".join(self._chunks)


@dataclass(slots=True)
class Upload:
    """A multipart upload under way: number → (MD5, piece, size), and → CRC32C if it has those."""

    bucket: str
    key: str
    meta: tuple[tuple[bytes, bytes], ...]
    started: float = field(default_factory=time.time)
    parts: dict[int, tuple[bytes, Piece, int]] = field(default_factory=dict)
    with_crc32c: bool = False
    crc32c: dict[int, str] = field(default_factory=dict)  # base64


class Store:
    """All buckets; one is there as soon as it is named."""

    def __init__(self) -> None:
        self._buckets: dict[str, SortedDict[str, Stored]] = {}
        self.uploads: dict[str, Upload] = {}

    def bucket(self, name: str) -> SortedDict[str, Stored]:
        """Its objects, by key."""
        return self._buckets.setdefault(name, SortedDict())

    def put(self, bucket: str, key: str, found: Stored) -> None:
        """Keep an object; what lay there is gone."""
        self.drop(bucket, key)
        self.bucket(bucket)[key] = found

    def drop(self, bucket: str, key: str) -> None:
        """Remove an object, if there is one; its spilled pieces may serve a copy and stay."""
        self.bucket(bucket).pop(key, None)

    def complete(self, upload_id: str) -> Stored | None:
        """Make the object of an upload's parts; None if there is no such upload."""
        upload = self.uploads.pop(upload_id, None)
        if upload is None:
            return None
        parts = [upload.parts[number] for number in sorted(upload.parts)]
        digest = hashlib.md5(b"".join(md5 for md5, _, _ in parts), usedforsecurity=False)
        stored = Stored(
            tuple(piece for _, piece, _ in parts),
            sum(size for _, _, size in parts),
            f"{digest.hexdigest()}-{len(parts)}",
            upload.meta,
        )
        self.put(upload.bucket, upload.key, stored)
        return stored

    def page(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> tuple[list[tuple[str, Stored]], list[str], str]:
        """Objects, common prefixes, and where to go on ("" at the end), as ListObjectsV2 says."""
        found: list[tuple[str, Stored]] = []
        folders: list[str] = []
        objects = self.bucket(bucket)
        keys, position = objects.keys(), max(after, prefix)
        place = objects.bisect_right(after) if after >= prefix else objects.bisect_left(prefix)
        while place < len(keys):
            key = keys[place]
            if not key.startswith(prefix):
                break
            if len(found) + len(folders) == limit:
                return found, folders, position
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                found.append((key, objects[key]))
                position, place = key, place + 1
            else:  # a folder is stepped over, not walked
                folders.append(key[: cut + len(delimiter)])
                position = folders[-1] + "\U0010ffff"
                place = objects.bisect_right(position)
        return found, folders, ""
