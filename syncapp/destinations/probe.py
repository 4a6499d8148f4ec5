"""The real test of a destination: what a backup does to it, done once in small, line by line.

Works through the contract only, so that every kind is tried the same way. Raises nothing that a
destination raises: each failure is a line that says what to do.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from syncapp.destinations.base import Destination
from syncapp.errors import BackupError, IntegrityError, Unavailable
from syncapp.types import CheckResult, Digest, ObjectMeta, Part

_MTIME = datetime(2001, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)


def attempt(name: str, step: Callable[[], str]) -> CheckResult:
    """Run one step; what it returns is the line's message."""
    try:
        return CheckResult(name, "ok", step())
    except BackupError as error:
        return CheckResult(name, "error", error.message)


class Probe:
    """Two small objects under a name nobody else uses, and the steps that try them."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self.folder = f".probe-{uuid.uuid4().hex}"
        self._key = f"{self.folder}/small ü+%.bin"
        self._big_key = f"{self.folder}/multipart.bin"
        self._copy_key = f"{self.folder}/copy.bin"

    def run(self) -> Iterator[CheckResult]:
        """Yield the lines; stops after the first step without which no other makes sense."""
        first = attempt("write", self._write)
        yield first
        if first.level == "error":
            return
        for name, step in (
            ("read back", self._read_back),
            ("list", self._list),
            ("overwrite", self._overwrite),
            ("copy", self._copy),
            ("write in parts", self._write_in_parts),
            ("refuses wrong bytes", self._wrong_bytes),
            ("delete", self._delete),
        ):
            yield attempt(name, step)

    def clean(self) -> None:
        """Remove what is left; what can't be removed was told by the delete step."""
        for key in (self._key, self._big_key, self._copy_key):
            with suppress(BackupError):
                self._destination.delete(key)

    def _write(self) -> str:
        self._put(os.urandom(1000))
        return ""

    def _put(self, data: bytes) -> None:
        self._data = data
        self._destination.put(self._key, part_of(data), meta_of(data))

    def _read_back(self) -> str:
        self._expect(self._key, self._data)
        return ""

    def _expect(self, key: str, data: bytes) -> None:
        with self._destination.read(key) as chunks:
            if b"".join(chunks) != data:
                raise IntegrityError("What was read back differs from what was written.")

    def _list(self) -> str:
        found = [info.key for info in self._destination.objects(f"{self.folder}/")]
        if found != [self._key]:
            raise Unavailable(f"Listing gave {found!r} where one object had just been written.")
        return ""

    def _overwrite(self) -> str:
        self._put(os.urandom(1000))
        self._expect(self._key, self._data)
        return ""

    def _copy(self) -> str:
        self._destination.copy(self._key, self._copy_key)
        self._expect(self._copy_key, self._data)
        return ""

    def _write_in_parts(self) -> str:
        data = os.urandom(self._destination.limits.min_part + 1)
        size = len(data) - 1
        upload = self._destination.start_upload(self._big_key, meta_of(data), part_size=size)
        try:
            upload.send(part_of(data[:size], 1))
            upload.send(part_of(data[size:], 2))
            upload.finish(
                Digest(len(data), hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest())  # noqa: S324
            )
        except BackupError:
            upload.abort()
            raise
        self._expect(self._big_key, data)
        return f"{len(data)} bytes in two parts"

    def _wrong_bytes(self) -> str:
        promised = part_of(b"promised")
        wrong = Part.of(1, b"delivere", promised.md5, promised.sha256)
        try:
            self._destination.put(self._copy_key, wrong, meta_of(b"promised"))
        except IntegrityError:
            return ""
        raise IntegrityError("Bytes that differ from their checksum were accepted.")

    def _delete(self) -> str:
        for key in (self._key, self._big_key, self._copy_key):
            self._destination.delete(key)
        if self._destination.head(self._key) is not None:
            raise Unavailable("A deleted object is still there.")
        return ""


def part_of(data: bytes, number: int = 1) -> Part:
    """A part of bytes in memory, with its digests."""
    return Part.of(number, data, hashlib.md5(data).digest(), hashlib.sha256(data).digest())  # noqa: S324


def meta_of(data: bytes) -> ObjectMeta:
    """What the probe's objects carry."""
    return ObjectMeta(mtime=_MTIME, remote_id="probe", sha256=hashlib.sha256(data).hexdigest())
