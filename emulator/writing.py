"""How clients change a Drive: new files and folders, new content, new metadata.

The rules behind `drive_write.py` and `drive_upload.py`; no HTTP. From the discovery document
(schema File, files.create, files.update, files.generateIds) and
developers.google.com/workspace/drive/api/guides/create-file. Fields that Google takes without
any effect here (contentHints, folderColorRgb, …) are taken too.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from emulator import push
from emulator.access import visible, writable
from emulator.content import BytesContent
from emulator.formats import DOCX, IMPORT_FORMATS, IMPORT_SIZES, PPTX, XLSX
from emulator.http import GoogleError, Request, invalid
from emulator.items import FOLDER, GOOGLE, SHORTCUT, Item
from emulator.uploads import Media
from emulator.world import Corpus, World, now_ms

BYTES = "application/octet-stream"
MAX_PROPERTY_BYTES = 124  # key and value together
READ_ONLY = frozenset(
    [
        "capabilities",
        "driveId",
        "explicitlyTrashed",
        "exportLinks",
        "fileExtension",
        "fullFileExtension",
        "hasAugmentedPermissions",
        "hasThumbnail",
        "headRevisionId",
        "iconLink",
        "imageMediaMetadata",
        "isAppAuthorized",
        "kind",
        "lastModifyingUser",
        "md5Checksum",
        "modifiedByMe",
        "ownedByMe",
        "owners",
        "permissionIds",
        "permissions",
        "quotaBytesUsed",
        "resourceKey",
        "sha1Checksum",
        "sha256Checksum",
        "shared",
        "sharingUser",
        "size",
        "spaces",
        "teamDriveId",
        "thumbnailLink",
        "thumbnailVersion",
        "trashingUser",
        "version",
        "videoMediaMetadata",
        "viewedByMe",
        "webContentLink",
        "webViewLink",
    ]
)
_ZIPPED = frozenset({DOCX, XLSX, PPTX})


def new_ids(world: World, sub: str, count: int) -> list[str]:
    """Ids that this user may give to new files."""
    ids = ["1" + secrets.token_urlsafe(24) for _ in range(count)]
    world.generated.update(dict.fromkeys(ids, sub))
    return ids


def check_new(request: Request, world: World, said: dict[str, Any], size: int) -> None:
    """Refuse what `create` would refuse, as far as that can be told before the bytes are there."""
    _refuse_read_only(said)
    _place(request, said)
    _id_for(request, world, said)
    _check_room(request, world, size)


def create(request: Request, world: World, said: dict[str, Any], media: Media | None) -> Item:
    """A new item of the caller's, with its change-log entry."""
    check_new(request, world, said, media.content.size if media else 0)
    corpus, parents = _place(request, said)
    kind = str(said.get("mimeType") or (media.mime_type if media else "") or BYTES)
    item = Item(_id_for(request, world, said), str(said.get("name", "Untitled")), kind, parents)
    item.owner = None if corpus.drive_id else request.user.user
    item.drive_id, item.app = corpus.drive_id, request.client_id
    item.created_ms = item.modified_ms = now_ms()
    _fill(item, media)
    _describe(request, item, said)
    corpus.items.add(item)
    corpus.record(item.id)
    push.notify(world, corpus)
    return item


def update(
    request: Request, world: World, item: Item, said: dict[str, Any], media: Media | None
) -> Item:
    """Change the metadata that is named, and the content if any is given."""
    corpus, item = writable(request, item.id)
    _refuse_read_only(said)
    if media is not None:
        _check_room(request, world, media.content.size)
        item.revision += 1
        if item.content is not None and media.mime_type:
            item.mime_type = media.mime_type
        item.modified_ms = max(now_ms(), item.modified_ms + 1)
        _fill(item, media)
        item.claimed_md5 = ""
    if "name" in said:
        item.name = str(said["name"])
    _describe(request, item, said)
    item.version += 1
    corpus.items.update(item, _moved(request, corpus, item))
    corpus.record(item.id)
    push.notify(world, corpus)
    return item


def _place(request: Request, said: dict[str, Any]) -> tuple[Corpus, tuple[str, ...]]:
    """The corpus and the parent of a new item; My Drive itself where none is named."""
    parents = said.get("parents") or ["root"]
    if len(parents) != 1:
        message = "A file can only have one parent folder."
        raise GoogleError(400, "invalid", message, location="parents")
    corpus, folder = _folder(request, str(parents[0]))
    return corpus, (folder.id,)


