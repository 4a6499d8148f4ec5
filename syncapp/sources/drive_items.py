"""From Drive's description of an item to a RemoteFile. Pure: no request is made here.

Must not drop an item: what can't be backed up carries a `problem`. Rule followed: the File resource
of Drive v3 (developers.google.com/workspace/drive/api/reference/rest/v3/files).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from syncapp.sources import drive_formats as formats
from syncapp.types import Content, JsonObject, RemoteFile

# Synthetic folders; "~" occurs in no id of Google's.
SHARED_WITH_ME = "~shared-with-me"
ORPHANS = "~orphans"
SHARED_DRIVES = "~shared-drives"

REVISION_FIELDS = "id,mimeType,headRevisionId,md5Checksum,modifiedTime,version,shortcutDetails"
PERSON = "(displayName,emailAddress)"
ITEM_FIELDS = (
    f"{REVISION_FIELDS},name,parents,driveId,size,sha1Checksum,sha256Checksum,createdTime,trashed,"
    "trashedTime,explicitlyTrashed,ownedByMe,shared,sharedWithMeTime,starred,description,"
    "properties,appProperties,resourceKey,webViewLink,folderColorRgb,originalFilename,labelInfo,"
    f"copyRequiresWriterPermission,permissionIds,owners{PERSON},sharingUser{PERSON},"
    f"lastModifyingUser{PERSON},capabilities(canDownload,canListChildren),"
    "permissions(id,type,role,emailAddress,displayName,domain,allowFileDiscovery,expirationTime)"
)

# Kept as Google gives them. Not kept: what merely looking at a file changes, and export links.
_KEPT = (
    "description", "starred", "properties", "appProperties", "webViewLink", "folderColorRgb",
    "originalFilename", "shortcutDetails", "sharedWithMeTime", "trashedTime", "explicitlyTrashed",
    "ownedByMe", "shared", "labelInfo", "copyRequiresWriterPermission", "sha1Checksum",
    "owners", "sharingUser", "lastModifyingUser",
)  # fmt: skip
# Raised when to_file gives something else for the same item: all items are then looked at anew.
TRANSLATION = 1
MAX_TEXT = 16 * 1024  # characters of one metadata value
MAX_PERMISSIONS = 200


@dataclass(frozen=True, slots=True)
class Tree:
    """What an item's place and format depend on: read once, before the items."""

    root_id: str
    drives: Mapping[str, str] = field(default_factory=dict)  # shared drives: id → name
    export_formats: Mapping[str, Sequence[str]] = field(default_factory=dict)


def synthetic_folders(tree: Tree) -> tuple[RemoteFile, ...]:
    """The roots that everything hangs from, and each shared drive."""
    roots = (
        _folder(tree.root_id, "", "My Drive"),
        _folder(SHARED_WITH_ME, "", "Shared with me"),
        _folder(ORPHANS, "", "Orphans"),
        _folder(SHARED_DRIVES, "", "Shared drives"),
    )
    return roots + tuple(drive_folder(*drive) for drive in tree.drives.items())


def drive_folder(drive_id: str, name: str) -> RemoteFile:
    """A shared drive as the folder that its items hang from."""
    return _folder(drive_id, SHARED_DRIVES, clean(name), drive_id)


def translation(tree: Tree) -> str:
    """A short hash of all that `to_file` depends on besides the item."""
    kept = [TRANSLATION, tree.root_id, sorted(tree.drives), dict(tree.export_formats)]
    return hashlib.blake2b(
        orjson.dumps(kept, option=orjson.OPT_SORT_KEYS), digest_size=8
    ).hexdigest()


def to_file(item: JsonObject, tree: Tree) -> RemoteFile:
    """The item as the engine knows it; every item gives exactly one file."""
    content, export = _content(item, tree)
    problem, message = _problem(item, content)
    blob = content is Content.BLOB
    owners = item.get("owners") or [{}]
    modifier = item.get("lastModifyingUser") or {}
    return RemoteFile(
        remote_id=item["id"],
        parent_id=_parent(item, tree),
        name=clean(item.get("name", "")),
        mime_type=clean(item.get("mimeType", "")),
        content=content,
        revision=revision_of(item, content),
        size=int(item["size"]) if blob and "size" in item else None,
        md5=_hex(item.get("md5Checksum")) if blob else None,
        sha256=_hex(item.get("sha256Checksum")) if blob else None,
        created_at=_time(item.get("createdTime")),
        modified_at=_time(item.get("modifiedTime")),
        trashed=bool(item.get("trashed", False)),
        owner=clean(owners[0].get("emailAddress", "")),
        modified_by=clean(modifier.get("emailAddress") or modifier.get("displayName", "")),
        drive_id=item.get("driveId", ""),
        extension=_extension(content, export),
        problem=problem,
        problem_message=message,
        extra=_extra(item, content, export),
        metadata=_metadata(item),
    )


