"""A destination that is sent to no faster than its bandwidth limit allows; all else passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from syncapp.destinations.base import Destination as Store
from syncapp.destinations.base import Upload
from syncapp.engine.limits import Limit
from syncapp.types import ObjectInfo, ObjectMeta, Part, SentPart


def throttled(store: Store, limit: Limit) -> Store:
    """The store, whose sending calls wait first; they raise Interrupted if the work is to stop."""
    return cast("Store", _Throttled(store, limit))


class _Throttled:
    def __init__(self, store: Store, limit: Limit) -> None:
        self._store, self._limit = store, limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, key: str, part: Part, meta: ObjectMeta) -> ObjectInfo:
        self._limit.take(part.size)
        return self._store.put(key, part, meta)

    def start_upload(self, key: str, meta: ObjectMeta, *, part_size: int) -> Upload:
        return self._slow(self._store.start_upload(key, meta, part_size=part_size))

    def resume_upload(
        self,
        key: str,
        meta: ObjectMeta,
        *,
        upload_id: str,
        part_size: int,
        parts: Sequence[SentPart],
    ) -> Upload | None:
        resumed = self._store.resume_upload(
            key, meta, upload_id=upload_id, part_size=part_size, parts=parts
        )
        return self._slow(resumed) if resumed is not None else None

    def _slow(self, upload: Upload) -> Upload:
        return cast("Upload", _ThrottledUpload(upload, self._limit))


class _ThrottledUpload:
    def __init__(self, upload: Upload, limit: Limit) -> None:
        self._upload, self._limit = upload, limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._upload, name)

    def send(self, part: Part) -> str:
        self._limit.take(part.size)
        return self._upload.send(part)
