"""The account in memory: a tree of files with bytes, whose change log tells all that happens."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from syncapp.errors import NotFound
from syncapp.sources.base import Download
from syncapp.types import RemoteFile
from tests.engine.paged_reader import PagedReader, blob, folder

ROOT = "root"
_BEGAN = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class Account(PagedReader):
    """Bytes by revision: each content is another one, so that any can be told by its bytes."""

    contents: dict[str, bytes] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.put(folder(ROOT, "", "My Drive"))

    def put(self, *items: RemoteFile, logged: bool = True) -> None:
        """Whoever reads the log later is told what a file is by then, not what it was."""
        super().put(*items, logged=logged)
        for number, (scope, remote_id, file, drive_id) in enumerate(self.log):
            if file is not None and remote_id in self.items:
                self.log[number] = scope, remote_id, self.items[remote_id], drive_id

    def create(self, parent: str, name: str, size: int) -> str:
        remote_id = f"file-{next(self.numbers)}"
        self.put(self._with_content(blob(remote_id, parent=parent, name=name), size))
        return remote_id

    def create_folder(self, parent: str, name: str) -> str:
        remote_id = f"folder-{next(self.numbers)}"
        self.put(folder(remote_id, parent, name))
        return remote_id

    def edit(self, remote_id: str, size: int) -> None:
        self.put(self._with_content(self.items[remote_id], size))

    def revert(self, remote_id: str, revision: str) -> None:
        """Its newest revision was removed at the service: an older one is the content again."""
        data = self.contents[revision]
        self.put(self._with(self.items[remote_id], revision, data))

    def trash(self, remote_id: str, *, trashed: bool) -> None:
        """To the trash of the service, or out of it; the log tells of a folder alone."""
        for file in self.with_all_below(remote_id):
            problem = "in_trash" if trashed else ""
            gone = replace(file, trashed=trashed, problem=problem)
            self.put(gone, logged=file.remote_id == remote_id)

    def delete(self, remote_id: str) -> None:
        """For good; the log tells of each."""
        self.remove(*(file.remote_id for file in reversed(self.with_all_below(remote_id))))

    def with_all_below(self, remote_id: str) -> list[RemoteFile]:
        found, parents = [self.items[remote_id]], {remote_id}
        while parents:
            children = [file for file in self.items.values() if file.parent_id in parents]
            found += children
            parents = {file.remote_id for file in children}
        return found

    def refresh(self, file: RemoteFile) -> RemoteFile:
        if file.remote_id not in self.items:
            raise NotFound("It is not there any more.")
        return self.items[file.remote_id]

    def read_small(self, file: RemoteFile) -> tuple[bytes, str]:
        """What the file is now, whatever the catalog thinks."""
        return self.contents[self.refresh(file).revision], "application/octet-stream"

    @contextmanager
    def download(self, file: RemoteFile) -> Iterator[Download]:
        data, kind = self.read_small(file)
        yield Download(iter([data]), len(data), kind)

    def _with_content(self, file: RemoteFile, size: int) -> RemoteFile:
        number = next(self.numbers)
        data = (f"<{file.remote_id}#{number}>".encode() * (size + 1))[: size + 24]
        self.contents[f"r{number}"] = data
        return self._with(file, f"r{number}", data)

    def _with(self, file: RemoteFile, revision: str, data: bytes) -> RemoteFile:
        return replace(
            file,
            revision=revision,
            size=len(data),
            md5=hashlib.md5(data).hexdigest(),
            sha256=hashlib.sha256(data).hexdigest(),
            modified_at=_BEGAN + timedelta(seconds=next(self.numbers)),
        )
