"""The synthetic account: any number of files, nothing stored for one until it is changed.

Every field of a file is computed from its number: about 200 files a folder, folders nested in a
tree of 20 a folder, listed after the files (so that parents come late, as they may at Google).
Sizes are fixed or log-normal. Changes overlay a dict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from statistics import NormalDist
from threading import Thread
from typing import Any

from emulator.content import PATTERN_SIZE, Content, PatternContent, synthetic_content
from emulator.items import FOLDER, Item, User, blob_size
from emulator.world import Account, Corpus

FILES_PER_FOLDER = 200
FOLDERS_PER_FOLDER = 20
FIRST_MS = 1_500_000_000_000
STEP_MS = 61_003  # between the modified times of neighbours
MEDIAN_BYTES = 60_000
SIGMA = 1.8
OLD_FILE_BYTES = 2 * 1024**3  # from here without SHA, like old files: three hashes cost minutes
BIG_FILE_ID = "1SynBigFile" + "0" * 22

OWNER = User("116000000000000000001", "synthetic@example.com", "Synthetic Account")
_DIGITS = 28
_HASHES_SIZE = 16 + 20 + 32
_NO_HASHES = bytes(_HASHES_SIZE)
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Sizes:
    """How big the files are: all of `fixed` bytes, or log-normal when that is None."""

    fixed: int | None

    def of(self, number: int) -> int:
        if self.fixed is not None:
            return self.fixed
        digest = hashlib.blake2b(b"%d" % number, digest_size=4).digest()
        chance = (int.from_bytes(digest, "big") + 0.5) / 2**32
        size = MEDIAN_BYTES * 2.718281828459045 ** (SIGMA * _NORMAL.inv_cdf(chance))
        return min(int(size), PATTERN_SIZE)


def synthetic_account(files: int, sizes: Sizes, *, big_file: int = 0) -> Account:
    """One account with so many files, and one more of `big_file` bytes if that is not 0."""
    root = Item("0ASyntheticRootUk9PVA", "My Drive", FOLDER, owner=OWNER, created_ms=FIRST_MS)
    root.modified_ms = FIRST_MS
    store = SyntheticStore(root.id, files, sizes)
    if big_file:
        content = synthetic_content(f"big file {big_file}", 0, big_file)
        big = Item(BIG_FILE_ID, "big file.bin", "application/octet-stream", (root.id,))
        big.owner, big.content, big.created_ms, big.modified_ms = OWNER, content, FIRST_MS, FIRST_MS
        big.without_sha = big_file >= OLD_FILE_BYTES
        # Google knows the hash of a file long before anyone lists it; a daemon thread gets there.
        Thread(target=content.digest, args=("md5",), daemon=True).start()
        store.add(big)
    return Account(OWNER, Corpus(root, store))


def file_values(
    digits: str, name: str, folder_digits: str, content: Content, when_ms: int, *, number: int = -1
) -> tuple[Any, ...]:
    """A synthetic file's first Item fields; the first three are numbers with zeros in front."""
    return (
        f"1SynF{digits}",
        f"file {name}.bin",
        "application/octet-stream",
        (f"1SynD{folder_digits}",),
        OWNER,
        None,
        content,
        when_ms,
        when_ms,
        1,
        number,
    )


def _numbered(number: int, size: int) -> tuple[Any, ...]:
    digits = f"{number:028d}"
    content = synthetic_content(f"1SynF{digits}", number, size)
    folder = f"{number // FILES_PER_FOLDER:028d}"
    return file_values(digits, f"{number:07d}", folder, content, _when_ms(number), number=number)


def _when_ms(number: int) -> int:
    return FIRST_MS + number * STEP_MS % 200_000_000_000


