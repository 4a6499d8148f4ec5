"""From leased versions to jobs: what to read, where each copy goes, what must make room first.

The key of a copy is written down before its bytes are sent, so that whatever a crash leaves at a
destination is known. A key under which another file's object still lies is never taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from django.db import connection, transaction

from syncapp.destinations.base import Destination as Store
from syncapp.engine import keys, lease, leftovers, uploads
from syncapp.engine.feed import RECORDED, Recorded, Target
from syncapp.engine.folders import Folders
from syncapp.engine.occupied import STORED, holders
from syncapp.engine.sets import any_of, update_many
from syncapp.engine.transfer import Job, Origin, OriginUnreadable
from syncapp.errors import NotFound, Unavailable
from syncapp.models import Copy, Run, Version
from syncapp.sources.base import Download
from syncapp.types import Content, Digest, JsonObject, ObjectInfo, RemoteFile

log = logging.getLogger(__name__)


class _Wanted(NamedTuple):
    """A leased version with its file, as one row: models would cost more than the transfer."""

    pk: int
    file_id: int
    attempts: int
    size: int | None
    md5: str
    sha256: str
    content_type: str
    remote_id: str
    parent_id: str
    name: str
    mime_type: str
    content: str
    revision: str
    declared_size: int | None
    declared_md5: str
    declared_sha256: str
    created_at: datetime | None
    modified_at: datetime | None
    drive_id: str
    extension: str
    extra: JsonObject
    key_name: str
    trashed_at: datetime | None
    vanished_at: datetime | None
    error_code: str


_COLUMNS = [
    *("pk", "file_id", "attempts", "size", "md5", "sha256", "content_type", "file__remote_id"),
    *("file__parent_id", "file__name", "file__mime_type", "file__content", "revision"),
    *("declared_size", "declared_md5", "declared_sha256", "file__remote_created_at"),
    *("modified_at", "file__drive_id", "file__extension", "file__extra", "file__key_name"),
    *("file__trashed_at", "file__vanished_at", "error_code"),
]


class _CopyRow(NamedTuple):
    pk: int
    version_id: int
    destination_id: int
    state: str
    object_key: str
    store_version: str


def _remote_file(row: _Wanted) -> RemoteFile:
    """The version's file as its scan gave it, but for what only people want to know."""
    return RemoteFile(
        remote_id=row.remote_id,
        parent_id=row.parent_id,
        name=row.name,
        mime_type=row.mime_type,
        content=Content(row.content),
        revision=row.revision,
        size=row.declared_size,
        md5=row.declared_md5 or None,
        sha256=row.declared_sha256 or None,
        created_at=row.created_at,
        modified_at=row.modified_at,
        drive_id=row.drive_id,
        extension=row.extension,
        extra=row.extra,
    )


def build(ids: Sequence[int], run: Run, folders: Folders, stores: dict[int, Store]) -> list[Job]:
    """A job for each version that has a pending copy in one of `stores`; a few queries in all.

    None once the run has ended: the next one's scan may have found other names for the folders,
    and asks only copies that have a key to follow them.
    """
    versions = Version.objects.filter(pk__in=any_of(ids))
    wanted = [_Wanted(*row) for row in versions.values_list(*_COLUMNS)]
    copies: dict[int, list[_CopyRow]] = {row.pk: [] for row in wanted}
    for fields in Copy.objects.filter(version_id__in=any_of(ids)).values_list(*_CopyRow._fields):
        copy = _CopyRow(*fields)
        copies[copy.version_id].append(copy)
    folders.load({row.parent_id for row in wanted})
    keys_of = _keys(wanted, run.source.slug, folders)
    occupied = holders(set(keys_of.values()), set(stores))
    begun = _recorded(wanted, copies)
    jobs, intents, left = [], [], []
    for row in wanted:
        targets = []
        for copy in copies[row.pk]:
            store = stores.get(copy.destination_id)
            if store is None or copy.state != Copy.State.PENDING:
                continue
            target = _target(row, copy, store, keys_of[row.pk], occupied)
            if copy.pk in begun:
                target = replace(target, recorded=begun[copy.pk])
            if target.key != copy.object_key:
                intents.append((target.key, copy.pk))
                left += [copy.pk] if copy.object_key else []
            targets.append(target)
        if targets:
            jobs.append(_job(row, targets, copies[row.pk], stores))
    if intents:
        with transaction.atomic():
            if left:
                leftovers.note(Copy.objects.filter(pk__in=left), ["object_key"])
            update_many(Copy, ["object_key"], ["id"], intents)
            if not lease.under_way(run):
                transaction.set_rollback(True)
                return []
    return jobs


def _recorded(wanted: Sequence[_Wanted], copies: dict[int, list[_CopyRow]]) -> dict[int, Recorded]:
    """Unfinished uploads of the big ones, by copy."""
    big = [row.pk for row in wanted if (row.declared_size or 0) >= RECORDED]
    return uploads.recorded([copy.pk for pk in big for copy in copies[pk]]) if big else {}


