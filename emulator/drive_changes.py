"""changes.* and channels.stop of Drive v3: the logs that tell what changed since a token.

Entries show the current state of what changed, once per file, as at Google; a removed entry
carries only the file's id. Delivery of push messages is in `push.py`.
"""

from __future__ import annotations

import re
from typing import Any

from emulator import push
from emulator.access import READ_METADATA, reached
from emulator.drive_files import page_size, render_files
from emulator.fields import Mask, parse_mask
from emulator.http import GoogleError, Request, Response, Route, invalid, json_response
from emulator.items import Item
from emulator.quota import LIST, READ
from emulator.resources import DEFAULT_FILE, drive_json, rfc3339
from emulator.world import FIRST_TOKEN, Change, Corpus, World

DEFAULT_CHANGES = (
    "kind,nextPageToken,newStartPageToken,changes(kind,type,changeType,time,removed,fileId,"
    f"driveId,teamDriveId,file({DEFAULT_FILE}),drive(kind,id,name))"
)


async def start_page_token(request: Request, world: World) -> Response:
    """changes.getStartPageToken of the user's log or a shared drive's."""
    token = str(_corpus(request).next_token)
    return json_response({"kind": "drive#startPageToken", "startPageToken": token})


async def list_changes(request: Request, world: World) -> Response:
    """changes.list; newStartPageToken stands only on the last page."""
    corpus = _corpus(request)
    start = _start(request, corpus)
    size = page_size(request, 100)
    keep_removed = request.first("includeRemoved", "true").lower() != "false"
    entries: list[Change] = []
    place = start
    while place < len(corpus.log) and len(entries) < size:
        entry = corpus.log[place]
        hidden = corpus.latest[entry.target] != place or not _reached(request, corpus, entry)
        if not hidden and (keep_removed or not _is_gone(corpus, entry)):
            entries.append(entry)
        place += 1
    mask = parse_mask(request.first("fields") or DEFAULT_CHANGES)
    answer: dict[str, Any] = {"kind": "drive#changeList"}
    key = "nextPageToken" if place < len(corpus.log) else "newStartPageToken"
    answer[key] = str(FIRST_TOKEN + place)
    shown = {name: value for name, value in answer.items() if mask.wants(name)}
    if mask.wants("changes"):
        shown["changes"] = await _render(request, corpus, entries, mask.within("changes"))
    return json_response(shown)


async def watch(request: Request, world: World) -> Response:
    """changes.watch: opens a push channel and sends it `sync`."""
    corpus = _corpus(request)
    _start(request, corpus)
    return json_response(push.open_channel(request, world, corpus))


async def stop(request: Request, world: World) -> Response:
    """channels.stop."""
    said = request.json()
    channel = world.channels.get(str(said.get("id", "")))
    if channel is None or channel.resource_id != said.get("resourceId"):
        raise GoogleError(404, "notFound", f"Channel '{said.get('id', '')}' not found for project")
    del world.channels[channel.id]
    return Response(204)


def _corpus(request: Request) -> Corpus:
    drive_id = request.first("driveId") or request.first("teamDriveId")
    if not drive_id:
        return request.user.corpus
    if not (request.flag("supportsAllDrives") or request.flag("supportsTeamDrives")):
        raise invalid("supportsAllDrives")
    drive = request.user.drives.get(drive_id)
    if drive is None:
        message = f"Shared drive not found: {drive_id}"
        raise GoogleError(404, "notFound", message, location="driveId")
    return drive.corpus


def _start(request: Request, corpus: Corpus) -> int:
    """The place in the log where the page token points."""
    token = request.first("pageToken")
    if not token:
        raise GoogleError(400, "required", "Required parameter: pageToken", location="pageToken")
    if not token.isdecimal() or not FIRST_TOKEN <= int(token) <= corpus.next_token:
        raise invalid("pageToken")
    return int(token) - FIRST_TOKEN


def _is_gone(corpus: Corpus, entry: Change) -> bool:
    return entry.removed or (not entry.is_drive and corpus.get(entry.target) is None)


async def _render(
    request: Request, corpus: Corpus, entries: list[Change], mask: Mask
) -> list[dict[str, Any]]:
    items = {e.target: item for e in entries if (item := _item(corpus, e)) is not None}
    files: dict[str, Any] = {}
    if mask.wants("file") and items:
        rendered = await render_files(request, list(items.values()), mask.within("file"))
        files = dict(zip(items, rendered, strict=True))
    return [_change_json(request, entry, files, items, mask) for entry in entries]


def _reached(request: Request, corpus: Corpus, entry: Change) -> bool:
    item = _item(corpus, entry)
    return item is None or reached(request, item)


def _item(corpus: Corpus, entry: Change) -> Item | None:
    return None if entry.is_drive or entry.removed else corpus.get(entry.target)


def _change_json(
    request: Request,
    entry: Change,
    files: dict[str, Any],
    items: dict[str, Item],
    mask: Mask,
) -> dict[str, Any]:
    kind = "drive" if entry.is_drive else "file"
    shown: dict[str, Any] = {
        "kind": "drive#change",
        "type": kind,
        "changeType": kind,
        "time": rfc3339(entry.time_ms),
    }
    if entry.is_drive:
        drive = request.user.drives.get(entry.target)
        shown |= {"driveId": entry.target, "teamDriveId": entry.target, "removed": drive is None}
        if drive is not None:
            shown["drive"] = drive_json(drive)
    else:
        shown |= {"fileId": entry.target, "removed": entry.target not in items}
    chosen = mask.apply(shown)
    if entry.target in files:
        chosen["file"] = files[entry.target]
    return dict(chosen)


_CHANGES = r"/drive/v3/changes"

ROUTES = [
    Route(
        "GET",
        re.compile(_CHANGES + "/startPageToken"),
        start_page_token,
        "changes.getStartPageToken",
        READ,
        READ_METADATA,
    ),
    Route("GET", re.compile(_CHANGES), list_changes, "changes.list", LIST, READ_METADATA),
    Route("POST", re.compile(_CHANGES + "/watch"), watch, "changes.watch", LIST, READ_METADATA),
    Route(
        "POST", re.compile(r"/drive/v3/channels/stop"), stop, "channels.stop", READ, READ_METADATA
    ),
]
