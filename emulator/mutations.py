"""What people do to a Drive while it is being backed up: each change with its change-log entry.

The control endpoint calls `mutate`; each operation is a function in OPERATIONS. As at Google, a
move or a trash of a folder writes an entry for the folder only, while deletion and loss of access
also write a `removed` entry for everything below it; modifiedTime follows content, `version`
follows everything.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

from emulator import push
from emulator.content import BytesContent, Content, GeneratedContent
from emulator.http import GoogleError, not_found
from emulator.items import FOLDER, GOOGLE, Item, Refusals, User
from emulator.world import Account, Corpus, World, now_ms

COLLEAGUE = User("102233445566778899002", "colleague@example.com", "A Colleague")
SETTABLE = frozenset(
    [
        "description",
        "starred",
        "claimed_md5",
        "without_sha",
        "resource_key",
        "properties",
        "app_properties",
        "export_bytes",
        "exportable",
        "editor_size",
        "modified_ms",
        "created_ms",
        "shared",
        "public",
    ]
)


def mutate(world: World, account: Account, said: dict[str, Any]) -> Item | None:
    """Do one operation as the account sees it; the item, or None when it is gone."""
    operation = OPERATIONS.get(str(said.get("op")))
    if operation is None:
        known = ", ".join(sorted(OPERATIONS))
        raise GoogleError(400, "invalid", f"op must be one of {known}")
    corpus, item = operation(world, account, said)
    push.notify(world, corpus)
    return item


def _found(account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    found = account.find(str(said.get("id", "")))
    if found is None:
        raise not_found(str(said.get("id", "")))
    return found


def _keep(corpus: Corpus, item: Item, parents: tuple[str, ...] | None = None) -> None:
    item.version += 1
    corpus.items.update(item, parents)
    corpus.record(item.id)


def content_of(said: dict[str, Any], key: str) -> Content | None:
    """The bytes that an operation describes: `content`, `content_base64`, or `size` to generate."""
    if "content" in said:
        return BytesContent(str(said["content"]).encode())
    if "content_base64" in said:
        return BytesContent(base64.b64decode(said["content_base64"]))
    return GeneratedContent(key, int(said["size"])) if "size" in said else None


def _create(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    corpus = account.corpus
    if said.get("drive_id"):
        drive = account.drives.get(str(said["drive_id"]))
        if drive is None:
            raise not_found(str(said["drive_id"]))
        corpus = drive.corpus
    item_id = str(said.get("id") or "1" + secrets.token_urlsafe(24))
    content = content_of(said, item_id)
    mime_type = str(said.get("mime_type") or (FOLDER if content is None else "text/plain"))
    parents = tuple(said.get("parents", [corpus.root.id]))
    item = Item(item_id, str(said["name"]), mime_type, parents)
    item.owner = None if corpus.drive_id else account.user
    item.drive_id = corpus.drive_id
    is_document = mime_type.startswith(GOOGLE)
    item.content = None if is_document else content or BytesContent(b"")
    item.created_ms = item.modified_ms = now_ms()
    _set_attributes(item, said.get("set", {}))
    corpus.items.add(item)
    corpus.record(item.id)
    return corpus, item


def _edit(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    corpus, item = _found(account, said)
    item.revision += 1
    item.modified_ms = max(now_ms(), item.modified_ms + 1)
    if item.content is not None:
        content = content_of(said, f"{item.id} revision {item.revision}")
        if content is None:
            content = GeneratedContent(f"{item.id} revision {item.revision}", item.content.size)
        item.content = content
        item.claimed_md5 = ""
    _keep(corpus, item)
    return corpus, item


def _rename(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    corpus, item = _found(account, said)
    item.name = str(said["name"])
    _keep(corpus, item)
    return corpus, item


def _move(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    corpus, item = _found(account, said)
    target = account.find(str(said["parent"]))
    if target is None:
        raise not_found(str(said["parent"]))
    there, folder = target
    if there is corpus:
        _keep(corpus, item, (folder.id,))
    else:
        _move_over(corpus, there, account, [item, *_below(corpus, item)])
        there.items.update(item, (folder.id,))
        push.notify(world, corpus)
    return there, item


def _move_over(corpus: Corpus, there: Corpus, account: Account, items: list[Item]) -> None:
    """Into another corpus: each is removed in the one log and there in the other."""
    for item in items:
        corpus.items.remove(item.id)
        corpus.record(item.id, removed=True)
    for item in items:
        item.version += 1
        item.drive_id = there.drive_id
        item.owner = None if there.drive_id else account.user
        there.items.add(item)
        there.record(item.id)


def _trash(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    corpus, item = _found(account, said)
    for below in _below(corpus, item):
        if not below.trashed:
            below.trashed = below.trashed_with_folder = True
            corpus.items.update(below)
    item.trashed, item.trashed_with_folder, item.trashed_ms = True, False, now_ms()
    _keep(corpus, item)
    return corpus, item


def _untrash(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    corpus, item = _found(account, said)
    for below in _below(corpus, item):
        if below.trashed_with_folder:
            below.trashed = below.trashed_with_folder = False
            corpus.items.update(below)
    item.trashed = item.trashed_with_folder = False
    item.trashed_ms = 0
    _keep(corpus, item)
    return corpus, item


def _vanish(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, None]:
    """Deleted for ever or access lost: readers cannot tell one from the other, and here neither."""
    corpus, item = _found(account, said)
    for gone in [item, *_below(corpus, item)]:
        corpus.items.remove(gone.id)
        corpus.record(gone.id, removed=True)
    return corpus, None


def _share(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    """With an id: one's own item is shared. Without: a colleague shares a new file with us."""
    if "id" in said:
        corpus, item = _found(account, said)
        item.shared = True
        _keep(corpus, item)
        return corpus, item
    settings = said | {"parents": []}
    corpus, item = _create(world, account, settings)
    item.owner, item.shared, item.shared_with_me_ms = COLLEAGUE, True, now_ms()
    corpus.items.update(item)
    return corpus, item


