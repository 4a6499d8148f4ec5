"""The things in a Drive and the stores that hold them in listing order.

An Item is one file, folder, shortcut or Workspace document in its current state. Rendering to
Google's File resource is done in `resources.py`; changing one, with its change-log entry, in
`mutations.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from emulator.content import Content

GOOGLE = "application/vnd.google-apps."
FOLDER = GOOGLE + "folder"
SHORTCUT = GOOGLE + "shortcut"


@dataclass(frozen=True, slots=True)
class User:
    """A Google user as owners and lastModifyingUser name one; `sub` is also the permission id."""

    sub: str
    email: str
    name: str
    picture: str = ""


@dataclass(slots=True)
class Refusals:
    """What Google refuses for an item, whatever the caller's rights."""

    abusive: bool = False  # alt=media needs acknowledgeAbuse=true
    no_download: bool = False  # cannotDownloadFile on every way to the bytes
    no_children: bool = False  # capabilities.canListChildren=false
    no_export: bool = False  # files.export answers 500, as on very large Sheets
    no_operation: bool = False  # files.download fails: only exportLinks is left


@dataclass(slots=True)
class Item:
    """One thing in a Drive; times are epoch milliseconds; `content` is set for blobs only."""

    id: str
    name: str
    mime_type: str
    parents: tuple[str, ...] = ()
    owner: User | None = None
    drive_id: str | None = None
    content: Content | None = None
    created_ms: int = 0
    modified_ms: int = 0
    version: int = 1
    ordinal: int = -1  # place in listings, given by the store
    revision: int = 1
    editor_size: int = 1024  # `size` of an editor file: not the size of any export
    export_bytes: int = 0  # at least this size for each export (0: small)
    exportable: bool = True
    trashed: bool = False
    trashed_with_folder: bool = False  # trashed, but not explicitly
    trashed_ms: int = 0
    starred: bool = False
    shared: bool = False
    public: bool = False  # shared with anyone who has the link
    shared_with_me_ms: int = 0
    description: str = ""
    resource_key: str = ""
    shortcut: tuple[str, str, str] | None = None  # target id, mime type, resource key
    claimed_md5: str = ""  # what the metadata says when it is wrong about the bytes
    without_sha: bool = False  # old files lack sha1Checksum and sha256Checksum
    properties: dict[str, str] = field(default_factory=dict)
    app_properties: dict[str, str] = field(default_factory=dict)
    refusals: Refusals | None = None
    app: str = ""  # the OAuth client that created it: all that the scope drive.file reaches
    granted: list[dict[str, Any]] = field(default_factory=list)  # permissions made by clients
    imported: tuple[str, Content] | None = None  # a document's: type and bytes it was made from

    @property
    def is_folder(self) -> bool:
        return self.mime_type == FOLDER

    @property
    def is_editor(self) -> bool:
        """A Workspace document: no bytes of its own, only exports (if that)."""
        return self.content is None and self.mime_type not in (FOLDER, SHORTCUT)

    @property
    def head_revision_id(self) -> str:
        return f"0B{self.id[-12:]}r{self.revision:06d}"

    def refuses(self, what: str) -> bool:
        return self.refusals is not None and bool(getattr(self.refusals, what))


class ItemStore(Protocol):
    """Items of one corpus, by id, by folder and in a stable listing order."""

    def get(self, item_id: str) -> Item | None: ...

    def scan(self, start: int) -> Iterator[Item]:
        """All items with ordinal >= start, in order; later additions come last."""
        ...

    def children(self, parent_id: str, start: int) -> Iterator[Item]:
        """The items of one folder with ordinal >= start, in order."""
        ...

    def add(self, item: Item) -> None: ...

    def remove(self, item_id: str) -> None: ...

    def update(self, item: Item, parents: tuple[str, ...] | None = None) -> None:
        """Keep a changed item; `parents` also moves it."""
        ...

    def count(self) -> int: ...

    def total_bytes(self) -> int:
        """The bytes of all blobs; may take seconds, and runs in a thread."""
        ...


class MemoryStore:
    """A store that keeps every item: sample accounts and shared drives."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] = []
        self._children: dict[str, dict[str, None]] = {}

    def get(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    def scan(self, start: int) -> Iterator[Item]:
        for position in range(start, len(self._order)):
            item = self._items.get(self._order[position])
            if item is not None and item.ordinal == position:  # not one that left and came back
                yield item

    def children(self, parent_id: str, start: int) -> Iterator[Item]:
        found = (self._items[key] for key in self._children.get(parent_id, ()))
        yield from sorted((i for i in found if i.ordinal >= start), key=lambda i: i.ordinal)

    def add(self, item: Item) -> None:
        if item.id in self._items:
            raise ValueError(f"two items with the id {item.id}")
        item.ordinal = len(self._order)
        self._order.append(item.id)
        self._items[item.id] = item
        for parent in item.parents:
            self._children.setdefault(parent, {})[item.id] = None

    def remove(self, item_id: str) -> None:
        item = self._items.pop(item_id)
        for parent in item.parents:
            del self._children[parent][item_id]

    def update(self, item: Item, parents: tuple[str, ...] | None = None) -> None:
        if parents is None:
            return
        for parent in item.parents:
            del self._children[parent][item.id]
        item.parents = parents
        for parent in parents:
            self._children.setdefault(parent, {})[item.id] = None

    def count(self) -> int:
        return len(self._items)

    def total_bytes(self) -> int:
        return sum(blob_size(item) for item in list(self._items.values()))


def blob_size(item: Item | None) -> int:
    """How many bytes an item stores; 0 for what is no blob."""
    return item.content.size if item is not None and item.content is not None else 0
