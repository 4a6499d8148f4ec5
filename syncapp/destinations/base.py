"""The contract of a destination: put, read back, list. Knows no model and no Django.

Keys are relative to the destination's own prefix, valid UTF-8, `/` between folders. A call
that returns has been confirmed by the store: what it reports equals what was sent, otherwise
IntegrityError. Instances are used by several threads at once, an Upload's `send` too; `finish` and
`abort` come when no `send` is under way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from syncapp.errors import BackupError, ConfigurationError, TransientError
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

FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)  # of a lock without an end
UPLOAD_LOST = "upload_lost"  # error code: the store has forgotten an upload under way


class Upload(ABC):
    """An object being written in parts; invisible under its key until `finish`.

    `id` is what `resume_upload` takes after a restart, "" if this upload can't be resumed.
    """

    id: str = ""

    @property
    @abstractmethod
    def sent(self) -> Mapping[int, SentPart]:
        """The parts that the store has confirmed, by number; after a resume those it still has."""

    def has(self, part: Part) -> bool:
        """Whether the store has confirmed these very bytes."""
        there = self.sent.get(part.number)
        return there is not None and there.size == part.size and self._is(there, part)

    def _is(self, there: SentPart, part: Part) -> bool:
        """Whether the bytes are the same, told by a cryptographic hash."""
        return there.md5 == part.md5

    @abstractmethod
    def send(self, part: Part) -> str:
        """Store one part, confirmed; the store's name for it (`SentPart.etag`).

        Sending a number again replaces it. All parts but the last have the size given to
        `start_upload`; several threads may send at once, in any order.
        """

    @abstractmethod
    def finish(self, digest: Digest) -> ObjectInfo:
        """Make the object appear, whole; IntegrityError if the store's word differs."""

    @abstractmethod
    def suspend(self) -> None:
        """Let go of it; the store keeps what was sent, for `resume_upload`. Idempotent."""

    @abstractmethod
    def abort(self) -> None:
        """Forget what was sent. Idempotent; never raises for what is already gone."""


class Destination(ABC):
    """One bucket or folder of one's own."""

    kind: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    # Whether keys that differ only in case or Unicode form surely are two objects.
    exact_keys: ClassVar[bool] = False

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
    def resume_upload(
        self,
        key: str,
        meta: ObjectMeta,
        *,
        upload_id: str,
        part_size: int,
        parts: Sequence[SentPart],
    ) -> Upload | None:
        """Go on with an upload that another process began and recorded; `sent` tells which of
        `parts` the store still has. None if it has forgotten the upload, or can't resume any."""

    @abstractmethod
    def head(self, key: str, *, version_id: str = "") -> ObjectInfo | None:
        """What is stored under the key, None if nothing."""

    @abstractmethod
    def read(
        self, key: str, *, version_id: str = "", start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The object's bytes from `start` up to, not with, `end`; in chunks of at most 1 MiB.

        What lies behind the object's end is left out without an error: who asks for one byte more
        than he expects sees an object that is too long. NotFound if there is none;
        PermanentError "archived" if it must be thawed first.
        """

    @abstractmethod
    def thaw(self, key: str, *, version_id: str = "", days: int = 3) -> None:
        """Ask for an archived object to be readable for some days, which takes minutes to days
        and costs; `head` tells when it is. No error if that was asked already, or need not be."""

    @abstractmethod
    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, page by page."""

    @abstractmethod
    def versions(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every version of every object, delete markers too, keys in the order of `objects`;
        where the store keeps none, the same as `objects`. A version's `version_id` is what the
        other calls take."""

    @abstractmethod
    def copy(
        self, source_key: str, target_key: str, *, version_id: str = "", size: int | None = None
    ) -> ObjectInfo:
        """Copy within the store, metadata included, without moving bytes through here.

        `version_id` names the version of the source; a `size` that is known saves a request.
        """

    @abstractmethod
    def delete(self, key: str, *, version_id: str = "") -> None:
        """Remove one object (one version if named); no error if it is not there.

        Without a version, a store that keeps versions only hides the bytes. ObjectLocked if the
        store protects them.
        """

    @abstractmethod
    def purge(self, key: str, *, version_id: str = "") -> None:
        """Remove the bytes for good: of the version named, or of the object that has no version's
        id; with them the marks of a deletion under whose key nothing is left. No error if it is
        not there; ObjectLocked if the store protects it."""

    @property
    def locks(self) -> bool:
        """Whether the store may protect objects from removal; asks it each time."""
        return False

    @abstractmethod
    def locked_until(self, key: str, *, version_id: str = "") -> datetime | None:
        """Until when the store protects it from removal, FOR_EVER if somebody has to end that;
        None if it does not, or if nothing is there."""

    @abstractmethod
    def sweep_uploads(self, started_before: datetime, keep: Collection[str] = ()) -> int:
        """Abort unfinished uploads that started before a moment, but for the ids in `keep`; how
        many there were."""

    @abstractmethod
    def check(self) -> Sequence[CheckResult]:
        """Try it for real: reach, write, read back, compare, list, overwrite, delete, checksum
        behaviour, versioning. Leaves nothing behind. Never raises: each failure is a line."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that was begun and written down, with its parts that were confirmed."""

    key: str
    upload_id: str
    part_bytes: int
    parts: tuple[SentPart, ...] = ()

    def resume(self, store: Destination, meta: ObjectMeta) -> Upload | None:
        """As the store's `resume_upload`."""
        return store.resume_upload(
            self.key,
            meta,
            upload_id=self.upload_id,
            part_size=self.part_bytes,
            parts=self.parts,
        )


def may_go_on(error: BackupError) -> bool:
    """Whether an upload that this error stopped may be gone on with: nothing is known to be wrong
    with what was sent."""
    return isinstance(error, TransientError | ConfigurationError) and error.code != UPLOAD_LOST
