"""The contract of a restore's target. Knows no Django; used by several threads at once.

A call that returns has been made durable (`write`: by `name`) and is what was asked for: size and
SHA-256 were compared before anything appeared under its name. A call may come again for the same
item after any process died at any instruction; what is found to be whole already is not made, and
not read, again.
ConfigurationError stops the whole restore until a person has acted, PermanentError one item,
TransientError makes it come again later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from syncapp.destinations.base import Unfinished
from syncapp.errors import BackupError
from syncapp.types import SentPart

SKIP, RENAME, OVERWRITE = "skip", "rename", "overwrite"  # collision rules: models.Restore.Collision
Path = tuple[str, ...]


class Bytes(Protocol):
    """A version to be placed. Nothing is read before the first chunk is asked for; each iteration
    begins anew, at the beginning or at an offset.

    Raises what reading met, IntegrityError at the end if the bytes were not right: then nothing
    may have appeared.
    """

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str:
        """Hex, lower case."""

    def __iter__(self) -> Iterator[bytes]: ...

    def from_offset(self, start: int) -> Iterator[bytes]:
        """The bytes from `start` on; what lies before is not compared with anything."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file or folder below the target.

    `path` has components that any file system and bucket takes (at most 255 bytes each, unique
    also where case is ignored); `names` are the same as they were in Google.
    """

    id: int  # the same whenever it is tried
    path: Path
    names: Path
    modified_at: datetime | None = None
    remote_id: str = ""
    mime_type: str = ""  # in Google
    content_type: str = ""  # of the bytes
    metadata: Mapping[str, Any] = field(default_factory=dict)  # permissions and the like


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an item is now: path, key or id. `kept`: something else is there, and stays.

    `there`: it was found whole, whoever made it. `note` tells people what could not be as it was,
    though the item is whole.
    """

    where: str
    kept: bool = False
    there: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A file whose bytes are whole, but neither durable nor under their name yet."""

    item: Item
    content: Bytes
    collision: str
    temporary: str


class Uploads(Protocol):
    """What was kept of one restore's big uploads, durable when a call returns."""

    def of_item(self, item_id: int) -> Unfinished | None: ...

    def begun(self, item_id: int, upload: Unfinished) -> None:
        """Instead of what was kept for the item before."""

    def sent(self, item_id: int, upload_id: str, part: SentPart) -> None: ...

    def gone(self, item_id: int) -> None:
        """Completed or aborted."""

    def left(self) -> list[tuple[int, Unfinished]]:
        """All that is kept, by item, without parts."""


class Target(ABC):
    """One restore's."""

    @abstractmethod
    def begin(self) -> None:
        """Make ready; ConfigurationError says why it can't be used. Called by every lane."""

    @abstractmethod
    def folder(self, item: Item) -> Placed:
        """Have this folder and all above it."""

    @abstractmethod
    def place(self, item: Item, content: Bytes, collision: str) -> Placed:
        """Have this file, with its time; the folders above are made.

        If something else has its name: leave that (SKIP, `Placed.kept`), take the next free name
        (RENAME), or replace it (OVERWRITE).
        """

    def write(self, item: Item, content: Bytes, collision: str) -> Placed | Unnamed:
        """`place`; or only its first half, where many files are cheaper to finish at once."""
        return self.place(item, content, collision)

    def name(self, written: Sequence[Unnamed]) -> list[Placed | BackupError]:
        """The second half, in order: durable when it returns. What it raises is true of all."""
        return [self.place(one.item, one.content, one.collision) for one in written]

    def finish_folder(self, item: Item) -> str:
        """Give a folder its time, and share it as it was, where that is wanted; what could not be
        as it was, "" for nothing. All that it holds is there. Idempotent; no error without it."""
        return ""

    @abstractmethod
    def end(self) -> None:
        """Leave nothing unfinished behind: the restore has ended, however. Idempotent."""


def numbered(name: str, number: int) -> str:
    """The name for the second, third … thing of this name: `a (2).txt`."""
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or len(extension.encode()) > 15:
        stem, extension = name, ""
    ending = f" ({number})" + (f".{extension}" if extension else "")
    room = 255 - len(ending.encode())
    return stem.encode()[:room].decode(errors="ignore") + ending
