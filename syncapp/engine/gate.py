"""What a lane sends to a destination passes here: not while it is let alone, and not too fast.

Everything but the sending calls is the store's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from syncapp.destinations.base import Destination as Store
from syncapp.destinations.base import Upload
from syncapp.engine.limits import Limit
from syncapp.types import Digest, ObjectInfo, ObjectMeta, Part, SentPart

Check = Callable[[], None]


class Gate:
    """One destination's. `check` raises LetAlone, a wait for `limit` Interrupted."""

    def __init__(self, store: Store, check: Check, limit: Limit) -> None:
        self._store, self._check, self._limit = store, check, limit

    @property
    def store(self) -> Store:
        """The gate, to be used as the store itself."""
        return cast("Store", self)

    def renew(self, store: Store) -> None:
        """Another connection to the same place; uploads under way keep theirs."""
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, key: str, part: Part, meta: ObjectMeta) -> ObjectInfo:
        self._check()
        self._limit.take(part.size)
        return self._store.put(key, part, meta)

    def start_upload(self, key: str, meta: ObjectMeta, *, part_size: int) -> Upload:
        self._check()
        return self._behind(self._store.start_upload(key, meta, part_size=part_size))

    def resume_upload(
        self,
        key: str,
        meta: ObjectMeta,
        *,
        upload_id: str,
        part_size: int,
        parts: Sequence[SentPart],
    ) -> Upload | None:
        self._check()
        resumed = self._store.resume_upload(
            key, meta, upload_id=upload_id, part_size=part_size, parts=parts
        )
        return self._behind(resumed) if resumed is not None else None

    def _behind(self, upload: Upload) -> Upload:
        return cast("Upload", _GatedUpload(upload, self._check, self._limit))


class _GatedUpload:
    def __init__(self, upload: Upload, check: Check, limit: Limit) -> None:
        self._upload, self._check, self._limit = upload, check, limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._upload, name)

    def send(self, part: Part) -> str:
        self._check()
        self._limit.take(part.size)
        return self._upload.send(part)

    def finish(self, digest: Digest) -> ObjectInfo:
        self._check()
        return self._upload.finish(digest)
