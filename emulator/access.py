"""Who may reach an item: scopes, shared-drive semantics and resource keys."""

from __future__ import annotations

from emulator.http import GoogleError, Request, not_found
from emulator.items import Item
from emulator.world import Corpus

_AUTH = "https://www.googleapis.com/auth/"
FULL, FILE = _AUTH + "drive", _AUTH + "drive.file"
WRITE = frozenset({FULL, FILE})
READ_CONTENT = WRITE | {_AUTH + "drive.readonly"}
READ_DRIVES = READ_CONTENT - {FILE}
READ_METADATA = READ_CONTENT | {_AUTH + "drive.metadata", _AUTH + "drive.metadata.readonly"}
WIDE = READ_METADATA - {FILE}
KEYS_HEADER = "x-goog-drive-resource-keys"


def visible(
    request: Request, file_id: str, *, any_drive: bool | None = None
) -> tuple[Corpus, Item]:
    """The item the caller asks for and its corpus, or Google's 404.

    `any_drive` overrides the request's supportsAllDrives, for methods that have no such parameter.
    """
    found = request.user.find(file_id)
    if found is None:
        raise not_found(file_id)
    corpus, item = found
    if any_drive is None:
        any_drive = request.flag("supportsAllDrives") or request.flag("supportsTeamDrives")
    if item.drive_id and not any_drive:
        raise not_found(file_id)
    if _key_is_missing(request, item) or not reached(request, item):
        raise not_found(file_id)
    return corpus, item


def reached(request: Request, item: Item) -> bool:
    """Whether the caller's scopes reach the item: drive.file only what the app itself created."""
    if not request.scopes.isdisjoint(WIDE):
        return True
    return item.app == request.client_id or item.id == request.user.corpus.root.id


def writable(request: Request, file_id: str) -> tuple[Corpus, Item]:
    """As `visible`, for a change: read scopes show an item, but only write scopes change it."""
    corpus, item = visible(request, file_id)
    if FULL not in request.scopes and item.app != request.client_id:
        message = (
            f"The user has not granted the app {request.client_id} write access to the file "
            f"{file_id}."
        )
        raise GoogleError(403, "appNotAuthorizedToFile", message)
    if item.owner is not None and item.owner.sub != request.user.sub:
        message = "The user does not have sufficient permissions for this file."
        raise GoogleError(403, "insufficientFilePermissions", message)
    return corpus, item


def _key_is_missing(request: Request, item: Item) -> bool:
    mine = item.owner is not None and item.owner.sub == request.user.sub
    if not item.resource_key or mine:
        return False
    sent = request.headers.get(KEYS_HEADER, "").replace(" ", "").split(",")
    return f"{item.id}/{item.resource_key}" not in sent
