"""Which of the objects that lie at a destination the catalog's copies are.

A listing tells it mostly: size, with the ETag or the time of the content; or else the hash that an
object bears. Where all of these were lost, as in a plain copy of a folder or of a bucket, the bytes
alone tell it: an object of the right size at a copy's own key is read, and is that copy if its
SHA-256 is the one in the catalog. So are copies that were given up as damaged, and are back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from syncapp.destinations.base import Destination as Store
from syncapp.engine.occupied import STORED
from syncapp.errors import PermanentError, TransientError
from syncapp.models import Copy, Destination, Source
from syncapp.types import ObjectInfo, sha256_of

HANDS = 8
_Claimed = tuple[Copy, ObjectInfo]


@dataclass
class Sorted:
    """A batch of objects: the ids of copies that are there by all that they bear, copies that are
    there by what was read, and the objects that are no copy."""

    seen: list[int] = field(default_factory=list)
    read: list[_Claimed] = field(default_factory=list)
    unclaimed: list[ObjectInfo] = field(default_factory=list)


def sort(
    source: Source, destination: Destination, store: Store, batch: Sequence[ObjectInfo]
) -> Sorted:
    """Each object to the copy that it is. May read them: not to be called in a transaction."""
    copies: dict[str, list[Copy]] = defaultdict(list)
    for copy in Copy.objects.filter(
        destination=destination,
        object_key__in=[info.key for info in batch],
        state__in=[*STORED, Copy.State.DAMAGED],
        version__source=source,
    ).select_related("version"):
        copies[copy.object_key].append(copy)
    told, rest = Sorted(), []
    for info in batch:
        mine = next((copy for copy in copies[info.key] if _is_listed(copy, info)), None)
        if mine is None:
            rest.append(info)
        else:
            told.seen.append(mine.pk)
            copies[info.key].remove(mine)
    may_be = [_of_its_size(copies[info.key], info) for info in rest]
    with ThreadPoolExecutor(HANDS, "claims") as pool:
        found = pool.map(lambda pair: _look(store, *pair), zip(rest, may_be, strict=True))
    taken: set[int] = set()
    for info, (mine, read) in zip(rest, found, strict=True):
        if mine is None or mine.pk in taken:
            told.unclaimed.append(info)
            continue
        taken.add(mine.pk)
        if read:
            told.read.append((mine, info))
        else:
            told.seen.append(mine.pk)
    return told


def _is_listed(copy: Copy, info: ObjectInfo) -> bool:
    """Whether the listing alone says that this is the copy."""
    if copy.state not in STORED or copy.version.size != info.size or not _is_named(copy, info):
        return False
    if info.etag and copy.etag:
        return info.etag[: len(copy.etag)] == copy.etag
    return info.modified_at == copy.version.modified_at


def _is_named(copy: Copy, info: ObjectInfo) -> bool:
    return copy.store_version == info.version_id if copy.store_version else info.latest


def _of_its_size(copies: Sequence[Copy], info: ObjectInfo) -> list[Copy]:
    """The copies that the object's bytes may be. In another place versions have other ids: what
    lies openly under the key may be any of them."""
    return [
        copy
        for copy in copies
        if copy.version.size == info.size and (info.latest or copy.store_version == info.version_id)
    ]


def _look(store: Store, info: ObjectInfo, copies: Sequence[Copy]) -> tuple[Copy | None, bool]:
    """The one of the copies that it is, by the hash that it bears or else by its bytes; whether it
    was read. In a thread, without the database."""
    if not copies:
        return None, False
    head = store.head(info.key, version_id=info.version_id)
    if head is None:
        return None, False  # gone since it was listed
    borne = head.sha256, head.metadata.get("sha256")
    for copy in copies:
        if copy.state in STORED and _is_named(copy, info) and copy.version.sha256 in borne:
            return copy, False
    sha256 = "" if head.frozen else _read(store, info)
    return next((copy for copy in copies if copy.version.sha256 == sha256 != ""), None), True


def _read(store: Store, info: ObjectInfo) -> str:
    """Its SHA-256, "" if it can't be read though its place answers: then it is as good as lost."""
    try:
        with store.read(info.key, version_id=info.version_id) as chunks:
            return sha256_of(chunks)
    except PermanentError:
        return ""
    except TransientError:
        store.head(info.key, version_id=info.version_id)  # raises if it is the place
        return ""
