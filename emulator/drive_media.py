"""alt=media: the bytes of a blob, whole or a range, streamed without being held.

Only blobs have bytes; Workspace documents are exported (`drive_export.py`). Range follows
RFC 9110 §14 for one range; Google answers 416 `bytes */0` for any range of an empty file.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from emulator.access import READ_CONTENT, visible
from emulator.content import Content
from emulator.http import GoogleError, Request, Response, Route
from emulator.items import Item
from emulator.quota import DOWNLOAD
from emulator.world import World

CHUNK = 512 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def get_media(request: Request, world: World, file_id: str) -> Response:
    """files.get with alt=media."""
    # Media needs no supportsAllDrives: rclone reads shared drives at Google without sending it.
    _, item = visible(request, file_id, any_drive=True)
    content = _allowed_content(request, item)
    span = _requested(request.headers.get("range", ""), content.size)
    world.counters.downloads[item.id] += 1
    headers = [
        ("Content-Type", item.mime_type),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "private, max-age=0, must-revalidate"),
    ]
    if span is None:
        return _stream(200, headers, content, 0, content.size)
    start, stop = span
    headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{content.size}"))
    return _stream(206, headers, content, start, stop)


def stream_whole(mime_type: str, content: Content) -> Response:
    """All bytes of a blob, with no question asked."""
    return _stream(200, [("Content-Type", mime_type)], content, 0, content.size)


def refuse_download(item: Item) -> None:
    """Raise what Google answers for an item whose bytes or exports the caller may not have."""
    if item.refuses("no_download"):
        message = "This file cannot be downloaded by the user."
        raise GoogleError(403, "cannotDownloadFile", message)


def _allowed_content(request: Request, item: Item) -> Content:
    if item.content is None:
        raise GoogleError(
            403,
            "fileNotDownloadable",
            "Only files with binary content can be downloaded. Use Export with Docs Editors files.",
            location="alt",
        )
    refuse_download(item)
    mine = item.owner is not None and item.owner.sub == request.user.sub
    if item.refuses("abusive") and not (request.flag("acknowledgeAbuse") and mine):
        raise GoogleError(
            403,
            "cannotDownloadAbusiveFile",
            "This file has been identified as malware or spam and cannot be downloaded.",
        )
    return item.content


def _requested(header: str, size: int) -> tuple[int, int] | None:
    """The [start, stop) that a Range header asks for; None for the whole file."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.group(0) == "bytes=-":
        return None  # no range, or one that RFC 9110 lets a server ignore
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    else:
        start, stop = max(0, size - int(last)), size
    if start >= size or start >= stop:
        raise _unsatisfiable(size)
    return start, stop


def _unsatisfiable(size: int) -> GoogleError:
    error = GoogleError(
        416,
        "requestedRangeNotSatisfiable",
        "Request range not satisfiable",
        location="Range",
        location_type="header",
    )
    error.response.headers.append(("Content-Range", f"bytes */{size}"))
    return error


def _stream(
    status: int, headers: list[tuple[str, str]], content: Content, start: int, stop: int
) -> Response:
    if stop - start <= CHUNK:
        return Response(status, headers, content.read(start, stop))
    return Response(status, headers, _chunks(content, start, stop), length=stop - start)


async def _chunks(content: Content, start: int, stop: int) -> AsyncIterator[bytes]:
    for position in range(start, stop, CHUNK):
        yield content.read(position, min(position + CHUNK, stop))


ROUTES = [
    Route(
        "GET",
        re.compile(r"/drive/v3/files/(?P<file_id>[^/]+)"),
        get_media,
        "files.media",
        DOWNLOAD,
        READ_CONTENT,
        alt_media=True,
    ),
]
