"""Bytes, parts and names that every destination must hold."""

from __future__ import annotations

import hashlib
import io
import random
from datetime import UTC, datetime, timedelta, timezone

from syncapp.destinations.base import Destination
from syncapp.types import Digest, ObjectInfo, ObjectMeta, Part

MIB = 1024**2
MTIME = datetime(2012, 11, 28, 2, 8, 25, 123456, tzinfo=UTC)

# As the engine names objects: rclone's Standard encoding is applied before, so that no control
# character, no "/" inside a name, no "." or ".." and no trailing space or dot gets here.
HOSTILE_NAMES = [
    "plain.txt",
    "two  spaces and + plus & ampersand.txt",
    "percent %2F %00 %zz 100%.txt",
    "quotes ' \" ` and \\ backslash.txt",
    "<script>alert(1)</script>.html",
    "emoji 🎉👩‍👩‍👧 flag 🇩🇪.png",
    "rtl שלום مرحبا \u202ereversed.txt",
    "combining e\u0301 and ligature ﬁ.txt",
    "control ␊ ␀ ␛ slash ／.txt",
    "trailing dot．",
    "trailing space␠",
    "#hash?query=1;semi:colon@at=equals,comma~tilde|pipe*star[bracket]{brace}^caret$.txt",
    "-leading dash",
    ".hidden",
    "C:\\windows\\CON",
    "ü" * 127 + "x",  # 255 bytes
    "🎉" * 63,  # 252 bytes, 4 each
]


def digest_of(data: bytes) -> Digest:
    return Digest(len(data), hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest())


def part_of(data: bytes, number: int = 1) -> Part:
    return Part.of(number, data, hashlib.md5(data).digest(), hashlib.sha256(data).digest())


def tampered(promised: bytes, delivered: bytes, number: int = 1) -> Part:
    """A part whose bytes are not those that its digests promise."""
    part = part_of(promised, number)
    opened = lambda: io.BytesIO(delivered)  # noqa: E731
    return Part(number, part.size, part.md5, opened, part.sha256, part.crc32c)


def meta_of(data: bytes = b"", *, mtime: datetime = MTIME, known: bool = True) -> ObjectMeta:
    digest = digest_of(data)
    return ObjectMeta(
        mtime=mtime,
        remote_id="1AbC-id_9",
        content_type="text/plain",
        md5=digest.md5 if known else None,
        sha256=digest.sha256 if known else None,
    )


def random_bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def put(store: Destination, key: str, data: bytes) -> ObjectInfo:
    return store.put(key, part_of(data), meta_of(data))


def put_in_parts(store: Destination, key: str, parts: list[bytes]) -> ObjectInfo:
    data = b"".join(parts)
    upload = store.start_upload(key, meta_of(data), part_size=len(parts[0]))
    for number, piece in enumerate(parts, 1):
        upload.send(part_of(piece, number))
    return upload.finish(digest_of(data))


def read(store: Destination, key: str, *, version_id: str = "") -> bytes:
    with store.read(key, version_id=version_id) as chunks:
        return b"".join(chunks)


def elsewhere(moment: datetime) -> datetime:
    """The same instant, told in another time zone."""
    return moment.astimezone(timezone(timedelta(hours=-7)))
