"""Objects that no copy claims, taken into the catalog by what they bear: id, hash and time.

What was stored, moved or replaced after the last segment was written. One by one, there are few;
each is read, as far as it can be: an object may bear the hash of bytes that it has lost.
A file that the catalog does not know gets a row without a fingerprint, which the next scan fills
in. Never makes up what an object does not tell.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import erased, keys, leftovers, orphans
from syncapp.engine.leftovers import mtime_of
from syncapp.engine.occupied import STORED
from syncapp.models import Copy, Destination, File, Source, Version
from syncapp.types import Content, ObjectInfo, sha256_of

_SHA256 = re.compile("[0-9a-f]{64}")


class Adoption:
    """For one source and destination. `began`: when the comparison that calls it began."""

    def __init__(
        self, source: Source, destination: Destination, store: Store, began: datetime
    ) -> None:
        self.source, self.destination, self.store, self.began = source, destination, store, began
        self.adopted = 0
        self._folders: dict[str, str | None] = {"": ""}  # components joined → remote id

    def sort(
        self, unclaimed: Sequence[ObjectInfo]
    ) -> tuple[list[tuple[ObjectInfo, ObjectInfo]], list[ObjectInfo]]:
        """Those that tell what they are, each with what it bears; and those that don't.

        Reads them whole: not to be called in a transaction, which others would wait for.
        """
        telling, foreign = [], []
        for info in unclaimed:
            head = self.store.head(info.key, version_id=info.version_id)
            if head is None:
                continue  # gone since it was listed
            if self._tells(info, head):
                telling.append((info, head))
            else:
                foreign.append(info)
        return telling, foreign

    def adopt(self, info: ObjectInfo, head: ObjectInfo) -> None:
        """Take up an object that tells what it is."""
        remote_id = head.metadata["remote-id"]
        file = File.objects.filter(source=self.source, remote_id=remote_id).first()
        file = file or self._new_file(info, remote_id)
        version = self._version(file, info, head, _sha256(head))
        self._copy(version, info, head)

    def _tells(self, info: ObjectInfo, head: ObjectInfo) -> bool:
        remote_id = head.metadata.get("remote-id", "")
        if not remote_id or not _SHA256.fullmatch(_sha256(head)):
            return False
        if erased.is_erased(self.source.pk, remote_id):
            return False  # what a lock has kept of it comes back into no catalog
        return head.frozen or self._hash_of(info) == _sha256(head)

    def finish(self) -> None:
        """After the last one: folders that files lie in but nobody knows get their placeholders."""
        if self.adopted:
            orphans.adopt(self.source)

    def _hash_of(self, info: ObjectInfo) -> str:
        with self.store.read(info.key, version_id=info.version_id) as chunks:
            return sha256_of(chunks)

    def _version(self, file: File, info: ObjectInfo, head: ObjectInfo, sha256: str) -> Version:
        """The version whose bytes these are: one that has been read, one that was waited for, or
        one that the catalog never heard of."""
        known = Version.objects.filter(file=file, sha256=sha256).order_by("-current", "-pk").first()
        if known is not None:
            return known
        md5, mtime = _md5(head), mtime_of(head)
        declared = Q(declared_sha256=sha256) | Q(declared_md5=md5 or "-")
        by_time = Q(declared_md5="", declared_sha256="", modified_at=mtime)
        waited = Version.objects.filter(
            declared | by_time, file=file, current=True, state=Version.State.PENDING
        ).first()
        if waited is not None:
            Version.objects.filter(pk=waited.pk).update(
                size=info.size, sha256=sha256, md5=md5, state=Version.State.STORED
            )
            return waited
        newest = info.latest and f"/{keys.FILES}/" in info.key and file.vanished_at is None
        began = _stored_at(info)
        current = Version.objects.filter(file=file, current=True).first()
        turn = max(began, current.since) if current else timezone.now()
        if newest and current:
            Version.objects.filter(pk=current.pk).update(current=False, replaced_at=turn)
        return Version.objects.create(
            source=self.source, file=file, revision=f"recovered {sha256}", current=newest,
            size=info.size, declared_size=info.size, sha256=sha256, md5=md5, modified_at=mtime,
            content_type=head.metadata.get("content-type", ""), state=Version.State.STORED,
            first_seen_at=began, replaced_at=None if newest else turn,
        )  # fmt: skip

    def _copy(self, version: Version, info: ObjectInfo, head: ObjectInfo) -> None:
        """Say that it lies here, unless the copy lies where the catalog has it: then this is left
        over from a move, of no use, and the next run removes it."""
        mine = Copy.objects.filter(version=version, destination=self.destination)
        there = mine.filter(state__in=STORED).select_related("version").first()
        if there is not None and self._is_there(there, info):
            leftovers.note_met(there, info.key, info.version_id)
            return
        Copy.objects.update_or_create(
            version=version,
            destination=self.destination,
            defaults={
                "state": Copy.State.STORED, "object_key": info.key, "error_code": "",
                "store_version": info.version_id or head.version_id, "error_message": "",
                "etag": (info.etag or head.etag)[:128], "stored_at": _stored_at(info),
                "checked_at": self.began,
            },
        )  # fmt: skip
        self.adopted += 1

    def _is_there(self, copy: Copy, info: ObjectInfo) -> bool:
        if copy.checked_at and copy.checked_at >= self.began:
            return True
        if (copy.object_key, copy.store_version) == (info.key, info.version_id):
            return False  # it is this one, and it was not what the copy says
        head = self.store.head(copy.object_key, version_id=copy.store_version)
        if head is None or head.size != info.size:
            return False
        return _sha256(head) == copy.version.sha256

    def _new_file(self, info: ObjectInfo, remote_id: str) -> File:
        """A row for a file that the catalog never heard of, where its key says it was."""
        _, area, *folders, component = info.key.split("/")
        here = area == keys.FILES
        parent = self._parent("/".join(folders)) if here else None
        fold = keys.fold(component)
        inside = File.objects.filter(source=self.source, parent_id=parent or orphans.ORPHANS)
        return File.objects.create(
            source=self.source, remote_id=remote_id, parent_id=parent or orphans.ORPHANS,
            name=keys.decode(component), content=Content.BLOB, key_name=component,
            key_fold="" if inside.filter(key_fold=fold).exists() else fold,
            vanished_at=None if here else timezone.now(),
        )  # fmt: skip

    def _parent(self, path: str) -> str | None:
        """The folder that this path of components names, None if the catalog has none."""
        if path not in self._folders:
            above, _, component = path.rpartition("/")
            parent = self._parent(above)
            row = File.objects.filter(
                source=self.source, parent_id=parent, key_name=component, content=Content.FOLDER
            ).first()
            self._folders[path] = row.remote_id if row and parent is not None else None
        return self._folders[path]


def _stored_at(info: ObjectInfo) -> datetime:
    """When the store says it was made; a folder's files bear the time of their content instead."""
    now = timezone.now()
    return info.modified_at if info.etag and info.modified_at else now


def _sha256(head: ObjectInfo) -> str:
    """Hex, "" if it does not bear any."""
    return head.sha256 or head.metadata.get("sha256", "")


def _md5(head: ObjectInfo) -> str:
    """Hex, "" if it does not bear any."""
    if head.md5 or head.metadata.get("md5"):
        return head.md5 or head.metadata["md5"]
    try:
        return base64.b64decode(head.metadata.get("md5chksum", ""), validate=True).hex()
    except (ValueError, binascii.Error):
        return ""
