"""files.list and files.get of Drive v3.

Listing order is the order of creation and never sorted (`orderBy` is accepted and, as at Google
on large sets, ignored). Page tokens are positions, so a list under change neither repeats nor
skips an unchanged item.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from emulator.access import READ_METADATA, reached, visible
from emulator.fields import Mask, parse_mask
from emulator.http import GoogleError, Request, Response, Route, invalid, json_response
from emulator.items import Item
from emulator.query import Query, parse_query
from emulator.quota import LIST, READ
from emulator.resources import DEFAULT_FILE, FileRenderer
from emulator.stencil import Stencil
from emulator.synthetic import LazyFile
from emulator.world import Corpus, World

DEFAULT_LIST = f"kind,incompleteSearch,nextPageToken,files({DEFAULT_FILE})"
MAX_PAGE = 1000
HIDDEN_STEP = 3  # an incomplete search misses every third item


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page starts: the how-manieth corpus of the search, and the ordinal in it."""

    corpus: int = 0
    ordinal: int = 0


def page_size(request: Request, default: int, maximum: int = MAX_PAGE) -> int:
    """The pageSize parameter, or Google's 400 when out of range."""
    raw = request.first("pageSize", str(default))
    if not raw.isdecimal() or not 1 <= int(raw) <= maximum:
        message = f"Invalid value '{raw}'. Values must be within the range: [1, {maximum}]"
        raise GoogleError(400, "invalidParameter", message, location="pageSize")
    return int(raw)


async def list_files(request: Request, world: World) -> Response:
    """files.list."""
    if request.first("spaces", "drive") != "drive":
        raise invalid("spaces")
    size = page_size(request, 100)
    if request.short_page:
        size = max(1, size // 2)
    query = parse_query(request.first("q"), request.user.corpus.root.id)
    corpora = _searched(request, query)
    start = _start(request, world)
    # One more than the page tells whether there is a next one.
    found = list(islice(_matches(request, corpora, query, start), size + 1))
    mask = parse_mask(request.first("fields") or DEFAULT_LIST)
    answer: dict[str, Any] = {"kind": "drive#fileList", "incompleteSearch": request.incomplete}
    if len(found) > size:
        corpus, item = found[size]
        answer["nextPageToken"] = _token(request, world, Position(corpus, item.ordinal))
    items = [item for _, item in found[:size]]
    if request.incomplete:
        items = [item for place, item in enumerate(items) if place % HIDDEN_STEP]
    shown = {key: value for key, value in answer.items() if mask.wants(key)}
    if mask.wants("files"):
        shown["files"] = await render_files(request, items, mask.within("files"))
    return json_response(shown)


async def get_file(request: Request, world: World, file_id: str) -> Response:
    """files.get without alt=media."""
    _, item = visible(request, file_id)
    mask = parse_mask(request.first("fields") or DEFAULT_FILE)
    return json_response((await render_files(request, [item], mask))[0])


async def render_files(request: Request, items: list[Item], mask: Mask) -> list[Any]:
    """The File resources of items; hashes of large blobs are computed off the event loop."""
    renderer = FileRenderer(mask, request.user, request.base_url)
    stencil: Stencil | None = None
    shown: list[Any] = []
    for item in items:
        if isinstance(item, LazyFile):
            stencil = stencil or Stencil(renderer.render)
            shown.append(stencil.fill(item))
            continue
        for name in renderer.missing_hashes(item):
            if item.content is not None:
                await asyncio.to_thread(item.content.digest, name)
        shown.append(renderer.render(item))
    return shown


def _searched(request: Request, query: Query) -> list[Corpus]:
    """The corpora that a list request covers, as `corpora`, `driveId` and the flags say."""
    account = request.user
    everywhere = (
        request.flag("includeItemsFromAllDrives") or request.flag("includeTeamDriveItems")
    ) and (request.flag("supportsAllDrives") or request.flag("supportsTeamDrives"))
    drive_id = request.first("driveId") or request.first("teamDriveId")
    corpora = request.first("corpora") or ("drive" if drive_id else "user")
    if corpora == "drive":
        if not drive_id or not everywhere:
            raise invalid("driveId" if everywhere else "includeItemsFromAllDrives")
        if drive_id not in account.drives:
            raise GoogleError(
                404, "notFound", f"Shared drive not found: {drive_id}", location="driveId"
            )
        return [account.drives[drive_id].corpus]
    if drive_id:
        raise invalid("driveId")
    if corpora == "allDrives" and not everywhere:
        raise invalid("includeItemsFromAllDrives")
    if corpora == "allDrives" or (corpora == "user" and everywhere and query.folders is not None):
        return list(account.corpora())
    if corpora not in ("user", "domain"):
        raise invalid("corpora")
    return [account.corpus]


def _matches(
    request: Request, corpora: list[Corpus], query: Query, start: Position
) -> Iterator[tuple[int, Item]]:
    for place in range(start.corpus, len(corpora)):
        first = start.ordinal if place == start.corpus else 0
        for item in _candidates(corpora[place], query, first):
            if query.keeps(item) and reached(request, item):
                yield place, item


def _candidates(corpus: Corpus, query: Query, first: int) -> Iterator[Item]:
    if query.folders is None:
        yield from corpus.items.scan(first)
        return
    folders = (corpus.items.children(folder, first) for folder in query.folders)
    last = -1
    for item in heapq.merge(*folders, key=lambda item: item.ordinal):
        if item.ordinal != last:  # an old item with two parents comes once
            yield item
        last = item.ordinal


def _search_mark(request: Request) -> str:
    names = ("q", "corpora", "driveId", "includeItemsFromAllDrives", "supportsAllDrives")
    said = "\n".join([request.user.sub, *(request.first(name) for name in names)])
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _token(request: Request, world: World, position: Position) -> str:
    parts = [world.page_generation, _search_mark(request), position.corpus, position.ordinal]
    return "~!!~" + base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def _start(request: Request, world: World) -> Position:
    """Where the page token points; a stale, foreign or broken token is Google's 400."""
    token = request.first("pageToken")
    if not token:
        return Position()
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(token.removeprefix("~!!~")))
        generation, mark, corpus, ordinal = parts
    except (ValueError, TypeError, binascii.Error) as error:
        raise invalid("pageToken") from error
    if (generation, mark) != (world.page_generation, _search_mark(request)):
        raise invalid("pageToken")
    return Position(corpus, ordinal)


ROUTES = [
    Route("GET", re.compile(r"/drive/v3/files"), list_files, "files.list", LIST, READ_METADATA),
    Route(
        "GET",
        re.compile(r"/drive/v3/files/(?P<file_id>[^/]+)"),
        get_file,
        "files.get",
        READ,
        READ_METADATA,
    ),
]
