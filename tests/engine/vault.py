"""A source whose backups are made by hand: files, versions and copies, without Google or a run."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from accounts.models import GoogleAccount, User
from syncapp.destinations.base import Destination as Store
from syncapp.engine import keys
from syncapp.engine.adapters import destination_for, origin_for
from syncapp.models import Copy, Destination, File, Place, Source, Version
from syncapp.types import Content, ObjectMeta, Part

SEEN = datetime(2026, 1, 1, tzinfo=UTC)
MODIFIED = datetime(2025, 5, 17, 12, 30, 15, 250000, tzinfo=UTC)


def part_of(data: bytes) -> Part:
    return Part.of(1, data, hashlib.md5(data).digest(), hashlib.sha256(data).digest())


@dataclass
class Vault:
    """One source, kept in folders on this machine."""

    source: Source
    destinations: list[Destination]
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def make(cls, folder: Path, *names: str, owner: str = "owner") -> Vault:
        user = User.objects.create_user(owner, f"{owner}@example.org", "a long passphrase")
        account = GoogleAccount.objects.create(
            user=user, uid=owner, email=f"{owner}@example.org", scopes=[]
        )
        source = Source.objects.create(
            owner=user, account=account, name="Drive", slug="drive", mode="manual"
        )
        vault = cls(source, [])
        for name in names or ("one", "two"):
            vault.add_folder(folder / name, name)
        return vault

    def add_folder(self, path: Path, name: str) -> Destination:
        made = Destination.objects.create(
            owner=self.source.owner, name=name, kind="local", options={"path": str(path)}
        )
        destination_for(made).prepare()  # type: ignore[attr-defined]
        self.attach(made)
        return made

    def attach(self, destination: Destination) -> None:
        self.source.destinations.add(destination)
        self.destinations.append(destination)

    def folder(self, name: str, parent: str = "", *, seen: datetime = SEEN) -> File:
        return self._file(name, parent, Content.FOLDER, seen)

    def file(
        self,
        name: str,
        data: bytes = b"hello",
        parent: str = "",
        *,
        seen: datetime = SEEN,
        at: list[Destination] | None = None,
    ) -> Version:
        """A file with one version, stored in every destination (or `at` those)."""
        file = self._file(name, parent, Content.BLOB, seen)
        return self.version(file, data, seen=seen, at=at)

    def version(
        self, file: File, data: bytes, *, seen: datetime = SEEN, at: list[Destination] | None = None
    ) -> Version:
        """Another content, which is the current one from then on."""
        file.versions.filter(current=True).update(current=False, replaced_at=seen)
        digest = hashlib.sha256(data).hexdigest()
        made = Version.objects.create(
            source=self.source,
            file=file,
            revision=f"r{next(self._ids)}",
            size=len(data),
            md5=hashlib.md5(data).hexdigest(),
            sha256=digest,
            content_type="application/octet-stream",
            modified_at=MODIFIED,
            state=Version.State.STORED,
            first_seen_at=seen,
        )
        for destination in self.destinations if at is None else at:
            self.copy(made, destination, data)
        return made

    def copy(self, version: Version, destination: Destination, data: bytes) -> Copy:
        key = f"drive/files/{version.file.key_name}-{version.pk}"
        meta = ObjectMeta(MODIFIED, version.file.remote_id, sha256=version.sha256)
        info = self.store(destination).put(key, part_of(data), meta)
        return Copy.objects.create(
            version=version,
            destination=destination,
            state=Copy.State.STORED,
            object_key=key,
            store_version=info.version_id,
            etag=info.etag,
            stored_at=SEEN,
        )

    def leave(self, file: File, at: datetime, *, to: str = "") -> None:
        """The file goes from its place: to another folder, or for good."""
        Place.objects.create(
            source=self.source, file=file, parent_id=file.parent_id, name=file.name,
            from_at=file.placed_at, until_at=at,
        )  # fmt: skip
        if to:
            file.parent_id, file.placed_at = to, at
        else:
            file.vanished_at = at
        file.save()

    def store(self, destination: Destination) -> Store:
        return origin_for(destination)

    def path(self, version: Version, destination: Destination) -> Path:
        """Where the object lies on disk."""
        copy = version.copies.get(destination=destination)
        return Path(destination.options["path"]) / copy.object_key

    def _file(self, name: str, parent: str, content: Content, seen: datetime) -> File:
        number = next(self._ids)
        return File.objects.create(
            source=self.source,
            remote_id=f"id{number}",
            parent_id=parent,
            name=name,
            mime_type=(
                "application/vnd.google-apps.folder" if content is Content.FOLDER else "text/plain"
            ),
            content=content,
            key_name=f"k{number}" if content is Content.BLOB else keys.encode(name)[:60],
            key_fold=f"k{number}",
            first_seen_at=seen,
            placed_at=seen,
            remote_modified_at=MODIFIED,
        )