def _keys(wanted: Sequence[_Wanted], slug: str, folders: Folders) -> dict[int, str]:
    """The object key of each version, in the trash if its file is gone; folders are looked up
    once."""
    components = {parent: folders.components(parent) for parent in {r.parent_id for r in wanted}}
    return {row.pk: _key(row, slug, components[row.parent_id]) for row in wanted}


def _key(row: _Wanted, slug: str, above: Sequence[str]) -> str:
    gone_at = row.trashed_at or row.vanished_at
    return keys.newest_key(slug, gone_at, above, row.key_name, row.remote_id)


def _job(
    row: _Wanted, targets: list[Target], copies: Sequence[_CopyRow], stores: dict[int, Store]
) -> Job:
    file, last_read, origin = _remote_file(row), None, None
    stored = [copy for copy in copies if copy.state in STORED]
    if row.sha256 and row.size is not None:
        if file.content is Content.BLOB:
            last_read = Digest(row.size, row.md5, row.sha256)
        elif row.error_code != OriginUnreadable.code and (
            origin := _stored_elsewhere(row, stored, stores)
        ):
            # A second export would have other bytes than the copy that is stored.
            file = replace(file, size=row.size, md5=row.md5, sha256=row.sha256)
    stored_sha256 = row.sha256 if stored else ""
    return Job(row.pk, file, targets, row.attempts + 1, last_read, origin, stored_sha256)


def _stored_elsewhere(
    row: _Wanted, stored: Sequence[_CopyRow], stores: dict[int, Store]
) -> Origin | None:
    for copy in stored:
        store = stores.get(copy.destination_id)
        if store is not None:
            return Origin(copy.pk, partial(_read_back, store, copy, row))
    return None


@contextmanager
def _read_back(store: Store, copy: _CopyRow, row: _Wanted) -> Iterator[Download]:
    with store.read(copy.object_key, version_id=copy.store_version) as chunks:
        yield Download(chunks, row.size, row.content_type)


def _target(
    row: _Wanted,
    copy: _CopyRow,
    store: Store,
    key: str,
    occupied: dict[tuple[int, str], Copy],
) -> Target:
    path, there = key, occupied.get((copy.destination_id, key))
    for mark in (row.remote_id, f"{row.remote_id} {row.revision}"):
        if there is None or not _keeps_away(there, row):
            break
        key = keys.apart(path, mark)
        there = holders([key], [copy.destination_id]).get((copy.destination_id, key))
    if there is None or there.version_id == row.pk:
        return Target(copy.pk, copy.destination_id, store, key)
    return Target(copy.pk, copy.destination_id, store, key, make_room(store, there, key))


def _keeps_away(there: Copy, row: _Wanted) -> bool:
    """Whether what lies there is another file's, or is just being removed by its key."""
    return there.version.file_id != row.file_id or there.state == Copy.State.RELEASED


def _damage(kept: ObjectInfo, version: Version) -> dict[str, str]:
    """What is to be written of a previous version if its object has other bytes than it had."""
    wrong_md5 = kept.md5 and version.md5 and kept.md5 != version.md5
    if kept.size == version.size and not wrong_md5:
        return {}
    return {
        "state": Copy.State.DAMAGED,
        "error_code": "checksum_mismatch" if wrong_md5 else "size_mismatch",
        "error_message": "The object had other bytes when its successor was stored.",
    }


def make_room(store: Store, there: Copy, key: str) -> Callable[[], None]:
    """Keep the previous version before its key is overwritten, where the store does not itself:
    one without a version's id is reached by its key alone, whatever the bucket does by now.

    Copied first, then written down, and only then overwritten: at every moment the catalog names
    a key under which the previous bytes lie.
    """
    previous = keys.previous_key(key, there.version.revision, there.version.modified_at)
    version_id = there.store_version

    def keep() -> None:
        row = Copy.objects.filter(pk=there.pk, object_key=key, state__in=STORED)
        try:
            if (version_id and store.keeps_versions) or not row.exists():
                return
            leftovers.note_made(there, previous)
            kept = store.copy(key, previous, version_id=version_id)
            place = {"store_version": kept.version_id, "etag": kept.etag[:128]}
            with transaction.atomic():
                row.update(object_key=previous, **place, **_damage(kept, there.version))
                leftovers.forget(there, previous)
        except NotFound as error:
            if store.head(key, version_id=version_id) is not None:
                raise Unavailable(f"“{key}” could not be copied before it is replaced.") from error
            log.warning("copy.missing id=%d", there.pk)
            row.update(
                state=Copy.State.DAMAGED,
                error_code="missing",
                error_message="The object was gone when its successor was stored.",
            )
        finally:
            connection.close()  # a writer's thread: nothing else will

    return keep