def revision_of(item: JsonObject, content: Content) -> str:
    """A key that changes when the content must be read again (not on a rename or a new sharing)."""
    modified = str(item.get("modifiedTime", ""))
    if content is Content.SHORTCUT:
        return f"{modified} {_target(item).get('targetId', '')}"
    if content is not Content.BLOB:
        return modified
    known = item.get("headRevisionId") or item.get("md5Checksum")
    return str(known or f"{item.get('version', '')} {modified}")


def clean(text: str) -> str:
    """Valid UTF-8 without NUL: what no database and no store refuses. All else stays."""
    if text.isascii() and "\0" not in text:
        return text
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\u2400")


def clean_json(value: Any) -> Any:
    """`clean` for every text in a JSON value."""
    return value if _is_clean(value) else _cleaned(value)


def _is_clean(value: Any) -> bool:
    """Whether nothing is to be mended; a serializer tells in a quarter of the time of looking."""
    try:
        return b"\\u0000" not in orjson.dumps(value)
    except TypeError:  # lone surrogates
        return False


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value]
    if isinstance(value, dict):
        return {clean(key): _cleaned(entry) for key, entry in value.items()}
    return value


def _content(item: JsonObject, tree: Tree) -> tuple[Content, formats.ExportFormat | None]:
    """Decided by the type alone: documents, too, have a `size` nowadays."""
    mime_type = item.get("mimeType", "")
    if not mime_type.startswith(formats.GOOGLE_TYPE):
        return Content.BLOB, None
    if mime_type == formats.FOLDER:
        return Content.FOLDER, None
    if mime_type == formats.SHORTCUT:
        return Content.SHORTCUT, None
    if mime_type == formats.FORM:
        return Content.FORM, None
    export = formats.choose_format(mime_type, tree.export_formats)
    return (Content.EXPORT if export else Content.UNSUPPORTED), export


def _problem(item: JsonObject, content: Content) -> tuple[str, str]:
    capabilities = item.get("capabilities") or {}
    if content is Content.UNSUPPORTED:
        return "not_exportable", formats.why_not_exportable(item.get("mimeType", ""))
    if content is Content.FOLDER and capabilities.get("canListChildren") is False:
        return (
            "cannot_list_children",
            "Google does not let this account see what is in the folder; ask its owner.",
        )
    if content in (Content.BLOB, Content.EXPORT) and capabilities.get("canDownload") is False:
        return (
            "cannot_download",
            "Its owner does not allow this account to download it; ask for permission.",
        )
    return "", ""


def _parent(item: JsonObject, tree: Tree) -> str:
    parents = item.get("parents")
    if parents:
        return str(parents[0])
    if item.get("driveId") in tree.drives:
        return str(item["driveId"])
    return ORPHANS if item.get("ownedByMe") else SHARED_WITH_ME


def _extension(content: Content, export: formats.ExportFormat | None) -> str:
    if content is Content.FORM:
        return "json"
    if content is Content.SHORTCUT:
        return "shortcut.json"
    return export.extension if export else ""


def _extra(item: JsonObject, content: Content, export: formats.ExportFormat | None) -> JsonObject:
    extra: JsonObject = {}
    if "resourceKey" in item:
        extra["resource_key"] = item["resourceKey"]
    if export:
        extra["export_mime"] = export.mime_type
    if content is Content.SHORTCUT:
        extra["target"] = clean_json(_target(item))
    return extra


def _metadata(item: JsonObject) -> JsonObject:
    kept = {key: _cut(item[key]) for key in _KEPT if key in item}
    permissions = item.get("permissions")
    if permissions:
        kept["permissions"] = permissions[:MAX_PERMISSIONS]
        if len(permissions) > MAX_PERMISSIONS:
            kept["permissions_left_out"] = len(permissions) - MAX_PERMISSIONS
    elif item.get("permissionIds"):  # all that shared drives give away in a list
        kept["permissionIds"] = item["permissionIds"][:MAX_PERMISSIONS]
    cleaned: JsonObject = clean_json(kept)
    return cleaned


def _cut(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _target(item: JsonObject) -> JsonObject:
    return item.get("shortcutDetails") or {}


def _hex(value: str | None) -> str | None:
    return value.lower() if value else None


def _time(value: str | None) -> datetime | None:
    """None, too, for the years that a client may set and that no calendar of ours has."""
    try:
        return datetime.fromisoformat(value) if value else None
    except ValueError:
        return None


def _folder(remote_id: str, parent_id: str, name: str, drive_id: str = "") -> RemoteFile:
    return RemoteFile(
        remote_id, parent_id, name, formats.FOLDER, Content.FOLDER, revision="", drive_id=drive_id
    )
