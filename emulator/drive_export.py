"""Ways to the content of Workspace documents: files.export, files.download with its operations,
and the exportLinks.

Rules from the discovery document and developers.google.com/drive/api/guides/manage-downloads.
Every body is built anew with a stamp, so no two exports are equal; what was served is kept in
`world.served_exports`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time
from typing import Any

from emulator.access import READ_CONTENT, visible
from emulator.documents import build
from emulator.drive_media import refuse_download, stream_whole
from emulator.fields import parse_mask
from emulator.formats import DOWNLOAD_ONLY_FORMATS, EXPORT_FORMATS, MIME_OF_EXTENSION
from emulator.http import GoogleError, Request, Response, Route, invalid, json_response, not_found
from emulator.items import Item
from emulator.quota import DOWNLOAD, READ
from emulator.world import DownloadOperation, ServedExport, World

EXPORT_LIMIT = 10 * 1024 * 1024
POLLS_BEFORE_DONE = 2
_INTERNAL = 13  # google.rpc.Code.INTERNAL
_TYPE = "type.googleapis.com/google.apps.drive.v3."


async def export(request: Request, world: World, file_id: str) -> Response:
    """files.export: one format, at most 10 MB."""
    _, item = visible(request, file_id, any_drive=True)
    mime_type = request.first("mimeType")
    if not mime_type:
        raise GoogleError(400, "required", "Required parameter: mimeType", location="mimeType")
    _check_exportable(item, mime_type)
    if item.refuses("no_export"):
        raise GoogleError(500, "internalError", "Internal Error")
    body = await _body(item, mime_type)
    if len(body) > EXPORT_LIMIT:
        message = "This file is too large to be exported."
        raise GoogleError(403, "exportSizeLimitExceeded", message)
    return _served(world, item, mime_type, body, "export")


async def follow_export_link(request: Request, world: World) -> Response:
    """An exportLink: the same formats, no limit of size, no quota of the Drive API."""
    _, item = visible(request, request.first("id"), any_drive=True)
    mime_type = MIME_OF_EXTENSION.get(request.first("exportFormat"), "")
    _check_exportable(item, mime_type)
    return _served(world, item, mime_type, await _body(item, mime_type), "exportLinks")


async def download(request: Request, world: World, file_id: str) -> Response:
    """files.download: starts an operation that ends in a downloadUri."""
    _, item = visible(request, file_id, any_drive=True)
    refuse_download(item)
    mime_type = request.first("mimeType")
    if item.content is None:
        formats = _formats(item) + DOWNLOAD_ONLY_FORMATS.get(item.mime_type, [])
        if not formats:
            raise _not_exportable()
        mime_type = mime_type or formats[0]
        if mime_type not in formats:
            raise _no_such_conversion()
    elif mime_type:
        raise invalid("mimeType")
    name = "AG" + secrets.token_urlsafe(30)
    world.operations[name] = DownloadOperation(
        item.id, mime_type, request.user.sub, POLLS_BEFORE_DONE
    )
    return _masked(request, _operation_json(name, done=False))


async def get_operation(request: Request, world: World, name: str) -> Response:
    """operations.get: not done at first, then a downloadUri or an error."""
    operation = _own_operation(request, world, name)
    if operation.polls_left > 0:
        operation.polls_left -= 1
        return _masked(request, _operation_json(name, done=False))
    found = request.user.find(operation.file_id)
    if found is None or found[1].refuses("no_operation"):
        failure = {"code": _INTERNAL, "message": "The file could not be prepared for download."}
        return _masked(request, _operation_json(name, done=True) | {"error": failure})
    answer = {
        "@type": _TYPE + "DownloadFileResponse",
        "downloadUri": f"{request.base_url}/download/drive/v3/operations/{name}:download?alt=media",
        "partialDownloadAllowed": found[1].content is not None,
    }
    return _masked(request, _operation_json(name, done=True) | {"response": answer})


async def redirect_download(request: Request, world: World, name: str) -> Response:
    """A downloadUri: Google sends the client on to where the bytes are."""
    _own_operation(request, world, name)
    place = f"{request.base_url}/download/drive/v3/operations/{name}:content"
    return Response(302, [("Location", place)])


async def operation_content(request: Request, world: World, name: str) -> Response:
    """The bytes of a finished operation."""
    operation = _own_operation(request, world, name)
    found = request.user.find(operation.file_id)
    if found is None or operation.polls_left > 0 or found[1].refuses("no_operation"):
        raise not_found(operation.file_id)
    item = found[1]
    if item.content is not None:
        world.counters.downloads[item.id] += 1
        return stream_whole(item.mime_type, item.content)
    body = await _body(item, operation.mime_type)
    return _served(world, item, operation.mime_type, body, "download")


def _formats(item: Item) -> list[str]:
    return EXPORT_FORMATS.get(item.mime_type, []) if item.exportable else []


def _check_exportable(item: Item, mime_type: str) -> None:
    if item.content is not None or not _formats(item):
        raise _not_exportable()
    refuse_download(item)
    if mime_type not in _formats(item):
        raise _no_such_conversion()


def _not_exportable() -> GoogleError:
    return GoogleError(403, "fileNotExportable", "Export only supports Docs Editors files.")


def _no_such_conversion() -> GoogleError:
    message = "The requested conversion is not supported."
    return GoogleError(400, "badRequest", message, location="convertTo")


async def _body(item: Item, mime_type: str) -> bytes:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    stamp = f"exported {moment} {secrets.token_hex(8)} of version {item.version}"
    if item.export_bytes:
        return await asyncio.to_thread(build, mime_type, item.name, stamp, item.export_bytes)
    return build(mime_type, item.name, stamp)


def _served(world: World, item: Item, mime_type: str, body: bytes, via: str) -> Response:
    world.counters.downloads[item.id] += 1
    digest = hashlib.sha256(body).hexdigest()
    served = ServedExport(mime_type, len(body), digest, via, item.version)
    world.served_exports.setdefault(item.id, []).append(served)
    return Response(200, [("Content-Type", mime_type), ("Cache-Control", "no-cache")], body)


def _own_operation(request: Request, world: World, name: str) -> DownloadOperation:
    operation = world.operations.get(name)
    if operation is None or operation.sub != request.user.sub:
        raise GoogleError(404, "notFound", f"Operation not found: {name}.", location="name")
    return operation


def _operation_json(name: str, *, done: bool) -> dict[str, Any]:
    return {"name": name, "done": done, "metadata": {"@type": _TYPE + "DownloadFileMetadata"}}


def _masked(request: Request, answer: dict[str, Any]) -> Response:
    fields = request.first("fields")
    return json_response(parse_mask(fields).apply(answer) if fields else answer)


_FILE = r"/drive/v3/files/(?P<file_id>[^/]+)"
_OPERATION = r"/download/drive/v3/operations/(?P<name>[^/:]+)"
_LINKS = r"/feeds/download/documents/export/Export|/feeds/download/\w+/Export|/spreadsheets/export"

ROUTES = [
    Route("GET", re.compile(_FILE + "/export"), export, "files.export", DOWNLOAD, READ_CONTENT),
    Route("GET", re.compile(_LINKS), follow_export_link, "exportLinks", 0, READ_CONTENT),
    Route(
        "POST", re.compile(_FILE + "/download"), download, "files.download", DOWNLOAD, READ_CONTENT
    ),
    Route(
        "GET",
        re.compile(r"/drive/v3/operations/(?P<name>[^/]+)"),
        get_operation,
        "operations.get",
        READ,
        READ_CONTENT,
    ),
    Route(
        "GET",
        re.compile(_OPERATION + ":download"),
        redirect_download,
        "downloadUri",
        0,
        READ_CONTENT,
    ),
    Route(
        "GET",
        re.compile(_OPERATION + ":content"),
        operation_content,
        "downloadUri",
        0,
        READ_CONTENT,
    ),
]
