"""The contract of a destination: put, read back, list. Knows no model and no Django.

Keys are relative to the destination's own prefix, valid UTF-8, `/` between folders. A call
that returns has been confirmed by the store: what it reports equals what was sent, otherwise
IntegrityError. Instances are used by several threads at once; an Upload by one at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import ClassVar

from syncapp.types import CheckResult, Digest, Limits, ObjectInfo, ObjectMeta, Option, Part


class Upload(ABC):
    """An object being written in parts; invisible under its key until `finish`."""

    @abstractmethod
    def send(self, part: Part) -> None:
        """Store one part, confirmed. Sending a number again replaces it. Parts come in order,
        all but the last of the size given to `start_upload`."""

    @abstractmethod
    def finish(self, digest: Digest) -> ObjectInfo:
        """Make the object appear, whole; IntegrityError if the store's word differs."""

    @abstractmethod
    def abort(self) -> None:
        """Forget what was sent. Idempotent; never raises for what is already gone."""


class Destination(ABC):
    """One bucket or folder of one's own."""

    kind: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]

    @classmethod
    @abstractmethod
    def create(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> Destination:
        """Build from the options' values; ConfigurationError names the option that is wrong.

        Makes no request.
        """

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """What the store allows; part sizes are chosen by it."""

    @property
    @abstractmethod
    def keeps_versions(self) -> bool:
        """Whether overwriting a key keeps the old bytes. May ask the store once, then remembers."""

    @abstractmethod
    def put(self, key: str, part: Part, meta: ObjectMeta) -> ObjectInfo:
        """Store a small object in one call, replacing what is there only when whole."""

    @abstractmethod
    def start_upload(self, key: str, meta: ObjectMeta, *, part_size: int) -> Upload:
        """Begin an object that comes in parts of `part_size` bytes."""

    @abstractmethod
    def head(self, key: str, *, version_id: str = "") -> ObjectInfo | None:
        """What is stored under the key, None if nothing."""

    @abstractmethod
    def read(self, key: str, *, version_id: str = "") -> AbstractContextManager[Iterator[bytes]]:
        """The object's bytes, in chunks of at most 1 MiB. NotFound if there is none."""

    @abstractmethod
    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, page by page."""

    @abstractmethod
    def copy(self, source_key: str, target_key: str) -> ObjectInfo:
        """Copy within the store, metadata included, without moving bytes through here."""

    @abstractmethod
    def delete(self, key: str, *, version_id: str = "") -> None:
        """Remove one object (one version if named); no error if it is not there."""

    @abstractmethod
    def sweep_uploads(self, started_before: datetime) -> int:
        """Abort unfinished uploads that started before a moment; how many there were."""

    @abstractmethod
    def check(self) -> Sequence[CheckResult]:
        """Try it for real: reach, write, read back, compare, list, overwrite, delete, checksum
        behaviour, versioning. Leaves nothing behind. Never raises: each failure is a line."""
