"""Items rendered as Google's Drive v3 resources, only in the fields that a mask asks for.

Rules from the discovery document (schemas File, Permission, User, Drive): hashes and
headRevisionId for blobs only, `size` also for editor files, no owners, ownedByMe, shared or
permissions in shared drives, `trashedTime` only there, parents missing when the caller sees none.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from emulator.fields import Mask, invalid_selection
from emulator.formats import EDITOR_PATHS, OTHER_PATH, export_links
from emulator.items import Item, User
from emulator.world import Account, SharedDrive

_EPOCH = date(1970, 1, 1)
_MINUTES = [f"{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]
DEFAULT_FILE = "kind,id,name,mimeType,resourceKey"
HASH_FIELDS = {"md5Checksum": "md5", "sha1Checksum": "sha1", "sha256Checksum": "sha256"}

# A renderer answers None for a field that Google leaves out of this item.
Renderer = Callable[[Item, Account, str], Any]


def rfc3339(epoch_ms: int) -> str:
    """Epoch milliseconds as Google writes times."""
    minutes, ms = divmod(epoch_ms, 60_000)
    day, minute = divmod(minutes, 1440)
    return f"{_date(day)}{_MINUTES[minute]}{ms // 1000:02}.{ms % 1000:03}Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return f"{_EPOCH + timedelta(days=day)}T"


def user_json(user: User, *, me: bool) -> dict[str, Any]:
    """A User resource."""
    shown: dict[str, Any] = {
        "kind": "drive#user",
        "displayName": user.name,
        "me": me,
        "permissionId": user.sub,
        "emailAddress": user.email,
    }
    if user.picture:
        shown["photoLink"] = user.picture
    return shown


def permissions_of(item: Item) -> list[dict[str, Any]]:
    """The Permission resources of an item: its owner, and a reader where it is shared."""
    found = []
    if item.owner is not None:
        found.append(_permission(item.owner.sub, "user", "owner", item.owner))
    if item.granted:
        return found + item.granted
    if item.shared and item.public:
        anyone = {"id": "anyoneWithLink", "type": "anyone", "role": "reader"}
        found.append(anyone | {"kind": "drive#permission", "allowFileDiscovery": False})
    elif item.shared:
        reader = User("11111111111111111111", "reader@example.com", "A Reader")
        found.append(_permission(reader.sub, "user", "reader", reader))
    return found


def drive_json(drive: SharedDrive) -> dict[str, Any]:
    """A Drive resource."""
    return {
        "kind": "drive#drive",
        "id": drive.id,
        "name": drive.name,
        "colorRgb": "#0f9d58",
        "createdTime": rfc3339(drive.created_ms),
        "hidden": False,
        "capabilities": {"canListChildren": True, "canDownload": True, "canReadRevisions": True},
        "restrictions": {"driveMembersOnly": False, "domainUsersOnly": False},
    }


def _permission(identity: str, kind: str, role: str, user: User) -> dict[str, Any]:
    return {
        "kind": "drive#permission",
        "id": identity,
        "type": kind,
        "role": role,
        "emailAddress": user.email,
        "displayName": user.name,
        "deleted": False,
        "pendingOwner": False,
    }


def _hash(name: str) -> Renderer:
    def render(item: Item, viewer: Account, base_url: str) -> str | None:
        if item.content is None or (item.without_sha and name != "md5"):
            return None
        if name == "md5" and item.claimed_md5:
            return item.claimed_md5
        return item.content.digest(name)

    return render


def _size(item: Item, viewer: Account, base_url: str) -> str | None:
    if item.content is not None:
        return str(item.content.size)
    return str(item.editor_size) if item.is_editor else None


def _capabilities(item: Item, viewer: Account, base_url: str) -> dict[str, bool]:
    mine = item.owner is not None and item.owner.sub == viewer.sub
    readable = not item.refuses("no_download")
    shown = dict.fromkeys(("canEdit", "canDelete", "canRename", "canShare", "canTrash"), mine)
    shown |= {"canModifyContent": mine, "canComment": mine, "canReadRevisions": readable}
    shown |= {"canDownload": readable and not item.is_folder, "canCopy": readable}
    if item.is_folder:
        shown["canListChildren"] = not item.refuses("no_children")
        shown["canAddChildren"] = mine
        shown["canDownload"] = readable
    return shown


def _shortcut(item: Item, viewer: Account, base_url: str) -> dict[str, str] | None:
    if item.shortcut is None:
        return None
    target, mime, key = item.shortcut
    shown = {"targetId": target, "targetMimeType": mime}
    return shown | {"targetResourceKey": key} if key else shown


def _extension(item: Item, viewer: Account, base_url: str) -> str | None:
    return item.name.rpartition(".")[2] if item.content is not None and "." in item.name else ""


def _full_extension(item: Item, viewer: Account, base_url: str) -> str | None:
    if item.content is None or "." not in item.name:
        return "" if item.content is not None else None
    known = item.name.endswith((".tar.gz", ".tar.bz2", ".tar.xz"))
    parts = item.name.rsplit(".", 2 if known else 1)
    return ".".join(parts[1:])


def _blob_only(value: Callable[[Item], Any]) -> Renderer:
    return lambda item, viewer, base_url: value(item) if item.content is not None else None


def _outside_shared_drives(value: Callable[[Item, Account], Any]) -> Renderer:
    return lambda item, viewer, base_url: None if item.drive_id else value(item, viewer)


def _owned_by(item: Item, viewer: Account) -> bool:
    return item.owner is not None and item.owner.sub == viewer.sub


def _owners(item: Item, viewer: Account) -> list[dict[str, Any]] | None:
    if item.owner is None:
        return None
    return [user_json(item.owner, me=item.owner.sub == viewer.sub)]


def _web_link(item: Item, viewer: Account, base_url: str) -> str:
    return EDITOR_PATHS.get(item.mime_type, OTHER_PATH).format(item.id)


def _last_user(item: Item, viewer: Account, base_url: str) -> dict[str, Any] | None:
    user = item.owner or (viewer.user if item.drive_id else None)
    return user_json(user, me=user.sub == viewer.sub) if user else None


def _trashed_time(item: Item, viewer: Account, base_url: str) -> str | None:
    return rfc3339(item.trashed_ms) if item.drive_id and item.trashed else None


def _shared_time(item: Item, viewer: Account, base_url: str) -> str | None:
    return rfc3339(item.shared_with_me_ms) if item.shared_with_me_ms else None


def _sharing_user(item: Item, viewer: Account, base_url: str) -> dict[str, Any] | None:
    return user_json(item.owner, me=False) if item.owner and item.shared_with_me_ms else None


def _export_links(item: Item, viewer: Account, base_url: str) -> dict[str, str] | None:
    if not item.exportable or item.refuses("no_download"):
        return None
    return export_links(item.id, item.mime_type, base_url) or None


RENDERERS: dict[str, Renderer] = {
    "kind": lambda i, v, b: "drive#file",
    "id": lambda i, v, b: i.id,
    "name": lambda i, v, b: i.name,
    "mimeType": lambda i, v, b: i.mime_type,
    "description": lambda i, v, b: i.description or None,
    "starred": lambda i, v, b: i.starred,
    "trashed": lambda i, v, b: i.trashed,
    "explicitlyTrashed": lambda i, v, b: i.trashed and not i.trashed_with_folder,
    "trashedTime": _trashed_time,
    "parents": lambda i, v, b: list(i.parents) or None,
    "properties": lambda i, v, b: i.properties or None,
    "appProperties": lambda i, v, b: i.app_properties or None,
    "spaces": lambda i, v, b: ["drive"],
    "version": lambda i, v, b: str(i.version),
    "webContentLink": _blob_only(
        lambda i: f"https://drive.google.com/uc?id={i.id}&export=download"
    ),
    "webViewLink": _web_link,
    "hasThumbnail": lambda i, v, b: False,
    "thumbnailVersion": lambda i, v, b: "0",
    "viewedByMe": lambda i, v, b: True,
    "createdTime": lambda i, v, b: rfc3339(i.created_ms),
    "modifiedTime": lambda i, v, b: rfc3339(i.modified_ms),
    "modifiedByMe": lambda i, v, b: _owned_by(i, v),
    "sharedWithMeTime": _shared_time,
    "sharingUser": _sharing_user,
    "owners": _outside_shared_drives(_owners),
    "ownedByMe": _outside_shared_drives(_owned_by),
    "shared": _outside_shared_drives(lambda i, v: i.shared or bool(i.granted)),
    "permissions": _outside_shared_drives(
        lambda i, v: permissions_of(i) if _owned_by(i, v) else None
    ),
    "permissionIds": _outside_shared_drives(
        lambda i, v: [p["id"] for p in permissions_of(i)] if _owned_by(i, v) else None
    ),
    "driveId": lambda i, v, b: i.drive_id,
    "teamDriveId": lambda i, v, b: i.drive_id,
    "hasAugmentedPermissions": lambda i, v, b: False if i.drive_id else None,
    "lastModifyingUser": _last_user,
    "capabilities": _capabilities,
    "viewersCanCopyContent": lambda i, v, b: not i.refuses("no_download"),
    "copyRequiresWriterPermission": lambda i, v, b: i.refuses("no_download"),
    "writersCanShare": lambda i, v, b: True,
    "originalFilename": _blob_only(lambda i: i.name),
    "fileExtension": lambda i, v, b: _extension(i, v, b) if i.content is not None else None,
    "fullFileExtension": _full_extension,
    "md5Checksum": _hash("md5"),
    "sha1Checksum": _hash("sha1"),
    "sha256Checksum": _hash("sha256"),
    "size": _size,
    "quotaBytesUsed": lambda i, v, b: _size(i, v, b) or "0",
    "headRevisionId": _blob_only(lambda i: i.head_revision_id),
    "isAppAuthorized": lambda i, v, b: bool(i.app),
    "resourceKey": lambda i, v, b: i.resource_key or None,
    "shortcutDetails": _shortcut,
    "exportLinks": _export_links,
}

# Fields of the schema that no item here has: asked for, they are simply left out.
_ABSENT = frozenset(
    [
        "clientEncryptionDetails",
        "contentHints",
        "contentRestrictions",
        "downloadRestrictions",
        "folderColorRgb",
        "iconLink",
        "imageMediaMetadata",
        "inheritedPermissionsDisabled",
        "labelInfo",
        "linkShareMetadata",
        "modifiedByMeTime",
        "thumbnailLink",
        "trashingUser",
        "videoMediaMetadata",
        "viewedByMeTime",
    ]
)


class FileRenderer:
    """Turns items into File resources for one caller and one mask; built once a request."""

    def __init__(self, mask: Mask, viewer: Account, base_url: str) -> None:
        self._viewer = viewer
        self._base_url = base_url
        names = list(RENDERERS) if mask.everything else list(mask.members)
        unknown = [n for n in names if n not in RENDERERS and n not in _ABSENT and n != "*"]
        if unknown:
            raise invalid_selection(unknown[0])
        self._steps = [
            (name, RENDERERS[name], inner if (inner := mask.within(name)).members else None)
            for name in names
            if name in RENDERERS
        ]
        self._algorithms = [HASH_FIELDS[name] for name in names if name in HASH_FIELDS]

    def missing_hashes(self, item: Item) -> list[str]:
        """Hashes that rendering the item would compute slowly: compute them in a thread first."""
        content = item.content
        if not self._algorithms or content is None or content.cheap:
            return []
        return [name for name in self._algorithms if name == "md5" or not item.without_sha]

    def render(self, item: Item) -> dict[str, Any]:
        """The File resource of an item."""
        shown: dict[str, Any] = {}
        for name, renderer, inner in self._steps:
            value = renderer(item, self._viewer, self._base_url)
            if value is not None:
                shown[name] = value if inner is None else inner.apply(value)
        return shown
