"""Another destination as the target: objects below a prefix, with their time and SHA-256.

Bytes go in parts, each held in memory up to PART_BYTES and in an unnamed temporary file beyond; an
object appears only when its whole SHA-256 was right. Uploads of RESUMED_BYTES and more are written
down while they run: after a kill the file is read again, and parts that the store has are not sent
again. What is there already is known by the SHA-256
that it was stored with, and read back where that was not kept.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from pathlib import Path as DiskPath
from typing import IO, Any, BinaryIO, cast

from syncapp.destinations.base import Destination as Store
from syncapp.destinations.base import Unfinished, Upload, may_go_on
from syncapp.errors import BackupError, IntegrityError, PermanentError
from syncapp.restore_targets.base import (
    OVERWRITE,
    SKIP,
    Bytes,
    Item,
    Path,
    Placed,
    Target,
    Uploads,
    numbered,
)
from syncapp.types import Digest, ObjectInfo, ObjectMeta, Part, sha256_of

PART_BYTES = 8 * 1024**2
RESUMED_BYTES = 64 * 1024**2  # of a smaller file nothing is written down
MOST_AT_ONCE = 4  # files of more than _LITTLE, each with a part in memory
_LITTLE = 1024**2
_MOST_NAMES = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DestinationTarget(Target):
    """Objects of one store, below `prefix`."""

    def __init__(self, store: Store, prefix: str, scratch: DiskPath, uploads: Uploads) -> None:
        """`scratch` is a folder for parts that are too big for memory."""
        self._uploads = uploads
        self._store, self._prefix, self._scratch = store, prefix.strip("/"), scratch
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)

    def begin(self) -> None:
        """One request, so that wrong keys or an unmounted disk stop the restore at once."""
        self._store.head(self._key((".begin",)))

    def folder(self, item: Item) -> Placed:
        """A store has no empty folders: their names end with their last file."""
        return Placed(self._key(item.path))

    def place(self, item: Item, content: Bytes, collision: str) -> Placed:
        key = self._key(item.path)
        room = self._store.limits.max_key_bytes
        if len(key.encode()) > room:
            key = self._deep(item)
        free = self._free(key, content, collision)
        if isinstance(free, Placed):
            return free
        meta = ObjectMeta(
            item.modified_at or _EPOCH,
            item.remote_id,
            item.content_type or "application/octet-stream",
            sha256=content.sha256,
        )
        with self._room if content.size > _LITTLE else nullcontext():
            if content.size <= PART_BYTES:
                self._put_small(free, meta, content)
            else:
                self._put_parts(item.id, free, meta, content)
        return Placed(free)

    def end(self) -> None:
        """Uploads that are kept are aborted."""
        for item_id, unfinished in self._uploads.left():
            if (upload := unfinished.resume(self._store, ObjectMeta(_EPOCH, ""))) is not None:
                upload.abort()
            self._uploads.gone(item_id)

    def _key(self, path: Path) -> str:
        return "/".join([self._prefix, *path] if self._prefix else path)

    def _deep(self, item: Item) -> str:
        """A path too long for a key: as backups have it."""
        mark = hashlib.sha256("/".join(item.path[:-1]).encode()).hexdigest()[:32]
        return self._key(("~deep", mark, item.path[-1]))

    def _free(self, key: str, content: Bytes, collision: str) -> str | Placed:
        """The key to write to; or where the item is already, or what it must give way to."""
        above, slash, name = key.rpartition("/")
        for number in range(1, _MOST_NAMES):
            candidate = key if number == 1 else f"{above}{slash}{numbered(name, number)}"
            there = self._store.head(candidate)
            if there is None:
                return candidate
            if self._is_whole(there, content):
                return Placed(candidate, there=True)
            if collision == SKIP:
                return Placed(candidate, kept=True)
            if collision == OVERWRITE:
                return candidate
        raise PermanentError(f"There are {_MOST_NAMES} objects named like “{name}” already.")

    def _is_whole(self, there: ObjectInfo, content: Bytes) -> bool:
        if there.size != content.size:
            return False
        known = there.sha256 or there.metadata.get("sha256")
        if known:
            return known == content.sha256
        with self._store.read(there.key) as chunks:
            return sha256_of(chunks) == content.sha256

    def _part_bytes(self, size: int) -> int:
        limits = self._store.limits
        if size > limits.max_object:
            raise PermanentError(
                f"It is bigger ({size} bytes) than this destination allows.", code="too_big"
            )
        return max(PART_BYTES, limits.min_part, -(-size // limits.max_parts))

    def _put_small(self, key: str, meta: ObjectMeta, content: Bytes) -> None:
        filling = _Filling(content, PART_BYTES, self._scratch)
        parts = list(filling) or [_part(1, io.BytesIO())]
        filling.check(key)
        self._store.put(key, parts[0], meta)

    def _put_parts(self, item_id: int, key: str, meta: ObjectMeta, content: Bytes) -> None:
        part_bytes = self._part_bytes(content.size)
        filling = _Filling(content, part_bytes, self._scratch)
        upload, kept = self._begin(item_id, key, meta, part_bytes, content.size)
        try:
            self._fill(item_id, upload, filling, kept=kept)
            upload.finish(filling.check(key))
        except BaseException as error:
            if not kept or (isinstance(error, BackupError) and not may_go_on(error)):
                upload.abort()
                self._uploads.gone(item_id)
            raise
        finally:
            upload.suspend()
        if kept:
            self._uploads.gone(item_id)

    def _fill(self, item_id: int, upload: Upload, filling: _Filling, *, kept: bool) -> None:
        """Send what the store does not have."""
        for part in filling:
            if upload.has(part):
                continue
            upload.send(part)
            if kept:
                self._uploads.sent(item_id, upload.id, upload.sent[part.number])

    def _begin(
        self, item_id: int, key: str, meta: ObjectMeta, part_bytes: int, size: int
    ) -> tuple[Upload, bool]:
        """An earlier try's upload or a new one, and whether it is kept for the next try."""
        big = size >= RESUMED_BYTES
        old = self._uploads.of_item(item_id) if big else None
        if old is not None:
            upload = old.resume(self._store, meta)
            if upload is not None and (old.key, old.part_bytes) == (key, part_bytes):
                return upload, True
            if upload is not None:
                upload.abort()
        upload = self._store.start_upload(key, meta, part_size=part_bytes)
        if big and upload.id:
            self._uploads.begun(item_id, Unfinished(key, upload.id, part_bytes))
        return upload, big and bool(upload.id)


