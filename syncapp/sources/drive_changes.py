"""Drive's change logs, the user's and one a shared drive, replayed from a kept position.

Entries tell the current state. `removed` does not tell deletion from lost access or a move to
another scope, so it is handed on as just that. Page tokens do not expire; a refused one means to
list everything again. Rules followed:
developers.google.com/workspace/drive/api/reference/rest/v3/changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from syncapp.errors import (
    ConfigurationError,
    CursorRejected,
    NotFound,
    PermanentError,
    TransientError,
)
from syncapp.sources.drive_items import ITEM_FIELDS, Tree, drive_folder, translation
from syncapp.sources.drive_listing import BAD_TOKEN_CODES, USER, scan_scope, stopping
from syncapp.sources.drive_pages import PAGE_SIZE, fetch, head, item_page
from syncapp.sources.google_client import GoogleClient
from syncapp.types import ChangePage, ItemPage, JsonObject

FIELDS = (
    "nextPageToken,newStartPageToken,"
    f"changes(changeType,removed,fileId,driveId,drive(id,name),file({ITEM_FIELDS}))"
)
# How Google says that a shared drive is not, or no longer, this account's.
LOST_CODES = frozenset(
    ["team_drive_membership_required", "insufficient_file_permissions", "permission_denied"]
)
WHAT = "the change log"


class _Drive(msgspec.Struct):
    name: str = ""


class _Change(msgspec.Struct, rename="camel"):
    change_type: str = "file"
    removed: bool = False
    file_id: str = ""
    drive_id: str = ""
    file: msgspec.Raw = msgspec.Raw()
    drive: _Drive = msgspec.field(default_factory=_Drive)


class _Page(msgspec.Struct, rename="camel"):
    changes: list[_Change] = []
    next_page_token: str = ""
    new_start_page_token: str = ""


_read_page = msgspec.json.Decoder(_Page).decode


def start(client: GoogleClient, tree: Tree) -> JsonObject:
    """`{"user": token, "drives": {id: token}, "tree": hash}`: where each log stands now."""
    try:
        return {
            "user": _start_token(client, USER),
            "drives": {drive_id: _start_token(client, drive_id) for drive_id in tree.drives},
            "tree": translation(tree),
        }
    except PermanentError as error:
        raise stopping(error, WHAT) from error


def token_of(cursor: JsonObject, scope: str) -> str:
    """The position in one log. CursorRejected if the cursor has none."""
    token = cursor.get("user") if scope == USER else cursor.get("drives", {}).get(scope)
    if not isinstance(token, str) or not token:
        raise CursorRejected("There is no position in this change log yet.")
    return token


def replay(
    client: GoogleClient, cursor: JsonObject, read_tree: Callable[[], Tree]
) -> Iterator[ChangePage]:
    """The user's log first: it tells which shared drives were joined and left.

    `read_tree` is called once, and only if there is something to translate.
    """
    return _Replay(client, cursor, read_tree).pages()


class _Replay:
    """One reading of all logs; the position moves with each page."""

    def __init__(
        self, client: GoogleClient, cursor: JsonObject, read_tree: Callable[[], Tree]
    ) -> None:
        self._client = client
        self._user = token_of(cursor, USER)
        self._drives: dict[str, str] = dict(cursor.get("drives", {}))
        self._hash = str(cursor.get("tree", ""))
        self._read_tree = read_tree
        self._known: Tree | None = None

    def pages(self) -> Iterator[ChangePage]:
        more = True
        while more:
            page = self._fetch(USER, self._user)
            yield from self._joined(page)
            left = self._left(page)
            self._user, more = _next(page, self._user)
            yield self._page(USER, page, left)
        for drive_id in list(self._drives):
            yield from self._drive_pages(drive_id)

    def _drive_pages(self, drive_id: str) -> Iterator[ChangePage]:
        more = True
        while more:
            token = self._drives[drive_id]
            try:
                page = self._fetch(drive_id, token)
            except PermanentError as error:
                if not _is_lost(error):
                    raise stopping(error, WHAT) from error
                del self._drives[drive_id]
                nothing = ItemPage.of(drive_id, [])
                yield ChangePage(drive_id, nothing, (), self._cursor(), left=(drive_id,))
                return
            self._drives[drive_id], more = _next(page, token)
            yield self._page(drive_id, page)

    def _joined(self, page: _Page) -> Iterator[ChangePage]:
        """New or renamed shared drives as folders, and all that new ones contain.

        These pages carry the position before them: a replay that dies here joins again.
        """
        for change in page.changes:
            if change.change_type != "drive" or change.removed:
                continue
            token = self._drives.get(change.drive_id) or self._join(change.drive_id)
            if not token:
                continue
            new = change.drive_id not in self._drives
            known = self._tree()
            names = {**known.drives, change.drive_id: change.drive.name}
            self._learn(replace(known, drives=names))
            folder = ItemPage.of(USER, [drive_folder(change.drive_id, change.drive.name)])
            before = self._cursor()
            yield ChangePage(USER, folder, (), before)
            if new:
                listing = scan_scope(self._client, change.drive_id, self._tree(), trusted=False)
                for items in listing:
                    yield ChangePage(change.drive_id, items, (), before)
                self._drives[change.drive_id] = token

    def _join(self, drive_id: str) -> str:
        """The place to read a new drive's log from, taken before its listing; "" if it is lost."""
        try:
            return _start_token(self._client, drive_id)
        except PermanentError as error:
            if _is_lost(error):
                return ""
            raise stopping(error, WHAT) from error

    def _left(self, page: _Page) -> tuple[str, ...]:
        gone = (c.drive_id for c in page.changes if c.change_type == "drive" and c.removed)
        return tuple(drive_id for drive_id in gone if self._drives.pop(drive_id, None))

    def _page(self, scope: str, page: _Page, left: tuple[str, ...] = ()) -> ChangePage:
        files = [change for change in page.changes if change.change_type == "file"]
        removed = [c.file_id for c in files if _is_gone(c)]
        raws = [c.file for c in files if not _is_gone(c) and self._home(c.file) == scope]
        return ChangePage(scope, self._items(scope, raws), removed, self._cursor(), left)

    def _home(self, raw: msgspec.Raw) -> str:
        """The log that tells of an item: its shared drive's if that has one, else the user's."""
        drive_id = head(raw).drive_id
        return drive_id if drive_id in self._drives else USER

    def _items(self, scope: str, raws: list[msgspec.Raw]) -> ItemPage:
        if not raws:
            return ItemPage.of(scope, [])
        tree = self._tree()
        roots = {tree.root_id, scope}  # given as synthetic folders
        kept = [(item_id, raw) for raw in raws if (item_id := head(raw).id) not in roots]
        ids, chosen = [item_id for item_id, _ in kept], [raw for _, raw in kept]
        return item_page(scope, ids, chosen, tree, trusted=False)

    def _tree(self) -> Tree:
        if self._known is None:
            return self._learn(self._read_tree())
        return self._known

    def _learn(self, tree: Tree) -> Tree:
        self._known = tree
        if translation(tree) != self._hash:
            self._hash = ""  # what is written from here on is not of the cursor's translation
        return tree

    def _cursor(self) -> JsonObject:
        return {"user": self._user, "drives": dict(self._drives), "tree": self._hash}

    def _fetch(self, scope: str, token: str) -> _Page:
        request = self._client.changes.list(
            pageToken=token,
            includeItemsFromAllDrives=True,
            supportsAllDrives=True,
            includeRemoved=True,
            pageSize=PAGE_SIZE,
            fields=FIELDS,
            prettyPrint=False,
            **_drive(scope),
        )
        try:
            page = fetch(self._client, request, _read_page, WHAT)
        except PermanentError as error:
            if error.code in BAD_TOKEN_CODES:
                raise CursorRejected(
                    "Google no longer knows the place reached in the change log."
                ) from error
            if scope == USER:
                raise stopping(error, WHAT) from error
            raise
        # An entry is current state: of two for one thing only the later counts.
        page.changes = list({(c.change_type, _target(c)): c for c in page.changes}.values())
        return page


def _start_token(client: GoogleClient, scope: str) -> str:
    request = client.changes.getStartPageToken(supportsAllDrives=True, **_drive(scope))
    answer = client.call(request, WHAT)
    if "startPageToken" not in answer:
        raise ConfigurationError("Google gave no position in the change log.")
    return str(answer["startPageToken"])


def _next(page: _Page, token: str) -> tuple[str, bool]:
    """The position after a page, and whether more pages follow."""
    following = page.next_page_token
    if following and following != token:
        return following, True
    if following or not page.new_start_page_token:
        raise TransientError(f"Google gives no end of {WHAT}.", code="incomplete_listing")
    return page.new_start_page_token, False


def _drive(scope: str) -> dict[str, Any]:
    return {} if scope == USER else {"driveId": scope}


def _target(change: _Change) -> str:
    return change.drive_id if change.change_type == "drive" else change.file_id


def _is_gone(change: _Change) -> bool:
    return change.removed or not len(change.file)


def _is_lost(error: PermanentError) -> bool:
    return isinstance(error, NotFound) or error.code in LOST_CODES
