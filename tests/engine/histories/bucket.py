"""A bucket in memory that keeps versions as S3 does: delete markers, ids, removal for good.

What it holds outlives its adapters, as a store outlives the processes that use it: `BUCKETS`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from syncapp.destinations.base import Destination, Upload
from syncapp.errors import IntegrityError, NotFound
from syncapp.types import (
    CheckResult,
    Digest,
    Limits,
    ObjectInfo,
    ObjectMeta,
    Option,
    Part,
    SentPart,
)


@dataclass(frozen=True)
class Held:
    """A version of an object; a marker has no bytes."""

    info: ObjectInfo
    data: bytes = b""


@dataclass
class Contents:
    """What one bucket holds: of each key its versions, the oldest first."""

    keys: dict[str, list[Held]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, key: str, data: bytes, metadata: dict[str, str], *, marker: bool) -> ObjectInfo:
        """The newest version of the key."""
        with self.lock:
            self.count += 1
            digest = hashlib.md5(data).hexdigest()
            info = ObjectInfo(
                key, len(data), etag=digest, md5=digest, version_id=f"v{self.count}",
                modified_at=timezone.now(), metadata=metadata, marker=marker,
            )  # fmt: skip
            self.keys[key].append(Held(info, data))
            return info


BUCKETS: dict[str, Contents] = defaultdict(Contents)


class MemoryBucket(Destination):
    """One bucket by its name."""

    kind = "memory"
    options = (Option("name", "Name", "", True),)
    exact_keys = True

    def __init__(self, name: str) -> None:
        self._name = name

    @classmethod
    def create(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> MemoryBucket:
        return cls(settings["name"])

    @property
    def held(self) -> Contents:
        return BUCKETS[self._name]

    @property
    def limits(self) -> Limits:
        return Limits()

    @property
    def keeps_versions(self) -> bool:
        return True

    def put(self, key: str, part: Part, meta: ObjectMeta) -> ObjectInfo:
        with part.open() as reader:
            data = reader.read()
        if hashlib.md5(data).digest() != part.md5:
            raise IntegrityError("These are not the bytes that were announced.")
        return self.held.add(key, data, _kept(meta, data), marker=False)

    def start_upload(self, key: str, meta: ObjectMeta, *, part_size: int) -> MemoryUpload:
        return MemoryUpload(self, key, meta)

    def resume_upload(
        self,
        key: str,
        meta: ObjectMeta,
        *,
        upload_id: str,
        part_size: int,
        parts: Sequence[SentPart],
    ) -> Upload | None:
        return None

    def head(self, key: str, *, version_id: str = "") -> ObjectInfo | None:
        found = self._find(key, version_id)
        return found.info if found else None

    @contextmanager
    def read(
        self, key: str, *, version_id: str = "", start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        found = self._find(key, version_id)
        if found is None:
            raise NotFound(f"There is no object “{key}”.")
        data = found.data[start:end]
        yield iter([data] if data else [])

    def thaw(self, key: str, *, version_id: str = "", days: int = 3) -> None:
        """Nothing here is ever archived."""

    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for info in self.versions(prefix):
            if info.latest and not info.marker:
                yield info

    def versions(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self.held.lock:
            found = [
                _listed(held, latest=held is versions[-1])
                for key, versions in sorted(self.held.keys.items())
                if key.startswith(prefix)
                for held in reversed(versions)
            ]
        return iter(found)

    def copy(
        self, source_key: str, target_key: str, *, version_id: str = "", size: int | None = None
    ) -> ObjectInfo:
        found = self._find(source_key, version_id)
        if found is None:
            raise NotFound(f"There is no object “{source_key}”.")
        return self.held.add(target_key, found.data, found.info.metadata, marker=False)

    def delete(self, key: str, *, version_id: str = "") -> None:
        with self.held.lock:
            if version_id:
                left = [held for held in self.held.keys[key] if held.info.version_id != version_id]
                self.held.keys[key] = left
                if not left:
                    del self.held.keys[key]
            else:
                self.held.add(key, b"", {}, marker=True)

    def purge(self, key: str, *, version_id: str = "") -> None:
        with self.held.lock:
            self.delete(key, version_id=version_id or "null")
            if all(held.info.marker for held in self.held.keys.get(key, [])):
                self.held.keys.pop(key, None)

    def locked_until(self, key: str, *, version_id: str = "") -> datetime | None:
        return None

    def sweep_uploads(self, started_before: datetime, keep: Collection[str] = ()) -> int:
        return 0

    def check(self) -> Sequence[CheckResult]:
        return []

    def _find(self, key: str, version_id: str) -> Held | None:
        versions = self.held.keys.get(key, [])
        if version_id:
            versions = [held for held in versions if held.info.version_id == version_id]
        found = versions[-1] if versions else None
        return found if found and not found.info.marker else None


class MemoryUpload(Upload):
    """An object in parts."""

    def __init__(self, bucket: MemoryBucket, key: str, meta: ObjectMeta) -> None:
        self._bucket, self._key, self._meta = bucket, key, meta
        self._parts: dict[int, bytes] = {}
        self._sent: dict[int, SentPart] = {}

    @property
    def sent(self) -> Mapping[int, SentPart]:
        return self._sent

    def send(self, part: Part) -> str:
        with part.open() as reader:
            self._parts[part.number] = reader.read()
        self._sent[part.number] = SentPart(part.number, part.size, part.md5, part.md5.hex())
        return part.md5.hex()

    def finish(self, digest: Digest) -> ObjectInfo:
        data = b"".join(self._parts[number] for number in sorted(self._parts))
        if hashlib.sha256(data).hexdigest() != digest.sha256:
            raise IntegrityError("These are not the bytes that were announced.")
        return self._bucket.held.add(self._key, data, _kept(self._meta, data), marker=False)

    def suspend(self) -> None:
        """Nothing is kept of it."""

    def abort(self) -> None:
        """Nothing is kept of it."""


def _kept(meta: ObjectMeta, data: bytes) -> dict[str, str]:
    return {
        "remote-id": meta.remote_id,
        "sha256": hashlib.sha256(data).hexdigest(),
        "md5": hashlib.md5(data).hexdigest(),
        "mtime": str(meta.mtime.timestamp()),
    }


def _listed(held: Held, *, latest: bool) -> ObjectInfo:
    info = held.info
    return ObjectInfo(
        info.key, info.size, etag=info.etag, version_id=info.version_id,
        modified_at=info.modified_at, marker=info.marker, latest=latest,
    )  # fmt: skip
