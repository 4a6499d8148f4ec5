"""files.create, files.update and files.delete without media, and files.generateIds, of Drive v3."""

from __future__ import annotations

import re

from emulator import writing
from emulator.access import WRITE, writable
from emulator.drive_files import render_files
from emulator.fields import parse_mask
from emulator.http import GoogleError, Request, Response, Route, json_response
from emulator.items import Item
from emulator.mutations import mutate
from emulator.quota import EDIT, READ
from emulator.resources import DEFAULT_FILE
from emulator.world import World

MAX_IDS = 1000


async def generate_ids(request: Request, world: World) -> Response:
    """files.generateIds: 10 unless asked for up to 1000."""
    raw = request.first("count", "10")
    if not raw.isdecimal() or not 1 <= int(raw) <= MAX_IDS:
        message = f"Invalid value '{raw}'. Values must be within the range: [1, {MAX_IDS}]"
        raise GoogleError(400, "invalidParameter", message, location="count")
    answer = {
        "kind": "drive#generatedIds",
        "space": request.first("space", "drive"),
        "ids": writing.new_ids(world, request.user.sub, int(raw)),
    }
    return json_response(parse_mask(request.first("fields") or "*").apply(answer))


async def create(request: Request, world: World) -> Response:
    """files.create of what has no bytes: folders, shortcuts, empty files and documents."""
    return await answer_file(request, writing.create(request, world, request.json(), None))


async def update(request: Request, world: World, file_id: str) -> Response:
    """files.update of metadata."""
    _, item = writable(request, file_id)
    return await answer_file(request, writing.update(request, world, item, request.json(), None))


async def delete(request: Request, world: World, file_id: str) -> Response:
    """files.delete: for ever, with everything below it."""
    _, item = writable(request, file_id)
    mutate(world, request.user, {"op": "delete", "id": item.id})
    return Response(204)


async def answer_file(request: Request, item: Item) -> Response:
    """The File resource of what was written, in the fields that were asked for."""
    mask = parse_mask(request.first("fields") or DEFAULT_FILE)
    return json_response((await render_files(request, [item], mask))[0])


_FILE = re.compile(r"/drive/v3/files/(?P<file_id>[^/]+)")

ROUTES = [
    Route(
        "GET",
        re.compile(r"/drive/v3/files/generateIds"),
        generate_ids,
        "files.generateIds",
        READ,
        WRITE,
    ),
    Route("POST", re.compile(r"/drive/v3/files"), create, "files.create", EDIT, WRITE),
    Route("PATCH", _FILE, update, "files.update", EDIT, WRITE),
    Route("DELETE", _FILE, delete, "files.delete", EDIT, WRITE),
]