class LazyFile(Item):
    """A synthetic file in a list: everything but its number and size is made when looked at.

    For reading only; what is changed is an Item that `SyntheticStore.get` gave.
    """

    __slots__ = ("_known", "number", "size")

    def __init__(self, number: int, size: int, known: KnownHashes) -> None:
        self.number = self.ordinal = number
        self.size = size
        self._known = known

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there yet: makes all of it."""
        super().__init__(*_numbered(self.number, self.size))
        return object.__getattribute__(self, name)

    @property
    def folder(self) -> int:
        return self.number // FILES_PER_FOLDER

    @property
    def when_ms(self) -> int:
        return _when_ms(self.number)

    @property
    def hashes(self) -> str:
        """The hex digits of md5, sha1 and sha256, one after the other."""
        return self._known.of(self.number, self.size)


class KnownHashes:
    """68 bytes a file, taken when it is first hashed: a service, too, does that once."""

    def __init__(self, files: int) -> None:
        self._kept = mmap(-1, max(1, files * _HASHES_SIZE))  # memory only where it was written to

    def of(self, number: int, size: int) -> str:
        """md5, sha1 and sha256 of a file, as hex digits."""
        start = number * _HASHES_SIZE
        kept = self._kept[start : start + _HASHES_SIZE]
        if kept == _NO_HASHES:
            content = PatternContent(f"1SynF{number:028d}", number, size)
            kept = bytes.fromhex("".join(content.digests(["md5", "sha1", "sha256"])))
            self._kept[start : start + _HASHES_SIZE] = kept
        return kept.hex()


class SyntheticStore:
    """Items 0…N-1 are files, then come the folders, then whatever was added."""

    def __init__(self, root_id: str, files: int, sizes: Sizes) -> None:
        self._root_id = root_id
        self._files = files
        self._sizes = sizes
        self._folders = -(-files // FILES_PER_FOLDER)
        self._base = files + self._folders
        self._base_bytes = -1  # not yet summed
        self._changed: dict[str, Item | None] = {}  # None: removed
        self._touched: dict[int, str] = {}  # by ordinal: those of _changed that were not added
        self._added: list[str] = []
        self._known = KnownHashes(files)
        self._lazy = (sizes.fixed or 0) <= PATTERN_SIZE
        self._children: dict[str, dict[str, None]] = {}  # of changed and added items only

    def get(self, item_id: str) -> Item | None:
        if item_id in self._changed:
            return self._changed[item_id]
        ordinal = self._ordinal_of(item_id)
        return None if ordinal is None else self._computed(ordinal)

    def scan(self, start: int) -> Iterator[Item]:
        changed, touched = self._changed, self._touched
        for ordinal in range(start, self._base):
            item_id = touched.get(ordinal) if touched else None
            current = changed[item_id] if item_id else self._listed(ordinal)
            if current is not None:
                yield current
        for place in range(max(0, start - self._base), len(self._added)):
            added = changed[self._added[place]]
            if added is not None:
                yield added

    def children(self, parent_id: str, start: int) -> Iterator[Item]:
        ordinals = self._computed_children(parent_id)
        kept = [self._listed(o) for o in ordinals if o >= start and o not in self._touched]
        for item_id in self._children.get(parent_id, ()):
            item = self._changed[item_id]
            if item is not None and item.ordinal >= start:
                kept.append(item)
        yield from sorted(kept, key=lambda item: item.ordinal)

    def add(self, item: Item) -> None:
        if self.get(item.id) is not None:
            raise ValueError(f"two items with the id {item.id}")
        item.ordinal = self._base + len(self._added)
        self._added.append(item.id)
        self._overlay(item)

    def remove(self, item_id: str) -> None:
        item = self.get(item_id)
        if item is None:
            raise KeyError(item_id)
        for parent in item.parents:
            self._children.get(parent, {}).pop(item_id, None)
        self._changed[item_id] = None
        self._touch(item_id)

    def update(self, item: Item, parents: tuple[str, ...] | None = None) -> None:
        if parents is not None:
            for parent in item.parents:
                self._children.get(parent, {}).pop(item.id, None)
            item.parents = parents
        self._overlay(item)

    def count(self) -> int:
        removed = sum(1 for item in self._changed.values() if item is None)
        return self._base + len(self._added) - removed

    def total_bytes(self) -> int:
        if self._base_bytes < 0:
            fixed = self._sizes.fixed
            sizes = map(self._sizes.of, range(self._files))
            self._base_bytes = sum(sizes) if fixed is None else fixed * self._files
        total = self._base_bytes
        for item_id, item in list(self._changed.items()):
            ordinal = self._ordinal_of(item_id)
            replaced = 0 if ordinal is None else blob_size(self._computed(ordinal))
            total += blob_size(item) - replaced
        return total

    def _overlay(self, item: Item) -> None:
        if isinstance(item, LazyFile):
            raise TypeError("what a list shows is for reading only")
        self._changed[item.id] = item
        self._touch(item.id)
        for parent in item.parents:
            self._children.setdefault(parent, {})[item.id] = None

    def _touch(self, item_id: str) -> None:
        ordinal = self._ordinal_of(item_id)
        if ordinal is not None:
            self._touched[ordinal] = item_id

    def _ordinal_of(self, item_id: str) -> int | None:
        kind, digits = item_id[:5], item_id[5:]
        if len(digits) != _DIGITS or not digits.isdecimal():
            return None
        number = int(digits)
        if kind == "1SynF" and number < self._files:
            return number
        if kind == "1SynD" and number < self._folders:
            return self._files + number
        return None

    def _computed(self, ordinal: int) -> Item:
        if ordinal < self._files:
            return self._file(ordinal)
        return self._folder(ordinal - self._files)

    def _listed(self, ordinal: int) -> Item:
        """Like _computed, for reading only: a file that has no more than its number yet."""
        if ordinal < self._files and self._lazy:
            return LazyFile(ordinal, self._sizes.of(ordinal), self._known)
        return self._computed(ordinal)

    def _file(self, number: int) -> Item:
        return Item(*_numbered(number, self._sizes.of(number)))

    def _folder(self, number: int) -> Item:
        above = (number - 1) // FOLDERS_PER_FOLDER
        parent = f"1SynD{above:028d}" if number else self._root_id
        folder = Item(f"1SynD{number:028d}", f"folder {number:05d}", FOLDER, (parent,), OWNER)
        folder.created_ms = folder.modified_ms = FIRST_MS
        folder.ordinal = self._files + number
        return folder

    def _computed_children(self, parent_id: str) -> list[int]:
        if parent_id == self._root_id:
            return [self._files] if self._folders else []
        ordinal = self._ordinal_of(parent_id)
        if ordinal is None or ordinal < self._files:
            return []
        number = ordinal - self._files
        first = number * FILES_PER_FOLDER
        files = range(first, min(first + FILES_PER_FOLDER, self._files))
        below = number * FOLDERS_PER_FOLDER + 1
        folders = range(below, min(below + FOLDERS_PER_FOLDER, self._folders))
        return [*files, *(self._files + folder for folder in folders)]
