"""A Google Drive as the target: a new folder of its own, with the folders and names as they were.

Drive holds several things of one name, so nothing is ever renamed, skipped or replaced there. What
is made is known by its id, which `Ids` keeps before it is made; so a try that was killed, or whose
answer was lost, is gone on with and never makes a second file. Documents can be given no id: they
carry a mark and are looked for. What can't be as it was (an owner, a person without a Google
account, a file that Google can't convert) is told in `Placed.note` and fails nothing.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from syncapp.errors import PermanentError
from syncapp.restore_targets.base import Bytes, Item, Path, Placed, Target
from syncapp.sources.drive_formats import GOOGLE_TYPE, SHORTCUT, extension_of
from syncapp.sources.google_upload import NewContent
from syncapp.sources.google_write import DriveWriter, NewFile, grantee

CONVERTING = "~converting"  # kept instead of an id, which Google gives a document itself
# Docs, Sheets, Slides: an app may not make the others that Google imports (scripts, drawings).
CONVERTED = frozenset(
    f"{GOOGLE_TYPE}{kind}" for kind in ("document", "spreadsheet", "presentation")
)
_FOLDERS_KNOWN = 10_000
_MOST_OF_SHORTCUT = 64 * 1024  # bytes of what was written of one
_BYTES = "application/octet-stream"


class Ids(Protocol):
    """What was kept of a restore, durable when a call returns. Of folders: by path, () the top."""

    def of_item(self, item_id: int) -> str:
        """What is kept for an item, "" for nothing."""

    def keep(self, item_id: int, before: str, after: str) -> str:
        """Keep `after` if `before` is kept still; what is kept now."""

    def of_folder(self, path: Path, make: Callable[[], str]) -> tuple[str, bool]:
        """The id of a folder, from now on always the same, and whether it is known to be made."""

    def made(self, path: Path) -> None:
        """A folder is there."""

    def of_original(self, remote_id: str) -> str:
        """The id of what this restore made of a file of that id, "" for nothing; Unavailable while
        it is still to be made."""

    def folder_of_original(self, remote_id: str) -> tuple[Path, Path] | None:
        """Path and names of the folder that this restore makes of one of that id."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """`folder` is the new folder's name; `email` whose Drive it is."""

    folder: str
    email: str
    convert: bool = False
    permissions: bool = False