def _set(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, Item]:
    corpus, item = _found(account, said)
    _set_attributes(item, said.get("set", {}))
    _keep(corpus, item)
    return corpus, item


def _leave_drive(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, None]:
    drive = account.drives.pop(str(said.get("drive_id", "")), None)
    if drive is None:
        raise not_found(str(said.get("drive_id", "")))
    world.left_drives[drive.id] = drive
    account.corpus.record(drive.id, removed=True, is_drive=True)
    return account.corpus, None


def _join_drive(world: World, account: Account, said: dict[str, Any]) -> tuple[Corpus, None]:
    drive = world.left_drives.pop(str(said.get("drive_id", "")), None)
    if drive is None:
        raise not_found(str(said.get("drive_id", "")))
    account.drives[drive.id] = drive
    account.corpus.record(drive.id, is_drive=True)
    return account.corpus, None


def _set_attributes(item: Item, wanted: dict[str, Any]) -> None:
    known = {field.name for field in fields(Refusals)}
    for name, value in wanted.items():
        if name in known:
            item.refusals = item.refusals or Refusals()
            setattr(item.refusals, name, bool(value))
        elif name in SETTABLE:
            setattr(item, name, value)
        else:
            raise GoogleError(400, "invalid", f"no such attribute to set: {name}")


def _below(corpus: Corpus, item: Item) -> Iterator[Item]:
    """Everything under a folder, each once, whatever loops there are."""
    seen, folders = {item.id}, [item.id]
    while folders:
        for child_id in [child.id for child in corpus.items.children(folders.pop(), 0)]:
            child = corpus.items.get(child_id)
            if child is not None and child_id not in seen:
                seen.add(child_id)
                folders.append(child_id)
                yield child


Operation = Callable[[World, Account, dict[str, Any]], tuple[Corpus, Item | None]]
OPERATIONS: dict[str, Operation] = {
    "create": _create,
    "edit": _edit,
    "rename": _rename,
    "move": _move,
    "trash": _trash,
    "untrash": _untrash,
    "delete": _vanish,
    "lose_access": _vanish,
    "share": _share,
    "set": _set,
    "leave_drive": _leave_drive,
    "join_drive": _join_drive,
}
