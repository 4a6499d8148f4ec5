"""Everything in a Drive, page by page: the user's own list, then each shared drive by itself.

Must not end early: an incomplete listing is an error, never a shorter list. Rules followed
(developers.google.com/workspace/drive/api/reference/rest/v3/files/list): one flat list without
`orderBy`, which times out on large sets; no `q` on parents, which returns partial results; never
`corpora=allDrives`, which may leave items out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from syncapp.errors import BackupError, ConfigurationError, NotFound, PermanentError, TransientError
from syncapp.sources.drive_items import ITEM_FIELDS, Tree, synthetic_folders, to_file
from syncapp.sources.google_client import GoogleClient
from syncapp.types import JsonObject, ScanPage

PAGE_SIZE = 1000
DRIVES_PAGE_SIZE = 100
LIST_FIELDS = f"nextPageToken,incompleteSearch,files({ITEM_FIELDS})"
USER = "user"
# How Google refuses a page token that is too old.
BAD_TOKEN_CODES = frozenset(["invalid", "invalid_argument", "bad_request", "gone"])

Call = Callable[[str | None], Any]


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
        raise _stopping(error, what) from error


def shared_drives(client: GoogleClient) -> Iterator[tuple[str, str]]:
    """Id and name of each shared drive that the account is a member of."""

    def request(token: str | None) -> Any:
        fields = "nextPageToken,drives(id,name)"
        return client.drives.list(pageSize=DRIVES_PAGE_SIZE, pageToken=token, fields=fields)

    for page in _pages(client, request, "the list of shared drives"):
        yield from ((drive["id"], drive.get("name", "")) for drive in page.get("drives", ()))


def scan(client: GoogleClient, tree: Tree) -> Iterator[ScanPage]:
    """Synthetic folders first, then every item of every scope."""
    yield ScanPage(USER, synthetic_folders(tree))
    for page in _pages(client, _list_user(client), "the list of files"):
        # What belongs to a listed shared drive comes with that drive's own, complete pass.
        items = [i for i in page.get("files", ()) if i.get("driveId") not in tree.drives]
        yield _scan_page(USER, items, tree)
    for drive_id in tree.drives:
        for page in _pages(client, _list_drive(client, drive_id), "the list of a shared drive"):
            yield _scan_page(drive_id, page.get("files", ()), tree)


def _scan_page(scope: str, items: list[JsonObject], tree: Tree) -> ScanPage:
    roots = {tree.root_id, scope}  # already given as synthetic folders
    return ScanPage(scope, tuple(to_file(i, tree) for i in items if i["id"] not in roots))


def _list_user(client: GoogleClient) -> Call:
    # With items from all drives, because single files of foreign shared drives can be shared too.
    return lambda token: client.files.list(
        corpora=USER,
        includeItemsFromAllDrives=True,
        supportsAllDrives=True,
        pageSize=PAGE_SIZE,
        pageToken=token,
        fields=LIST_FIELDS,
    )


def _list_drive(client: GoogleClient, drive_id: str) -> Call:
    return lambda token: client.files.list(
        corpora="drive",
        driveId=drive_id,
        includeItemsFromAllDrives=True,
        supportsAllDrives=True,
        pageSize=PAGE_SIZE,
        pageToken=token,
        fields=LIST_FIELDS,
    )


def _pages(client: GoogleClient, request: Call, what: str) -> Iterator[JsonObject]:
    token: str | None = None
    while True:
        page = _page(client, request, token, what)
        if page.get("incompleteSearch"):
            raise TransientError(
                f"Google says that {what} is incomplete.", code="incomplete_listing"
            )
        yield page
        last, token = token, page.get("nextPageToken")
        if not token:
            return
        if token == last:
            raise TransientError(f"Google repeats a page of {what}.", code="incomplete_listing")


def _page(client: GoogleClient, request: Call, token: str | None, what: str) -> JsonObject:
    try:
        return client.call(request(token), what)
    except PermanentError as error:
        if not token or error.code not in BAD_TOKEN_CODES:
            raise _stopping(error, what) from error
        raise TransientError(
            f"Google no longer knows the place reached in {what}; it starts again.",
            code="listing_expired",
        ) from error


def _stopping(error: PermanentError, what: str) -> BackupError:
    if isinstance(error, NotFound):  # a shared drive left or deleted since the drives were listed
        return TransientError(
            f"{what.capitalize()} went away while it was read.", code="incomplete_listing"
        )
    return ConfigurationError(error.message, code=error.code)