class DriveTarget(Target):
    """One restore's folder in one account's Drive."""

    def __init__(self, writer: DriveWriter, ids: Ids, wishes: Wishes) -> None:
        self._writer, self._ids, self._wishes = writer, ids, wishes
        self._folders: OrderedDict[Path, str] = OrderedDict()
        self._turn = threading.Lock()

    def begin(self) -> None:
        """Make the folder that everything goes into."""
        self._folder((), ())

    def folder(self, item: Item) -> Placed:
        return Placed(self._folder(item.path, item.names))

    def finish_folder(self, item: Item) -> str:
        """Shared as it was, then its time; both only where this restore has made it."""
        file_id = self._folder(item.path, item.names)
        notes = [self._share(file_id, item)]
        if item.modified_at is not None:
            try:
                self._writer.set_time(file_id, item.modified_at)
            except PermanentError as error:
                notes.append(f"Its time could not be set: {error.message}")
        return " ".join(note for note in notes if note)

    def place(self, item: Item, content: Bytes, collision: str) -> Placed:
        """Names in Drive need not be unique: there is no collision."""
        parent = self._folder(item.path[:-1], item.names[:-1])
        if item.mime_type == SHORTCUT:
            file_id, note = self._shortcut(item, content, parent)
        else:
            file_id, note = self._convert(item, content, parent)
        if not file_id:
            file_id = self._make(item, content, parent)
        notes = [note, self._share(file_id, item)]
        return Placed(file_id, note=" ".join(n for n in notes if n))

    def end(self) -> None:
        """Google forgets unfinished uploads by itself, after a week."""

    def _folder(self, path: Path, names: Path) -> str:
        """The id of a folder that is there, with all above it."""
        with self._turn:
            if path in self._folders:
                self._folders.move_to_end(path)
                return self._folders[path]
        parent = self._folder(path[:-1], names[:-1]) if path else ""
        file_id, made = self._ids.of_folder(path, self._writer.new_id)
        if not made:
            name = names[-1] if path else self._wishes.folder
            self._writer.make_folder(file_id, NewFile(name, parent, {"restore": file_id}))
            self._ids.made(path)
        with self._turn:
            self._folders[path] = file_id
            if len(self._folders) > _FOLDERS_KNOWN:
                self._folders.popitem(last=False)
        return file_id

    def _convert(self, item: Item, content: Bytes, parent: str) -> tuple[str, str]:
        """The id of the document that an exported one has become again, "" if it shall not."""
        wanted, kind = item.mime_type, item.content_type
        if (
            not self._wishes.convert
            or wanted not in CONVERTED
            or not self._writer.imports().takes(kind, content.size, wanted)
        ):
            return "", ""
        kept = self._ids.of_item(item.id)
        if kept == CONVERTING:
            found = self._writer.find_marked(self._mark(item))
            if found is not None:
                return str(found["id"]), ""
        elif kept or self._ids.keep(item.id, "", CONVERTING) != CONVERTING:
            return "", ""  # Google has refused it before, or it is made as it is already
        try:
            return self._writer.convert(
                self._new(item, item.names[-1], parent), wanted, _sent(item, content)
            ), ""
        except PermanentError as error:
            return "", f"It was left as an Office file: {error.message}"

    def _shortcut(self, item: Item, content: Bytes, parent: str) -> tuple[str, str]:
        """The id of the shortcut that it has become again, or "" and why it can't be one.

        It points to what this restore has made of its target, else to the target itself, which
        Google may not let us see.
        """
        told = json.loads(b"".join(content)) if content.size <= _MOST_OF_SHORTCUT else {}
        original = str(told.get("target_id") or "")
        if not original:
            return "", "It was left as JSON: where the shortcut pointed to is not known."
        folder = self._ids.folder_of_original(original)
        target = self._folder(*folder) if folder else self._ids.of_original(original) or original
        kept = self._ids.of_item(item.id) or self._ids.keep(item.id, "", self._writer.new_id())
        try:
            self._writer.make_shortcut(kept, self._new(item, item.names[-1], parent), target)
        except PermanentError as error:
            return "", f"It was left as JSON, not as a shortcut: {error.message}"
        return kept, ""

    def _make(self, item: Item, content: Bytes, parent: str) -> str:
        kept = self._ids.of_item(item.id)
        if kept in ("", CONVERTING):
            kept = self._ids.keep(item.id, kept, self._writer.new_id())
        extension = extension_of(item.mime_type, item.content_type)
        name = item.names[-1]
        if extension and not name.lower().endswith(f".{extension}"):
            name = f"{name}.{extension}"
        new = self._new(item, name, parent)
        self._writer.make_file(kept, new, _sent(item, content), content.sha256)
        return kept

    def _new(self, item: Item, name: str, parent: str) -> NewFile:
        description = str(item.metadata.get("description") or "")
        return NewFile(name, parent, self._mark(item), item.modified_at, description)

    def _mark(self, item: Item) -> dict[str, str]:
        return {"restore": self._folder((), ()), "item": str(item.id)}

    def _share(self, file_id: str, item: Item) -> str:
        """Grant again what was granted; what can't be, as a note."""
        if not self._wishes.permissions:
            return ""
        return " ".join(self._shared(file_id, item.metadata))

    def _shared(self, file_id: str, metadata: Mapping[str, Any]) -> Iterator[str]:
        permissions = metadata.get("permissions") or []
        if not permissions and metadata.get("permissionIds"):
            yield "Who had access through its shared drive is not known."
        if metadata.get("permissions_left_out"):
            yield f"{metadata['permissions_left_out']} more had access, who are not known."
        for permission in permissions:
            if permission.get("emailAddress") == self._wishes.email:
                continue
            refusal = self._grant(file_id, permission)
            if refusal:
                yield refusal

    def _grant(self, file_id: str, permission: Mapping[str, Any]) -> str:
        who = grantee(permission)
        if permission.get("role") == "owner":
            return f"It belonged to {who}; what is restored belongs to {self._wishes.email}."
        if _is_over(permission):
            return f"The access of {who} had an end, which has passed."
        try:
            self._writer.share(file_id, permission)
        except PermanentError as error:
            return error.message
        return ""


def _sent(item: Item, content: Bytes) -> NewContent:
    kind = item.content_type or _BYTES
    if kind.startswith(GOOGLE_TYPE):  # scripts: with a type of Google's own they would be converted
        kind = "application/json"
    return NewContent(content.size, kind, lambda: content)


def _is_over(permission: Mapping[str, Any]) -> bool:
    try:
        until = datetime.fromisoformat(str(permission.get("expirationTime") or ""))
    except ValueError:
        return False
    return until < datetime.now(UTC)