class _Filling:
    """Content in parts, each to be used before the next is asked for."""

    def __init__(self, content: Bytes, part_bytes: int, scratch: DiskPath) -> None:
        self._content, self._part_bytes, self._scratch = content, part_bytes, scratch
        self._size = 0
        self._md5, self._sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()

    def __iter__(self) -> Iterator[Part]:
        with ExitStack() as stack:
            file: IO[bytes] = io.BytesIO()
            if self._part_bytes > PART_BYTES:
                file = stack.enter_context(tempfile.TemporaryFile(dir=self._scratch))
            number = 1
            for piece in self._pieces():
                file.write(piece)
                if file.tell() == self._part_bytes:
                    yield _part(number, file)
                    number += 1
                    file.seek(0)
                    file.truncate()
            if file.tell():
                yield _part(number, file)

    def check(self, key: str) -> Digest:
        """The whole's digest, after the last part; IntegrityError if it is another than asked."""
        sha256 = self._sha256.hexdigest()
        if self._size != self._content.size or sha256 != self._content.sha256:
            raise IntegrityError(f"“{key}” did not come as it was stored.")
        return Digest(self._size, self._md5.hexdigest(), sha256)

    def _pieces(self) -> Iterator[memoryview]:
        """Chunks, none of which goes over the end of a part."""
        for chunk in self._content:
            self._md5.update(chunk)
            self._sha256.update(chunk)
            rest = memoryview(chunk)
            while rest:
                room = self._part_bytes - self._size % self._part_bytes
                piece, rest = rest[:room], rest[room:]
                self._size += len(piece)
                yield piece


def _part(number: int, file: IO[bytes]) -> Part:
    """What is in the file so far, as a part; several readers may be open at once."""
    size = file.tell()
    file.flush()
    if isinstance(file, io.BytesIO):
        return Part.of(number, file.getvalue())

    def opened() -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Stretch(file.fileno(), size)))

    return Part(number, size, b"", opened)


class _Stretch(io.RawIOBase):
    """A reader of an open file's first bytes, with a position of its own."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size, self._at = fd, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        room = max(min(len(buffer), self._size - self._at), 0)
        got = os.preadv(self._fd, [memoryview(buffer)[:room]], self._at)
        self._at += got
        return got
