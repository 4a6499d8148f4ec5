"""Which files an erasure is about, in batches; and what of them lies in the stores.

A survey comes first and changes nothing at the stores: the objects that the catalog has, those that
none of its copies claims although they bear the id of such a file (`stray`), and what is locked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial

from django.db import transaction
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.destinations.base import Unfinished
from syncapp.engine import marks
from syncapp.engine.erased import digest
from syncapp.engine.occupied import copies_of
from syncapp.engine.sets import by_pk, chunks, upsert_many
from syncapp.engine.sites import Site
from syncapp.errors import BackupError
from syncapp.models import (
    Copy,
    Destination,
    Erased,
    ErasedObject,
    Erasure,
    File,
    PartialUpload,
    Source,
)
from syncapp.types import ObjectInfo, ObjectMeta

BATCH = 200  # files
LISTED = 1000  # objects of a listing looked at together
_DEEPEST = 200  # levels of folders; Drive allows 100
_COLUMNS = [
    "erasure_id", "destination_id", "place", "object_key", "store_version", "stray",
    "locked_until", "absent_at",
]  # fmt: skip


def list_files(erasure: Erasure, source: Source, go_on: Callable[[], bool]) -> bool:
    """Write down the files and folders that it is about; idempotent. False if told to stop."""
    for file_ids in _chosen(erasure, source):
        if not go_on():
            return False
        rows = list(File.objects.filter(pk__in=file_ids).values_list("pk", "remote_id"))
        digests = {digest(remote_id): pk for pk, remote_id in rows}
        # Nothing is left of those that were erased before.
        before = Erased.objects.filter(source=source, digest__in=digests, erasure__isnull=True)
        new = digests.keys() - set(before.values_list("digest", flat=True))
        now = timezone.now()
        with transaction.atomic():
            upsert_many(
                Erased,
                ["source_id", "digest", "erasure_id", "file_pk", "erased_at"],
                [(source.pk, one, erasure.pk, digests[one], now) for one in sorted(new)],
                unique=["source_id", "digest"],
                update=["erasure_id", "file_pk", "erased_at"],
            )
    return True


def listed(erasure: Erasure) -> Iterator[list[int]]:
    """The files that were written down."""
    rows = Erased.objects.filter(erasure=erasure, file_pk__isnull=False)
    for found in by_pk(rows, "file_pk", size=BATCH):
        yield [file_pk for _, file_pk in found]


def count(erasure: Erasure, source: Source) -> tuple[int, int]:
    """How many files and folders, and stored copies, it is about; changes nothing."""
    files = copies = 0
    for file_ids in _chosen(erasure, source):
        files += len(file_ids)
        copies += copies_of(file_ids).exclude(object_key="").count()
    return files, copies


def forget_list(erasure: Erasure) -> None:
    """Nothing is to be erased after all."""
    Erased.objects.filter(erasure=erasure).delete()


def _chosen(erasure: Erasure, source: Source) -> Iterator[list[int]]:
    if erasure.files:
        yield from _below(erasure, source)
        return
    for found in by_pk(File.objects.filter(source=source), size=BATCH):
        yield [pk for (pk,) in found]


def _below(erasure: Erasure, source: Source) -> Iterator[list[int]]:
    """The chosen ones, and everything that lies in them: level by level, gone or not."""
    files = File.objects.filter(source=source)
    level = set(files.filter(pk__in=erasure.files).values_list("pk", flat=True))
    seen: set[int] = set()
    for _ in range(_DEEPEST):
        level -= seen
        if not level:
            return
        seen |= level
        yield from chunks(sorted(level), BATCH)
        below: set[int] = set()
        for some in chunks(sorted(level), BATCH):
            parents = files.filter(pk__in=some).values_list("remote_id", flat=True)
            below.update(files.filter(parent_id__in=list(parents)).values_list("pk", flat=True))
        level = below


def note_copies(erasure: Erasure, file_ids: Sequence[int]) -> None:
    """Write down what the catalog has of these files; idempotent."""
    names = dict(Destination.objects.values_list("pk", "name"))
    rows = {}
    columns = ["destination_id", "object_key", "store_version", "old_key", "old_store_version"]
    for where, key, version, old_key, old_version in copies_of(file_ids).values_list(*columns):
        for at, of in ((key, version), (old_key, old_version)):
            if at:
                rows[where, at, of] = (erasure.pk, where, names[where], at, of, False, None, None)
    _write(rows.values())


def _write(rows: Iterable[Sequence[object]]) -> None:
    unique = ["erasure_id", "destination_id", "object_key", "store_version"]
    with transaction.atomic():
        upsert_many(ErasedObject, _COLUMNS, list(rows), unique=unique, update=["place"])


def look(erasure: Erasure, site: Site, source: Source, go_on: Callable[[], bool]) -> bool:
    """Write down the strays at one destination and what is locked there. False if told to stop.
    OtherInstallation, before anything is decided, where nothing could be removed."""
    answer = site.call(partial(marks.check, site.store))
    if isinstance(answer, BackupError):
        raise answer
    return note_strays(erasure, site, source, go_on) and note_locks(erasure, site, go_on)


def note_strays(erasure: Erasure, site: Site, source: Source, go_on: Callable[[], bool]) -> bool:
    """Look through all that lies below the source's folder at one destination for objects of the
    erased files that no copy claims. False if told to stop."""
    name = Destination.objects.get(pk=site.destination_id).name
    for some in chunks(site.store.versions(f"{source.slug}/"), LISTED):
        if not go_on():
            return False
        unclaimed = _unclaimed(site.destination_id, [info for info in some if not info.marker])
        answers = site.each(partial(_remote_id, site.store, info) for info in unclaimed)
        known = []
        for info, answer in zip(unclaimed, answers, strict=True):
            if isinstance(answer, BackupError):
                raise answer
            known.append((info, answer))
        ours = _among(erasure, {remote_id for _, remote_id in known if remote_id})
        _write(
            (erasure.pk, site.destination_id, name, i.key, i.version_id, True, None, None)
            for i, remote_id in known
            if remote_id in ours or not erasure.files
        )
    return True


def _unclaimed(destination_id: int, found: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    keys = [info.key for info in found]
    rows = Copy.objects.filter(destination_id=destination_id)
    claimed = set(rows.filter(object_key__in=keys).values_list("object_key", "store_version"))
    moving = rows.filter(old_key__in=keys).exclude(old_key="")
    claimed |= set(moving.values_list("old_key", "old_store_version"))
    return [info for info in found if (info.key, info.version_id) not in claimed]


def _remote_id(store: Store, info: ObjectInfo) -> str:
    about = store.head(info.key, version_id=info.version_id)
    return about.metadata.get("remote-id", "") if about is not None else ""


def _among(erasure: Erasure, remote_ids: Collection[str]) -> set[str]:
    """Those of the ids that are to be erased."""
    digests = {digest(remote_id): remote_id for remote_id in remote_ids}
    marked = Erased.objects.filter(erasure=erasure, digest__in=digests)
    return {digests[found] for found in marked.values_list("digest", flat=True)}


def note_locks(erasure: Erasure, site: Site, go_on: Callable[[], bool]) -> bool:
    """Ask until when each object noted there is protected. False if told to stop."""
    locks = site.call(lambda: site.store.locks)
    if isinstance(locks, BackupError):
        raise locks
    rows = ErasedObject.objects.filter(erasure=erasure, destination_id=site.destination_id)
    for some in by_pk(rows, "object_key", "store_version", size=500) if locks else ():
        if not go_on():
            return False
        answers = site.each(
            partial(site.store.locked_until, key, version_id=version) for _, key, version in some
        )
        for (pk, _, _), answer in zip(some, answers, strict=True):
            if isinstance(answer, BackupError):
                raise answer
            if answer is not None:
                ErasedObject.objects.filter(pk=pk).update(locked_until=answer)
    return True


def abort(store: Store, upload: PartialUpload) -> None:
    """End an unfinished upload there, if it is known."""
    meta = ObjectMeta(mtime=upload.started_at, remote_id="")
    kept = Unfinished(upload.object_key, upload.upload_id, upload.part_bytes)
    found = kept.resume(store, meta)
    if found is not None:
        found.abort()


def is_absent(store: Store, key: str, version_id: str) -> bool:
    """Whether nothing lies there under that key, or that version of it."""
    if store.head(key, version_id=version_id) is not None:
        return False
    if not version_id:
        return True
    return not any(i.key == key and i.version_id == version_id for i in store.versions(key))


def locked(erasure: Erasure) -> tuple[int, datetime | None, datetime | None]:
    """How many objects are protected still, and until when the first and the last."""
    ends = ErasedObject.objects.filter(erasure=erasure, locked_until__gt=timezone.now())
    moments = ends.order_by("locked_until").values_list("locked_until", flat=True)
    return moments.count(), moments.first(), moments.last()