def _folder(request: Request, folder_id: str) -> tuple[Corpus, Item]:
    corpus, folder = visible(request, folder_id)
    if not folder.is_folder:
        raise GoogleError(403, "parentNotAFolder", "The specified parent is not a folder.")
    if folder.id != corpus.root.id:
        writable(request, folder_id)
    return corpus, folder


def _moved(request: Request, corpus: Corpus, item: Item) -> tuple[str, ...] | None:
    added = [p for p in request.first("addParents").split(",") if p]
    if not added:
        return None
    there, folder = _folder(request, added[0])
    if len(added) > 1 or there is not corpus:
        raise invalid("addParents")
    return (folder.id,)


def _id_for(request: Request, world: World, said: dict[str, Any]) -> str:
    wanted = str(said.get("id") or "")
    if not wanted:
        return "1" + secrets.token_urlsafe(24)
    for account in world.accounts.values():
        if account.find(wanted) is not None:
            message = "A file already exists with the provided ID."
            raise GoogleError(409, "fileIdInUse", message)
    if world.generated.get(wanted) != request.user.sub:
        raise GoogleError(400, "invalid", "The provided file ID is not usable.")
    kind = str(said.get("mimeType", ""))
    if kind.startswith(GOOGLE) and kind not in (FOLDER, SHORTCUT):
        message = "Generated IDs are not supported for Docs Editors formats."
        raise GoogleError(400, "invalid", message)
    return wanted


def _check_room(request: Request, world: World, size: int) -> None:
    limit = world.storage_limits.get(request.user.sub)
    if limit is not None and request.user.corpus.items.total_bytes() + size > limit:
        message = "The user's Drive storage quota has been exceeded."
        raise GoogleError(403, "storageQuotaExceeded", message, domain="usageLimits")


def _fill(item: Item, media: Media | None) -> None:
    """Give an item its bytes, converted where its type is one of Google's own."""
    if not item.mime_type.startswith(GOOGLE):
        item.content = media.content if media else item.content or BytesContent(b"")
        return
    if media is None:
        return
    if item.mime_type not in IMPORT_FORMATS.get(media.mime_type, ()):
        message = "The requested conversion is not supported."
        raise GoogleError(400, "conversionUnsupportedConversionPath", message)
    if media.content.size > IMPORT_SIZES[item.mime_type]:
        raise GoogleError(413, "uploadTooLarge", "Request Too Large")
    if media.mime_type in _ZIPPED and media.content.read(0, 2) != b"PK":
        raise GoogleError(400, "badRequest", "Bad Request")
    item.editor_size = media.content.size
    item.imported = (media.mime_type, media.content)


def _describe(request: Request, item: Item, said: dict[str, Any]) -> None:
    if "createdTime" in said:
        item.created_ms = _epoch_ms(said, "createdTime")
    if "modifiedTime" in said:
        item.modified_ms = _epoch_ms(said, "modifiedTime")
    item.description = str(said.get("description", item.description))
    item.starred = bool(said.get("starred", item.starred))
    item.trashed = bool(said.get("trashed", item.trashed))
    _set_pairs(item.properties, said.get("properties"))
    _set_pairs(item.app_properties, said.get("appProperties"))
    if item.mime_type == SHORTCUT and "shortcutDetails" in said:
        _, target = visible(request, str(said["shortcutDetails"].get("targetId")), any_drive=True)
        item.shortcut = (target.id, target.mime_type, target.resource_key)


def _set_pairs(kept: dict[str, str], said: Any) -> None:
    for key, value in (said or {}).items():
        if value is None:
            kept.pop(key, None)
        elif len(f"{key}{value}".encode()) > MAX_PROPERTY_BYTES:
            raise GoogleError(400, "invalid", "A property is too long.", location="properties")
        else:
            kept[key] = str(value)


def _epoch_ms(said: dict[str, Any], name: str) -> int:
    try:
        moment = datetime.fromisoformat(str(said[name]))
    except ValueError as error:
        raise invalid(name) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _refuse_read_only(said: dict[str, Any]) -> None:
    if not READ_ONLY.isdisjoint(said):
        message = "The resource body includes fields which are not directly writable."
        raise GoogleError(403, "fieldNotWritable", message)
