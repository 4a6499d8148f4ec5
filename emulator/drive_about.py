"""about.get, drives.*, permissions.* and revisions.* of Drive v3, as far as readers need them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from emulator.access import READ_DRIVES, READ_METADATA, visible
from emulator.drive_files import page_size
from emulator.fields import parse_mask
from emulator.formats import EXPORT_FORMATS, IMPORT_FORMATS, IMPORT_SIZES
from emulator.http import GoogleError, Request, Response, Route, invalid, json_response
from emulator.items import Item
from emulator.quota import LIST, READ
from emulator.resources import drive_json, permissions_of, rfc3339, user_json
from emulator.world import World

QUOTA_BYTES = 2 * 1024**4


async def about(request: Request, world: World) -> Response:
    """about.get; like Google, only with a `fields` parameter."""
    if not request.first("fields"):
        message = "The 'fields' parameter is required for this method."
        raise GoogleError(400, "required", message, location="fields")
    mask = parse_mask(request.first("fields"))
    answer: dict[str, Any] = {
        "kind": "drive#about",
        "user": user_json(request.user.user, me=True),
        "importFormats": IMPORT_FORMATS,
        "exportFormats": EXPORT_FORMATS,
        "maxImportSizes": {kind: str(size) for kind, size in IMPORT_SIZES.items()},
        "maxUploadSize": "5497558138880",
        "appInstalled": True,
        "canCreateDrives": True,
        "canCreateTeamDrives": True,
        "folderColorPalette": ["#ac725e", "#d06b64"],
    }
    if mask.wants("storageQuota"):
        used = str(await asyncio.to_thread(request.user.corpus.items.total_bytes))
        limit = str(world.storage_limits.get(request.user.sub, QUOTA_BYTES))
        answer["storageQuota"] = {"limit": limit, "usage": used, "usageInDrive": used}
    return json_response(mask.apply(answer))


async def list_drives(request: Request, world: World) -> Response:
    """drives.list: pages of 10 unless asked for up to 100."""
    size = page_size(request, 10, 100)
    token = request.first("pageToken", "0")
    drives = list(request.user.drives.values())
    if not token.isdecimal() or int(token) > len(drives):
        raise invalid("pageToken")
    start = int(token)
    answer: dict[str, Any] = {
        "kind": "drive#driveList",
        "drives": [drive_json(drive) for drive in drives[start : start + size]],
    }
    if start + size < len(drives):
        answer["nextPageToken"] = str(start + size)
    return _masked(request, answer, "kind,nextPageToken,drives(kind,id,name)")


async def get_drive(request: Request, world: World, drive_id: str) -> Response:
    """drives.get."""
    drive = request.user.drives.get(drive_id)
    if drive is None:
        message = f"Shared drive not found: {drive_id}"
        raise GoogleError(404, "notFound", message, location="driveId")
    return _masked(request, drive_json(drive), "kind,id,name")


async def list_permissions(request: Request, world: World, file_id: str) -> Response:
    """permissions.list: only for who may share the file, as at Google."""
    _, item = visible(request, file_id)
    if item.drive_id is None and (item.owner is None or item.owner.sub != request.user.sub):
        message = "The user does not have sufficient permissions for this file."
        raise GoogleError(403, "insufficientFilePermissions", message)
    answer = {"kind": "drive#permissionList", "permissions": permissions_of(item)}
    return _masked(request, answer, "kind,nextPageToken,permissions(id,type,kind,role)")


async def list_revisions(request: Request, world: World, file_id: str) -> Response:
    """revisions.list: every revision number so far; only the newest has its content known."""
    _, item = visible(request, file_id, any_drive=True)
    answer = {"kind": "drive#revisionList", "revisions": [_revision(item)]}
    return _masked(request, answer, "kind,nextPageToken,revisions(id,mimeType,kind,modifiedTime)")


def _revision(item: Item) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": "drive#revision",
        "id": item.head_revision_id if item.content is not None else str(item.revision),
        "mimeType": item.mime_type,
        "modifiedTime": rfc3339(item.modified_ms),
    }
    if item.content is not None:
        shown |= {
            "keepForever": False,
            "published": False,
            "originalFilename": item.name,
            "size": str(item.content.size),
        }
    return shown


def _masked(request: Request, answer: dict[str, Any], default: str) -> Response:
    return json_response(parse_mask(request.first("fields") or default).apply(answer))


_FILE = r"/drive/v3/files/(?P<file_id>[^/]+)"

ROUTES = [
    Route("GET", re.compile(r"/drive/v3/about"), about, "about.get", READ, READ_METADATA),
    Route("GET", re.compile(r"/drive/v3/drives"), list_drives, "drives.list", LIST, READ_DRIVES),
    Route(
        "GET",
        re.compile(r"/drive/v3/drives/(?P<drive_id>[^/]+)"),
        get_drive,
        "drives.get",
        READ,
        READ_DRIVES,
    ),
    Route(
        "GET",
        re.compile(_FILE + "/permissions"),
        list_permissions,
        "permissions.list",
        LIST,
        READ_METADATA,
    ),
    Route(
        "GET",
        re.compile(_FILE + "/revisions"),
        list_revisions,
        "revisions.list",
        LIST,
        READ_METADATA,
    ),
]
