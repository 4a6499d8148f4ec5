"""A source for scans: items, and a log of what became of them, in memory; it has no bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from syncapp.errors import CursorRejected, TransientError
from syncapp.sources.base import Download
from syncapp.sources.base import Source as Reader
from syncapp.types import (
    AccountInfo,
    ChangePage,
    CheckResult,
    Content,
    ItemPage,
    JsonObject,
    RemoteFile,
    Watch,
)

USER = "user"


def blob(remote_id: str, revision: str = "1", parent: str = "root", **fields: Any) -> RemoteFile:
    plain = RemoteFile(
        remote_id, parent, f"{remote_id}.bin", "application/octet-stream", Content.BLOB, revision,
        size=10,
    )  # fmt: skip
    return replace(plain, **fields)


def folder(remote_id: str, parent: str = "root", name: str = "", **fields: Any) -> RemoteFile:
    return RemoteFile(
        remote_id, parent, name or remote_id, "folder", Content.FOLDER, "", **fields
    )  # fmt: skip


@dataclass
class PagedReader(Reader):
    """Change it with `put` and `remove`; each is an entry of the log of its scope.

    `dies_after`: the listing or the log breaks off after so many pages. `translated` are the ids
    that the engine asked for.
    """

    items: dict[str, RemoteFile] = field(default_factory=dict)
    log: list[tuple[str, str, RemoteFile | None, str]] = field(default_factory=list)
    page_size: int = 3
    dies_after: int | None = None
    oldest: int = 0
    tree: str = "t"
    translated: list[str] = field(default_factory=list)
    listings: int = 0
    listed: list[str] = field(default_factory=list)
    fault: type[TransientError] = TransientError

    kind = "paged"

    @classmethod
    def of(cls, *items: RemoteFile, **options: Any) -> PagedReader:
        return cls({item.remote_id: item for item in items}, **options)

    def put(self, *items: RemoteFile, logged: bool = True) -> None:
        for item in items:
            self.items[item.remote_id] = item
            if logged:
                self.log.append((item.drive_id or USER, item.remote_id, item, ""))

    def change(self, remote_id: str, *, logged: bool = True, **fields: Any) -> None:
        self.put(replace(self.items[remote_id], **fields), logged=logged)

    def remove(self, *remote_ids: str, scope: str = USER, logged: bool = True) -> None:
        for remote_id in remote_ids:
            self.items.pop(remote_id, None)
            if logged:
                self.log.append((scope, remote_id, None, ""))

    def leave(self, drive_id: str) -> None:
        self.items = {k: v for k, v in self.items.items() if v.drive_id != drive_id}
        self.log.append((USER, "", None, drive_id))

    def start_cursor(self) -> JsonObject:
        return {"at": len(self.log), "tree": self.tree}

    def scan(self, trusted: JsonObject, after: JsonObject | None = None) -> Iterator[ItemPage]:
        self.listings += 1
        same = trusted.get("tree") == self.tree
        at = (after or {}).get("at", 0)
        while at < len(self.items):  # as they are now, as a service would tell them
            self._maybe_die(at // self.page_size)
            files = list(self.items.values())[at : at + self.page_size]
            self.listed += [file.remote_id for file in files]
            at += len(files)
            yield replace(self._page(USER, files, same), after={"at": at})
        self._maybe_die(-(-at // self.page_size))

    def changes(self, cursor: JsonObject) -> Iterator[ChangePage]:
        at = cursor["at"]
        if at < self.oldest:
            raise CursorRejected("That is too long ago.")
        if at == len(self.log):
            yield ChangePage(USER, self._page(USER, [], True), (), cursor)
        for number, batch in enumerate(batches(self.log[at:], self.page_size)):
            self._maybe_die(number)
            entries = list({entry[1] or entry: entry for entry in batch}.values())
            for scope in dict.fromkeys(entry[0] for entry in entries):
                mine = [entry for entry in entries if entry[0] == scope]
                items = [item for _, _, item, _ in mine if item is not None]
                removed = [i for _, i, item, drive in mine if item is None and not drive]
                left = tuple(drive for _, _, _, drive in mine if drive)
                done = at + number * self.page_size
                last = scope == entries[-1][0]
                position = min(done + self.page_size, len(self.log)) if last else done
                yield ChangePage(
                    scope, self._page(scope, items, True), removed,
                    {"at": position, "tree": self.tree}, left,
                )  # fmt: skip

    def below(self, folder: RemoteFile) -> Iterator[ItemPage]:
        found, parents = [], {folder.remote_id}
        while parents:
            children = [file for file in self.items.values() if file.parent_id in parents]
            found += children
            parents = {file.remote_id for file in children}
        yield self._page(folder.drive_id or USER, found, False)

    def _maybe_die(self, page: int) -> None:
        if self.dies_after is not None and page >= self.dies_after:
            raise self.fault("The listing broke off.")

    def _page(self, scope: str, files: Sequence[RemoteFile], trusted: bool) -> ItemPage:
        def translate(i: int) -> RemoteFile:
            self.translated.append(files[i].remote_id)
            return files[i]

        marks = [hash(repr(file)) for file in files]
        return ItemPage(scope, [f.remote_id for f in files], marks, translate, trusted)

    def account(self) -> AccountInfo:
        return AccountInfo("ada@gmail.example", "Ada")

    def watch(
        self,
        cursor: JsonObject,
        scope: str,
        *,
        channel_id: str,
        token: str,
        address: str,
        ttl_s: int,
    ) -> Watch:
        raise AssertionError("nobody watches here")

    def stop_watching(self, channel_id: str, resource_id: str) -> None:
        raise AssertionError("nobody watches here")

    def refresh(self, file: RemoteFile) -> RemoteFile:
        return self.items[file.remote_id]

    def download(self, file: RemoteFile) -> AbstractContextManager[Download]:
        raise AssertionError("a scan reads no file")

    def check(self) -> list[CheckResult]:
        return []


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
