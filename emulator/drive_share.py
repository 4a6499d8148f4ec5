"""permissions.create of Drive v3: sharing a file, with Google's refusals.

Follows the discovery document (schema Permission) and
developers.google.com/workspace/drive/api/guides/manage-sharing. Permissions of a folder are not
handed down to what is in it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from emulator.access import WRITE, writable
from emulator.fields import parse_mask
from emulator.http import GoogleError, Request, Response, Route, json_response
from emulator.items import Item
from emulator.quota import EDIT
from emulator.world import World

TYPES = frozenset({"user", "group", "domain", "anyone"})
ROLES = frozenset({"owner", "organizer", "fileOrganizer", "writer", "commenter", "reader"})
NO_ACCOUNT = "@nowhere.example"  # addresses here have no Google account


async def create(request: Request, world: World, file_id: str) -> Response:
    """Share with somebody; again with the same one replaces the role."""
    corpus, item = writable(request, file_id)
    said = request.json()
    _check(request, item, said)
    shown = _permission(said)
    if shown["type"] in ("user", "group") and request.first("sendNotificationEmail") != "false":
        world.counters.requests["email"] += 1
    if item.owner is not None and said.get("emailAddress") == item.owner.email:
        shown |= {"id": item.owner.sub, "role": "owner"}
    else:
        item.granted = [g for g in item.granted if g["id"] != shown["id"]] + [shown]
        item.version += 1
        corpus.items.update(item)
        corpus.record(item.id)
    mask = parse_mask(request.first("fields") or "kind,id,type,role")
    return json_response(mask.apply(shown))


def _check(request: Request, item: Item, said: dict[str, Any]) -> None:
    kind, role = said.get("type"), said.get("role")
    if kind not in TYPES or role not in ROLES:
        name = "role" if kind in TYPES else "type"
        message = f"The permission {name} field is required."
        raise GoogleError(400, "required" if not said.get(name) else "invalid", message)
    if role == "owner":
        message = (
            "The transferOwnership parameter must be enabled when the permission role is owner."
        )
        raise GoogleError(403, "forbidden", message, location="transferOwnership")
    if role in ("organizer", "fileOrganizer") and item.drive_id is None:
        message = "This role is not valid for items that are not in a shared drive."
        raise GoogleError(403, "cannotShareTeamDriveOnlyRole", message)
    if kind in ("domain", "anyone") and "sendNotificationEmail" in request.query:
        message = "sendNotificationEmail is for users and groups only."
        raise GoogleError(400, "invalid", message, location="sendNotificationEmail")
    _check_grantee(request, kind, said)


def _check_grantee(request: Request, kind: str, said: dict[str, Any]) -> None:
    email = str(said.get("emailAddress", ""))
    named = said.get("domain") if kind == "domain" else kind == "anyone" or "@" in email
    if not named:
        what = "domain" if kind == "domain" else "emailAddress"
        message = (
            f"The specified {what} is invalid or not applicable for the given permission type."
        )
        raise GoogleError(400, "invalid", message, location=f"permission.{what}")
    if email.endswith(NO_ACCOUNT) and request.first("sendNotificationEmail") == "false":
        message = (
            f'Bad Request. User message: "You are trying to invite {email}. Since there is no '
            "Google account associated with this email address, you must check the "
            '\\"Notify people\\" box to invite this recipient."'
        )
        raise GoogleError(400, "invalidSharingRequest", message)


def _permission(said: dict[str, Any]) -> dict[str, Any]:
    kind = said["type"]
    shown = {"kind": "drive#permission", "type": kind, "role": said["role"]}
    if kind == "anyone":
        shown["id"] = "anyone" if said.get("allowFileDiscovery") else "anyoneWithLink"
    else:
        grantee = str(said["domain" if kind == "domain" else "emailAddress"]).lower()
        number = int.from_bytes(hashlib.sha256(grantee.encode()).digest()[:8], "big")
        shown |= {"id": f"{number:020d}", "displayName": grantee.partition("@")[0]}
        shown["domain" if kind == "domain" else "emailAddress"] = grantee
    if kind in ("domain", "anyone"):
        return shown | {"allowFileDiscovery": bool(said.get("allowFileDiscovery", False))}
    return shown | {"deleted": False, "pendingOwner": False}


ROUTES = [
    Route(
        "POST",
        re.compile(r"/drive/v3/files/(?P<file_id>[^/]+)/permissions"),
        create,
        "permissions.create",
        EDIT,
        WRITE,
    ),
]
