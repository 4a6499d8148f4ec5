"""Everything in a Drive, page by page: the user's own list, then each shared drive by itself.

Must not end early: an incomplete listing is an error, never a shorter list. Rules followed
(developers.google.com/workspace/drive/api/reference/rest/v3/files/list): one flat list without
`orderBy`, which times out on large sets; no `q` on parents, which returns partial results; never
`corpora=allDrives`, which may leave items out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from syncapp.errors import BackupError, ConfigurationError, NotFound, PermanentError, TransientError
from syncapp.sources.drive_items import ITEM_FIELDS, Tree, synthetic_folders
from syncapp.sources.drive_pages import (
    PAGE_SIZE,
    FilePage,
    ahead,
    fetch,
    head,
    is_folder,
    item_page,
)
from syncapp.sources.google_client import GoogleClient
from syncapp.types import ItemPage, JsonObject

DRIVES_PAGE_SIZE = 100
LIST_FIELDS = f"nextPageToken,incompleteSearch,files({ITEM_FIELDS})"
USER = "user"
# How Google refuses a page token that is too old.
BAD_TOKEN_CODES = frozenset(["invalid", "invalid_argument", "bad_request", "gone"])


class _DrivePage(msgspec.Struct, rename="camel"):
    drives: list[JsonObject] = []
    next_page_token: str = ""
    incomplete_search: bool = False


Page = TypeVar("Page", FilePage, _DrivePage)
_read_files = msgspec.json.Decoder(FilePage).decode
_read_drives = msgspec.json.Decoder(_DrivePage).decode


def read_tree(client: GoogleClient) -> Tree:
    """The root's id, the shared drives and the export formats: three small requests."""
    root = ask(client, client.files.get(fileId="root", fields="id"), "the root folder")
    about = ask(client, client.about.get(fields="exportFormats"), "the export formats")
    return Tree(root["id"], dict(shared_drives(client)), about.get("exportFormats", {}))


def ask(client: GoogleClient, request: Any, what: str) -> JsonObject:
    """A call about the account as a whole: a refusal stops the source, it is no file's own."""
    try:
        return client.call(request, what)
    except PermanentError as error:
        raise stopping(error, what) from error


def shared_drives(client: GoogleClient) -> Iterator[tuple[str, str]]:
    """Id and name of each shared drive that the account is a member of."""

    what = "the list of shared drives"

    def request(token: str | None) -> _DrivePage:
        fields = "nextPageToken,drives(id,name)"
        listed = client.drives.list(pageSize=DRIVES_PAGE_SIZE, pageToken=token, fields=fields)
        return fetch(client, listed, _read_drives, what)

    for page in _pages(request, what):
        yield from ((drive["id"], drive.get("name", "")) for drive in page.drives)


def scan(
    client: GoogleClient, tree: Tree, after: JsonObject, *, trusted: bool
) -> Iterator[ItemPage]:
    """Synthetic folders first, then every item of every scope, or of what follows `after`."""
    yield replace(ItemPage.of(USER, synthetic_folders(tree)), after=after)
    reached, token = after.get("scope", ""), after.get("token", "")
    # In an order that does not depend on Google: none is passed over in going on.
    for scope in ["", *sorted(tree.drives)]:
        if scope > reached or (scope == reached and (token or not after)):
            start = token if scope == reached else ""
            yield from scan_scope(client, scope or USER, tree, start, trusted=trusted)


def scan_scope(
    client: GoogleClient, scope: str, tree: Tree, start: str = "", *, trusted: bool
) -> Iterator[ItemPage]:
    """Every item of the user's own list or of one shared drive, or from the page `start` on."""
    what = "the list of files" if scope == USER else "the list of a shared drive"
    request = _requests(client, scope, what)
    for page in ahead(_pages(request, what, start)):
        position = {"scope": "" if scope == USER else scope, "token": page.next_page_token}
        items = _scan_page(scope, page.files, tree, trusted=trusted)
        yield replace(items, after=position)


def scan_below(client: GoogleClient, folder_id: str, scope: str, tree: Tree) -> Iterator[ItemPage]:
    """Every item below a folder, however deep; the folder itself is not among them.

    One folder a request: a query on several parents returns partial results.
    """
    what = "the list of a folder"
    todo, seen = [folder_id], {folder_id}
    while todo:
        request = _requests(client, scope, what, q=f"'{todo.pop()}' in parents")
        for page in _pages(request, what):
            ids = [head(raw).id for raw in page.files]
            deeper = {i for i, raw in zip(ids, page.files, strict=True) if is_folder(raw)} - seen
            todo += deeper
            seen |= deeper
            yield item_page(scope, ids, page.files, tree, trusted=False)


def _requests(
    client: GoogleClient, scope: str, what: str, **query: str
) -> Callable[[str | None], FilePage]:
    """What fetches the page of a token, of one scope's items."""
    corpus = {"corpora": USER} if scope == USER else {"corpora": "drive", "driveId": scope}

    def request(token: str | None) -> FilePage:
        # With items from all drives: single files of foreign shared drives can be shared, too.
        listed = client.files.list(
            **corpus,
            **query,
            includeItemsFromAllDrives=True,
            supportsAllDrives=True,
            pageSize=PAGE_SIZE,
            pageToken=token,
            fields=LIST_FIELDS,
            prettyPrint=False,
        )
        return fetch(client, listed, _read_files, what)

    return request


def _scan_page(scope: str, raws: list[msgspec.Raw], tree: Tree, *, trusted: bool) -> ItemPage:
    # What belongs to a listed shared drive comes with that drive's own, complete pass.
    others = tree.drives if scope == USER else ()
    roots = {tree.root_id, scope}  # already given as synthetic folders
    ids, kept = [], []
    for raw in raws:
        item = head(raw)
        if item.drive_id not in others and item.id not in roots:
            ids.append(item.id)
            kept.append(raw)
    return item_page(scope, ids, kept, tree, trusted=trusted)


def _pages(fetch_page: Callable[[str | None], Page], what: str, start: str = "") -> Iterator[Page]:
    token = start or None
    while True:
        page = _page(fetch_page, token, what)
        if page.incomplete_search:
            raise TransientError(
                f"Google says that {what} is incomplete.", code="incomplete_listing"
            )
        yield page
        last, token = token, page.next_page_token
        if not token:
            return
        if token == last:
            raise TransientError(f"Google repeats a page of {what}.", code="incomplete_listing")


def _page(fetch_page: Callable[[str | None], Page], token: str | None, what: str) -> Page:
    try:
        return fetch_page(token)
    except PermanentError as error:
        if not token or error.code not in BAD_TOKEN_CODES:
            raise stopping(error, what) from error
        raise TransientError(
            f"Google no longer knows the place reached in {what}; it starts again.",
            code="listing_expired",
        ) from error


def stopping(error: PermanentError, what: str) -> BackupError:
    """A refusal of a whole list or account as the error that stops the source."""
    if isinstance(error, NotFound):  # a shared drive left or deleted since the drives were listed
        return TransientError(
            f"{what.capitalize()} went away while it was read.", code="incomplete_listing"
        )
    return ConfigurationError(error.message, code=error.code)
