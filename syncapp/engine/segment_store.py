"""Segments at one destination: what lies there, sending a part, removing what is too old.

A store's folder of segments is the truth about what is there: leftovers of killed workers are found
by listing, and removed with everything of their number.
"""

from __future__ import annotations

import copy
import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import limits
from syncapp.engine.adapters import destination_for
from syncapp.engine.gate import Gate
from syncapp.engine.limits import Stopped
from syncapp.engine.segment_format import FOLDER, Name
from syncapp.errors import ObjectLocked
from syncapp.models import Destination
from syncapp.types import Digest, ObjectInfo, ObjectMeta, Part

CONTENT_TYPE = "application/gzip"
_CHUNK_BYTES = 1024**2
PART_BYTES = 64 * 1024**2


def catalog_store(destination: Destination, stopped: Stopped = limits.never) -> Store:
    """The destination's store, at its own pace, in a class of storage that can be read at once:
    what leads to the data must not itself wait for a thaw."""
    row = copy.copy(destination)
    row.options = {**destination.options, "storage_class": ""}
    limit = limits.writing(destination.pk, stopped)
    return Gate(destination_for(row), lambda: None, limit).store


def names(store: Store, slug: str = "") -> Iterator[Name]:
    """The parts that lie there, of one source or of all."""
    for found in store.objects(f"{FOLDER}/{slug}/" if slug else f"{FOLDER}/"):
        name = Name.parse(found.key)
        if name is not None:
            yield name


def remove(store: Store, slug: str, numbers_below: int) -> int:
    """Remove all parts of lower numbers; how many there were. Every version of them, where a
    store keeps versions: what was erased must not live on behind a marker. ObjectLocked, at the
    end, if the store protects some of them."""
    names = ((info, Name.parse(info.key)) for info in store.versions(f"{FOLDER}/{slug}/"))
    return purge(store, [info for info, n in names if n is not None and n.number < numbers_below])


def purge(store: Store, those: Iterable[ObjectInfo]) -> int:
    """Remove these objects for good; how many they were but for marks of deletion. ObjectLocked,
    at the end, if the store protects some of them."""
    gone, locked = 0, None
    for info in those:
        try:
            store.purge(info.key, version_id=info.version_id)
            gone += not info.marker
        except ObjectLocked as error:
            locked = error
    if locked is not None:
        raise locked
    return gone


@contextmanager
def scratch() -> Iterator[BinaryIO]:
    """A temporary file that has no name: it is gone when its process is."""
    Path(settings.SPOOL_DIR).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.SPOOL_DIR) as file:
        yield file


def send(store: Store, key: str, file: BinaryIO, *, content_type: str = CONTENT_TYPE) -> int:
    """Store a scratch file under the key, confirmed; its size."""
    file.flush()
    fd = file.fileno()
    size = os.fstat(fd).st_size
    meta = ObjectMeta(mtime=timezone.now(), remote_id="", content_type=content_type)
    if size <= PART_BYTES:
        store.put(key, _part(fd, 1, 0, size), meta)
        return size
    limits_there = store.limits
    part_size = max(PART_BYTES, limits_there.min_part, -(-size // limits_there.max_parts))
    upload = store.start_upload(key, meta, part_size=part_size)
    try:
        for number, start in enumerate(range(0, size, part_size), start=1):
            upload.send(_part(fd, number, start, min(start + part_size, size)))
        whole = _part(fd, 0, 0, size)
        upload.finish(Digest(size, whole.md5.hex(), whole.sha256.hex()))
    finally:
        upload.abort()
    return size


@contextmanager
def fetched(store: Store, key: str) -> Iterator[Iterator[bytes]]:
    """The chunks of an object that was read into a scratch file before: whoever works on them in
    a transaction does not wait for the store there."""
    with scratch() as file:
        with store.read(key) as chunks:
            for chunk in chunks:
                file.write(chunk)
        file.seek(0)
        yield iter(lambda: file.read(_CHUNK_BYTES), b"")


def _part(fd: int, number: int, start: int, end: int) -> Part:
    """A stretch of an open file; hashed here."""
    digest = md5(usedforsecurity=False)
    with _reader(fd, start, end) as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
    return Part(number, end - start, digest.digest(), lambda: _reader(fd, start, end))


def _reader(fd: int, start: int, end: int) -> BinaryIO:
    return io.BufferedReader(_Stretch(fd, start, end))


class _Stretch(io.RawIOBase):
    """Reads a stretch of an open file, with a position of its own: several may at once."""

    def __init__(self, fd: int, start: int, end: int) -> None:
        self._fd, self._start, self._size, self._position = fd, start, end - start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        left = max(self._size - self._position, 0)
        got = os.preadv(self._fd, [memoryview(buffer)[:left]], self._start + self._position)
        self._position += got
        return got
