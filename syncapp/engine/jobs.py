"""From leased versions to jobs: what to read, where each copy goes, what must make room first.

The key of a copy is written down before its bytes are sent, so that whatever a crash leaves at a
destination is known. A key under which another file's object still lies is never taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial

from django.db import connection

from syncapp.destinations.base import Destination as Store
from syncapp.engine import keys
from syncapp.engine.folders import Folders
from syncapp.engine.occupied import STORED, holders
from syncapp.engine.sets import update_many
from syncapp.engine.transfer import Job, Target
from syncapp.errors import NotFound
from syncapp.models import Copy, Version
from syncapp.sources.base import Download
from syncapp.types import Content, Digest, RemoteFile

log = logging.getLogger(__name__)


def remote_file(version: Version) -> RemoteFile:
    """The version's file as its scan gave it."""
    file = version.file
    return RemoteFile(
        remote_id=file.remote_id,
        parent_id=file.parent_id,
        name=file.name,
        mime_type=file.mime_type,
        content=Content(file.content),
        revision=version.revision,
        size=version.declared_size,
        md5=version.declared_md5 or None,
        sha256=version.declared_sha256 or None,
        created_at=file.remote_created_at,
        modified_at=version.modified_at,
        owner=file.owner_email,
        drive_id=file.drive_id,
        extension=file.extension,
        extra=file.extra,
        metadata=file.metadata,
    )


def build(ids: Sequence[int], slug: str, folders: Folders, stores: dict[int, Store]) -> list[Job]:
    """A job for each version that has a pending copy in one of `stores`; a few queries in all."""
    versions = list(
        Version.objects.filter(pk__in=ids).select_related("file").prefetch_related("copies")
    )
    folders.load({version.file.parent_id for version in versions})
    jobs, intents = [], []
    keys_of = {
        v.pk: keys.file_key(
            slug, folders.components(v.file.parent_id), v.file.key_name, v.file.remote_id
        )
        for v in versions
    }
    occupied = holders(set(keys_of.values()), set(stores))
    for version in versions:
        targets = []
        for copy in version.copies.all():
            store = stores.get(copy.destination_id)
            if store is None or copy.state != Copy.State.PENDING:
                continue
            target = _target(version, copy, store, keys_of[version.pk], occupied)
            intents.append((target.key, copy.pk))
            targets.append(target)
        if targets:
            jobs.append(_job(version, targets, stores))
    update_many(Copy, ["object_key"], ["id"], intents)
    return jobs


def _job(version: Version, targets: list[Target], stores: dict[int, Store]) -> Job:
    file, last_read, origin = remote_file(version), None, None
    if version.sha256 and version.size is not None:
        if file.content is Content.BLOB:
            last_read = Digest(version.size, version.md5, version.sha256)
        elif origin := _stored_elsewhere(version, stores):
            # A second export would have other bytes than the copy that is stored.
            file = replace(file, size=version.size, md5=version.md5, sha256=version.sha256)
    return Job(version.pk, file, targets, version.attempts + 1, last_read, origin)


def _stored_elsewhere(
    version: Version, stores: dict[int, Store]
) -> Callable[[], AbstractContextManager[Download]] | None:
    for copy in version.copies.all():
        store = stores.get(copy.destination_id)
        if store is not None and copy.state in STORED:
            return partial(_read_back, store, copy, version)
    return None


@contextmanager
def _read_back(store: Store, copy: Copy, version: Version) -> Iterator[Download]:
    with store.read(copy.object_key, version_id=copy.store_version) as chunks:
        yield Download(chunks, version.size, version.content_type)


def _target(
    version: Version,
    copy: Copy,
    store: Store,
    key: str,
    occupied: dict[tuple[int, str], Copy],
) -> Target:
    there = occupied.get((copy.destination_id, key))
    if there is not None and there.version.file_id != version.file_id:
        key = keys.apart(key, version.file.remote_id)
        there = holders([key], [copy.destination_id]).get((copy.destination_id, key))
    if there is None or there.version_id == version.pk:
        return Target(copy.destination_id, store, key)
    return Target(copy.destination_id, store, key, make_room(store, there, key))


def make_room(store: Store, there: Copy, key: str) -> Callable[[], None]:
    """Keep the previous version before its key is overwritten, where the store does not itself.

    Copied first, then written down, and only then overwritten: at every moment the catalog names
    a key under which the previous bytes lie.
    """
    previous = keys.previous_key(key, there.version.revision, there.version.modified_at)

    def keep() -> None:
        row = Copy.objects.filter(pk=there.pk, object_key=key)
        try:
            if store.keeps_versions or not row.exists():
                return
            store.copy(key, previous)
            row.update(object_key=previous)
        except NotFound:
            log.warning("copy.missing id=%d", there.pk)
            row.update(
                state=Copy.State.DAMAGED,
                error_code="missing",
                error_message="The object was gone when its successor was stored.",
            )
        finally:
            connection.close()  # a writer's thread: nothing else will

    return keep
