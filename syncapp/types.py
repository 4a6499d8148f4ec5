"""Frozen values that cross layers. No behaviour beyond derivation, no Django, no I/O."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, BinaryIO

from crc32c import crc32c

from syncapp.errors import IntegrityError

JsonObject = dict[str, Any]
_CHUNK_BYTES = 1024**2


def sha256_of(chunks: Iterable[bytes]) -> str:
    """Of all of them together, in hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


class Crc32c:
    """The checksum of RFC 3720, as S3 has it: four bytes, the highest first."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        """The next bytes."""
        self._value = crc32c(data, self._value)

    def digest(self) -> bytes:
        """Of all that came."""
        return self._value.to_bytes(4, "big")


class Content(StrEnum):
    """How a remote item's bytes come to be."""

    FOLDER = "folder"  # has none
    BLOB = "blob"  # stored bytes, with checksums at the source
    EXPORT = "export"  # converted by Google at each read; no checksum, not byte-stable
    FORM = "form"  # JSON made from the Forms API
    SHORTCUT = "shortcut"  # JSON made from its metadata
    UNSUPPORTED = "unsupported"  # Google offers no way to read it; `problem` says why


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One item of a source, as the last listing tells it. Text is valid UTF-8 without NUL.

    `revision` changes when, and only when, the content must be read again. `size`, `md5` and
    `sha256` (lower-case hex) are what the source claims, None where it claims nothing.
    `parent_id` "" marks a root. `extension` is appended to the name of an export ("docx").
    `problem` is an error code if the item can't be backed up, "" otherwise. `extra` is what only
    the adapter itself understands (resource key, export type); it is handed back at download.
    `metadata` is what is kept for people: permissions, owners, description, properties, …
    """

    remote_id: str
    parent_id: str
    name: str
    mime_type: str
    content: Content
    revision: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None
    trashed: bool = False
    owner: str = ""
    modified_by: str = ""
    drive_id: str = ""
    extension: str = ""
    problem: str = ""
    problem_message: str = ""
    extra: JsonObject = field(default_factory=dict)
    metadata: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Up to 1000 items of one listing or change log, translated only when asked for.

    `ids` and `marks` are parallel. A mark is a signed 64-bit hash of the item as the service gave
    it: equal marks, where `trusted`, mean that nothing about it has changed. `file(i)` translates
    the i-th. `scope` is "user" or a shared drive's id. `after` is the position in the listing
    behind this page, {} where a listing can't be gone on with.
    """

    scope: str
    ids: Sequence[str]
    marks: Sequence[int]
    file: Callable[[int], RemoteFile]
    trusted: bool = True
    after: JsonObject = field(default_factory=dict)

    @classmethod
    def of(cls, scope: str, files: Sequence[RemoteFile]) -> ItemPage:
        """A page of files that are there already; always looked at."""
        return cls(
            scope, [f.remote_id for f in files], [0] * len(files), files.__getitem__, trusted=False
        )


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A page of one change log. `items` are there now; `removed` are ids of which the log only
    says that this account no longer finds them in this log's scope: deleted, unshared, or moved
    to another scope. `left` are shared drives that the account is no longer a member of.
    `cursor` is the position, in every log, after this page: worth keeping once it is written.
    """

    scope: str
    items: ItemPage
    removed: Sequence[str]
    cursor: JsonObject
    left: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """An open push channel: what stops it, and when it ends by itself."""

    channel_id: str
    resource_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """Who the source belongs to; sizes in bytes, None if unlimited or unknown."""

    email: str
    name: str
    used_bytes: int | None = None
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Digest:
    """What was read: computed once, while the bytes passed. Hex, lower case."""

    size: int
    md5: str
    sha256: str


@dataclass(slots=True)
class Part:
    """A run of bytes on its way to a destination; `open()` gives a fresh reader at its start.

    Numbers start at 1. `md5`, `sha256` and `crc32c` are raw digests of these bytes alone, each
    computed when it is first asked for, once for all threads. What waits on a disk knows its CRC32C
    from before: IntegrityError if the bytes are no longer those when another digest is computed.
    """

    number: int
    size: int
    known_md5: bytes
    open: Callable[[], BinaryIO]
    known_sha256: bytes = b""
    known_crc32c: bytes = b""
    _hashing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def of(cls, number: int, data: bytes, md5: bytes = b"", sha256: bytes = b"") -> Part:
        """A part whose bytes are in memory."""
        return cls(number, len(data), md5, lambda: io.BytesIO(data), sha256)

    @property
    def md5(self) -> bytes:
        if not self.known_md5:
            with self._hashing:
                self.known_md5 = self.known_md5 or self._hashed(hashlib.md5(usedforsecurity=False))
        return self.known_md5

    @property
    def sha256(self) -> bytes:
        if not self.known_sha256:
            with self._hashing:
                self.known_sha256 = self.known_sha256 or self._hashed(hashlib.sha256())
        return self.known_sha256

    @property
    def crc32c(self) -> bytes:
        if not self.known_crc32c:
            with self._hashing:
                self.known_crc32c = self.known_crc32c or self._hashed(Crc32c())
        return self.known_crc32c

    def _hashed(self, digest: hashlib._Hash | Crc32c) -> bytes:
        crc = Crc32c()
        for chunk in self._chunks():
            digest.update(chunk)
            if self.known_crc32c:
                crc.update(chunk)
        if self.known_crc32c and crc.digest() != self.known_crc32c:
            raise IntegrityError(f"Part {self.number} is no longer what was read.")
        return digest.digest()

    def _chunks(self) -> Iterator[bytes]:
        with self.open() as reader:
            # All of a BytesIO is the very bytes that it was made of, uncopied.
            size = -1 if type(reader) is io.BytesIO else _CHUNK_BYTES
            while chunk := reader.read(size):
                yield chunk


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that a destination has confirmed. Raw digests of its bytes; `etag` is the store's.

    Each digest only where it is needed again, b"" elsewhere. `md5` may be the store's word, where
    it has confirmed another checksum. `crc32c` is not written down: the store lists it.
    """

    number: int
    size: int
    md5: bytes
    etag: str
    sha256: bytes = b""
    crc32c: bytes = b""


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What is kept on each object beside its bytes. Hashes are hex, None if not known up front."""

    mtime: datetime
    remote_id: str
    content_type: str = "application/octet-stream"
    md5: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as its destination reports it. `md5` only where the store vouches for it.

    `storage_class` as the store names it, "" if it has none; `frozen`: must be thawed before it
    can be read (a listing tells that by the class alone). In a listing of versions, `latest` is
    the one that the key alone names, `marker` says that there is none since.
    """

    key: str
    size: int
    etag: str = ""
    md5: str | None = None
    sha256: str | None = None
    version_id: str = ""
    modified_at: datetime | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    storage_class: str = ""
    frozen: bool = False
    marker: bool = False
    latest: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What a destination allows. Bytes; `max_key_bytes` counts the UTF-8 of a whole key."""

    min_part: int = 5 * 1024**2
    max_part: int = 5 * 1024**3
    max_parts: int = 10_000
    max_object: int = 5 * 1024**4
    max_key_bytes: int = 1024


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of a `destination test` or source check: what was tried, and how it ended.

    `level` is "ok", "warning" or "error"; `message` says what to do when it is not "ok". `proves`
    names a reserved setting that is to be remembered as "1" with the destination.
    """

    name: str
    level: str
    message: str = ""
    proves: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a destination kind, enough to build a form, a command line and a check."""

    name: str
    label: str
    help: str = ""
    required: bool = False
    depends: bool = False  # needed or not as other options say
    secret: bool = False
    default: str = ""
    choices: tuple[tuple[str, str], ...] = ()
