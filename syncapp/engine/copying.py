"""A stored version put at another destination, verified while it passes. No database here.

A large one goes in parts, each in memory until it is sent; the object appears only after every
byte was read and found to be what the catalog says. Memory: one part a call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from syncapp.destinations.base import Upload
from syncapp.engine.feed import retrying
from syncapp.engine.fetch import Reading
from syncapp.engine.readback import Sites
from syncapp.engine.transfer import part_size
from syncapp.errors import IntegrityError
from syncapp.models import Version
from syncapp.types import Digest, ObjectInfo, ObjectMeta, Part

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to lie under a key."""

    key: str
    meta: ObjectMeta
    digest: Digest

    @classmethod
    def of(cls, version: Version, key: str) -> Wanted:
        """A version's content and what is kept beside it; its file must be loaded."""
        file = version.file
        meta = ObjectMeta(
            mtime=version.modified_at or file.remote_created_at or _EPOCH,
            remote_id=file.remote_id,
            content_type=version.content_type or "application/octet-stream",
            md5=version.md5 or None,
            sha256=version.sha256,
        )
        return cls(key, meta, Digest(version.size or 0, version.md5, version.sha256))


def make(sites: Sites, reading: Reading, wanted: Wanted, destination_id: int) -> ObjectInfo:
    """Store what is read; from another origin if one turns out wrong in its middle."""
    while True:
        known = len(reading.damages)
        try:
            return _make(sites, reading, wanted, destination_id)
        except IntegrityError:
            if len(reading.damages) == known:
                raise


def _make(sites: Sites, reading: Reading, wanted: Wanted, destination_id: int) -> ObjectInfo:
    target = sites.stores[destination_id]
    bytes_a_part = part_size(wanted.digest.size, [target.limits])
    parts = parts_of(counted(sites, reading), bytes_a_part)
    if wanted.digest.size > bytes_a_part:
        return _in_parts(sites, parts, wanted, destination_id, bytes_a_part)
    only = next(parts, None) or Part.of(1, b"")
    rest = next(parts, None)  # reads to the end, where the whole is compared
    if rest is not None or only.size != wanted.digest.size:
        raise IntegrityError("More or fewer bytes came than were stored.")
    sites.send(destination_id, only.size)
    return retrying(lambda: target.put(wanted.key, only, wanted.meta), sites.beat.halt)


def _in_parts(
    sites: Sites, parts: Iterator[Part], wanted: Wanted, destination_id: int, bytes_a_part: int
) -> ObjectInfo:
    target, halt = sites.stores[destination_id], sites.beat.halt
    upload = retrying(
        lambda: target.start_upload(wanted.key, wanted.meta, part_size=bytes_a_part), halt
    )
    try:
        for part in parts:
            sites.send(destination_id, part.size)
            _send(upload, part, sites)
        info = retrying(lambda: upload.finish(wanted.digest), halt)
    except BaseException:
        upload.abort()
        raise
    return info


def _send(upload: Upload, part: Part, sites: Sites) -> None:
    retrying(lambda: upload.send(part), sites.beat.halt)


def counted(sites: Sites, reading: Reading) -> Iterator[bytes]:
    """The bytes, within the limits of where they come from; Interrupted when to stop."""
    for chunk in reading:
        if reading.origin_id is not None:
            sites.took(reading.origin_id, len(chunk))
        yield chunk


def parts_of(chunks: Iterator[bytes], size: int) -> Iterator[Part]:
    """The bytes in parts of `size`, the last one shorter."""
    held, number = bytearray(), 1
    for chunk in chunks:
        held += chunk
        while len(held) > size:
            yield Part.of(number, bytes(held[:size]))
            del held[:size]
            number += 1
    if held:
        yield Part.of(number, bytes(held))
