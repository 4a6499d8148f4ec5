"""The truth about an account, for proofs: what each file holds and what Google refuses, and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import orjson

from emulator.formats import EXPORT_FORMATS
from emulator.items import FOLDER, GOOGLE, SHORTCUT, Item
from emulator.world import Account, Corpus, World

LINES_A_CHUNK = 500


async def manifest_lines(world: World, account: Account) -> AsyncIterator[bytes]:
    """One JSON line a thing, in listing order: the account's own corpus, then its shared drives."""
    lines: list[bytes] = []
    for corpus in account.corpora():
        for item in corpus.items.scan(0):
            lines.append(orjson.dumps(await entry(world, account, corpus, item)) + b"\n")
            if len(lines) == LINES_A_CHUNK:
                yield b"".join(lines)
                lines.clear()
                await asyncio.sleep(0)  # a million lines must not stall every other request
    yield b"".join(lines)


async def entry(world: World, account: Account, corpus: Corpus, item: Item) -> dict[str, Any]:
    """What is true about one item; sizes and hashes are of the true bytes."""
    shown: dict[str, Any] = {
        "id": item.id,
        "name": item.name,
        "mime_type": item.mime_type,
        "kind": kind_of(item),
        "parents": list(item.parents),
        "path": path_ids(corpus, item),
        "drive_id": item.drive_id,
        "trashed": item.trashed,
        "version": item.version,
        "modified_ms": item.modified_ms,
        "created_ms": item.created_ms,
        "app": item.app,
        "app_properties": item.app_properties,
        "granted": item.granted,
        "refused": refusal(account, item),
    }
    if item.content is not None:
        shown |= {"size": item.content.size, "claimed_md5": item.claimed_md5 or None}
        for name in ("md5", "sha256"):
            if item.content.cheap:
                shown[name] = item.content.digest(name)
            else:
                shown[name] = await asyncio.to_thread(item.content.digest, name)
    if item.is_editor:
        shown["exports"] = [asdict(served) for served in world.served_exports.get(item.id, ())]
    if item.imported is not None:
        mime_type, content = item.imported
        shown["imported"] = {"mime_type": mime_type, "sha256": content.digest("sha256")}
    if item.shortcut is not None:
        shown["target"] = item.shortcut[0]
    return shown


def kind_of(item: Item) -> str:
    """folder, shortcut, blob, form (content over the Forms API), or document."""
    if item.mime_type in (FOLDER, SHORTCUT):
        return item.mime_type.removeprefix(GOOGLE)
    if item.content is not None:
        return "blob"
    return "form" if item.mime_type == GOOGLE + "form" else "document"


def refusal(account: Account, item: Item) -> str | None:
    """The reason why Google never gives this item's content to the account; None: it does."""
    if item.is_folder:
        return "cannotListChildren" if item.refuses("no_children") else None
    if item.refuses("no_download"):
        return "cannotDownloadFile"
    mine = item.owner is not None and item.owner.sub == account.sub
    if item.refuses("abusive") and not mine:
        return "cannotDownloadAbusiveFile"
    if kind_of(item) == "document" and not _obtainable(item):
        return "fileNotExportable"
    return None


def _obtainable(item: Item) -> bool:
    has_links = item.mime_type in EXPORT_FORMATS and item.exportable
    by_operation = item.mime_type == GOOGLE + "vid" and not item.refuses("no_operation")
    return has_links or by_operation


def path_ids(corpus: Corpus, item: Item) -> list[str]:
    """The ids from the uppermost visible folder down to the item's own; loops end the walk."""
    path = [item.id]
    while item.parents:
        parent = corpus.get(item.parents[0])
        if parent is None or parent.id in path:
            break
        path.append(parent.id)
        item = parent
    return path[::-1]
