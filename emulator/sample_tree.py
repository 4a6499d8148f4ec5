"""Builds the items of a sample Drive: ids, times and bytes derived from a label, nothing random."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from typing import Any

from emulator.content import BytesContent, Content, GeneratedContent, HeadedContent
from emulator.films import film_of
from emulator.items import FOLDER, GOOGLE, SHORTCUT, Item, MemoryStore, User
from emulator.pictures import jpeg_picture
from emulator.world import Corpus, SharedDrive

FIRST_MS = 1_325_376_000_000  # 2012-01-01
PICTURES = 8  # photos that look different
SPAN_MS = 14 * 365 * 24 * 3600 * 1000
MIME_TYPES = {
    "txt": "text/plain",
    "csv": "text/csv",
    "html": "text/html",
    "pdf": "application/pdf",
    "jpg": "image/jpeg",
    "png": "image/png",
    "mp4": "video/mp4",
    "zip": "application/zip",
    "gz": "application/gzip",
    "json": "application/json",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def made_id(label: str, length: int = 33) -> str:
    """An id as Drive's look, always the same for a label."""
    digest = hashlib.blake2b(label.encode(), digest_size=40).digest()
    return ("1" + base64.urlsafe_b64encode(digest).decode())[:length]


def made_time(label: str) -> int:
    """A time between 2012 and 2025 in epoch milliseconds, always the same for a label."""
    digest = hashlib.blake2b(label.encode(), digest_size=8).digest()
    return FIRST_MS + int.from_bytes(digest, "big") % SPAN_MS


class Tree:
    """One corpus under construction. Every method gives the item that it made."""

    def __init__(self, seed: str, owner: User | None, *, drive_id: str | None = None) -> None:
        self.seed = seed
        self.owner = owner
        self._drive_id = drive_id
        root_id = drive_id or ("0A" + made_id(f"{seed} root", 17) + "UkPVA")[:19]
        root = Item(root_id, "My Drive", FOLDER, owner=owner, drive_id=drive_id)
        root.created_ms = root.modified_ms = FIRST_MS
        self.corpus = Corpus(root, MemoryStore(), drive_id)
        self._made = 0

    @staticmethod
    def shared_drive(seed: str, name: str) -> SharedDrive:
        """An empty shared drive."""
        drive_id = ("0A" + made_id(f"{seed} drive {name}", 17) + "Uk9PVA")[:19]
        corpus = Tree(f"{seed} {name}", None, drive_id=drive_id).corpus
        corpus.root.name = "Drive"
        return SharedDrive(drive_id, name, made_time(name), corpus)

    @classmethod
    def in_shared_drive(cls, drive: SharedDrive) -> Tree:
        """A builder that adds to a shared drive."""
        tree = cls(f"drive {drive.id}", None, drive_id=drive.id)
        tree.corpus = drive.corpus
        return tree

    def add(self, name: str, mime_type: str, parent: Item | None = None, **more: Any) -> Item:
        """An item in a folder (the root unless given); `more` sets its other attributes."""
        label = f"{self.seed} {self._made} {name}"
        self._made += 1
        created = made_time(label)
        settings: dict[str, Any] = {
            "parents": ((parent or self.corpus.root).id,),
            "owner": self.owner,
            "drive_id": self._drive_id,
            "created_ms": created,
            "modified_ms": created + made_time(label + " modified") % 86_400_000,
            "version": 1 + self._made % 40,
        }
        item = Item(made_id(label), name, mime_type, **(settings | more))
        self.corpus.items.add(item)
        return item

    def folder(self, name: str, parent: Item | None = None, **more: Any) -> Item:
        return self.add(name, FOLDER, parent, **more)

    def blob(self, name: str, content: Content, parent: Item | None = None, **more: Any) -> Item:
        extension = name.rpartition(".")[2].lower() if "." in name else ""
        mime_type = more.pop("mime_type", MIME_TYPES.get(extension, "application/octet-stream"))
        return self.add(name, mime_type, parent, content=content, **more)

    def generated(self, name: str, size: int, parent: Item | None = None, **more: Any) -> Item:
        """A blob of incompressible bytes that no other file has."""
        return self.blob(name, GeneratedContent(self._key(name), size), parent, **more)

    def photo(self, name: str, size: int, parent: Item | None = None, **more: Any) -> Item:
        """A picture, and what a phone keeps behind it: bytes that no other file has."""
        head = partial(jpeg_picture, self._made % PICTURES)
        return self.blob(name, HeadedContent(head, self._key(name), size), parent, **more)

    def film(self, name: str, size: int, parent: Item | None = None, **more: Any) -> Item:
        """A short film, made that big by a box that players leave out."""
        head = partial(film_of, size)
        return self.blob(name, HeadedContent(head, self._key(name), size), parent, **more)

    def _key(self, name: str) -> str:
        key = f"{self.seed} {self._made} {name}"
        return hashlib.blake2b(key.encode(), digest_size=20).hexdigest()

    def text(self, name: str, text: str, parent: Item | None = None, **more: Any) -> Item:
        return self.blob(name, BytesContent(text.encode()), parent, **more)

    def editor(self, name: str, kind: str, parent: Item | None = None, **more: Any) -> Item:
        """A Workspace document, `kind` being the end of its mime type."""
        item = self.add(name, GOOGLE + kind, parent, **more)
        item.editor_size = 1024 + made_time(item.id) % 90_000
        return item

    def shortcut(self, name: str, target: Item, parent: Item | None = None, **more: Any) -> Item:
        details = (target.id, target.mime_type, target.resource_key)
        return self.add(name, SHORTCUT, parent, shortcut=details, **more)
