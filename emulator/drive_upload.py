"""files.create and files.update with media: simple, multipart and resumable uploads of Drive v3.

Follows developers.google.com/workspace/drive/api/guides/manage-uploads: a session's pieces are
answered by 308 with the Range that is held, the last one by the file; a session that has ended is
a 404. The session's address alone allows sending to it, as at Google.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any

import orjson

from emulator import writing
from emulator.access import WRITE, writable
from emulator.drive_write import answer_file
from emulator.http import GoogleError, Request, Response, Route
from emulator.items import Item
from emulator.quota import EDIT
from emulator.uploads import (
    IN_MEMORY,
    STEP,
    BadUpload,
    Media,
    Received,
    Span,
    UploadSession,
    parse_range,
    split_related,
)
from emulator.world import World

PATH = "/upload/drive/v3/files"


async def create(request: Request, world: World) -> Response:
    """POST: a new file, or a session that will become one; or a piece, as rclone sends them."""
    if request.first("upload_id"):
        return await send(request, world)
    return await _upload(request, world, "")


async def update(request: Request, world: World, file_id: str) -> Response:
    """PATCH: new content of a file, or a session for it."""
    return await _upload(request, world, writable(request, file_id)[1].id)


async def send(request: Request, world: World, file_id: str = "") -> Response:
    """To a session: one piece, all of it, or the question how far it is."""
    session = world.uploads.get(request.first("upload_id"))
    if session is None:
        raise GoogleError(404, "notFound", "The upload session was not found or has expired.")
    request.account = world.accounts[session.sub]
    request.client_id, request.scopes = session.client_id, session.scopes
    request.query = session.query
    async with session.turn:
        try:
            span = parse_range(request.headers.get("content-range", ""), len(request.body))
            return await _advance(request, world, session, span)
        except BadUpload as error:
            raise GoogleError(400, "badRequest", str(error)) from error


async def _upload(request: Request, world: World, target: str) -> Response:
    way = request.first("uploadType")
    try:
        if way == "resumable":
            return _begin(request, world, target)
        if way == "multipart":
            kind = request.headers.get("content-type", "")
            metadata, data, media_type = split_related(kind, request.body)
            said = _metadata(metadata)
        elif way == "media":
            data, media_type = request.body, request.headers.get("content-type", "")
            said = {}
        else:
            raise GoogleError(400, "badRequest", "Bad Request", location="uploadType")
    except BadUpload as error:
        raise GoogleError(400, "badContent", str(error)) from error
    received = Received()
    await _append(received, data)
    media = Media(received.content(), media_type)
    return await answer_file(request, _keep(request, world, target, said, media))


def _begin(request: Request, world: World, target: str) -> Response:
    said = request.json()
    length = request.headers.get("x-upload-content-length", "")
    total = int(length) if length.isdecimal() else None
    if not target:
        writing.check_new(request, world, said, total or 0)
    session = UploadSession(
        id="A" + secrets.token_urlsafe(60),
        sub=request.user.sub,
        client_id=request.client_id,
        scopes=request.scopes,
        query=request.query,
        said=said,
        target=target,
        mime_type=request.headers.get("x-upload-content-type", ""),
        total=total,
    )
    world.uploads[session.id] = session
    place = f"{request.base_url}{request.path}?uploadType=resumable&upload_id={session.id}"
    return Response(200, [("Location", place), ("X-GUploader-UploadID", session.id)])


async def _advance(request: Request, world: World, session: UploadSession, span: Span) -> Response:
    if session.done:
        return await answer_file(request, _item(request, session.done))
    if session.total is not None and span.total not in (None, session.total):
        raise BadUpload("The size is not the one that was announced.")
    received = session.received
    if span.start is not None:
        if span.start != received.size:
            raise BadUpload(
                f"The piece begins at {span.start}, but {received.size} bytes are held."
            )
        await _append(received, _arriving(request))
    total = span.total if span.total is not None else session.total
    if total is None or received.size < total:
        held = [("Range", f"bytes=0-{received.size - 1}")] if received.size else []
        return Response(308, held)
    media = Media(received.content(), session.mime_type)
    try:
        item = _keep(request, world, session.target, session.said, media)
    except GoogleError:
        del world.uploads[session.id]
        raise
    session.done = item.id
    return await answer_file(request, item)


def _arriving(request: Request) -> bytes:
    """The piece, or what arrives of it before a fault cuts the connection: whole steps."""
    if not 0 <= request.taken < len(request.body):
        return request.body
    return request.body[: request.taken // STEP * STEP]


async def _append(received: Received, data: bytes) -> None:
    if len(data) > IN_MEMORY:
        await asyncio.to_thread(received.append, data)
    else:
        received.append(data)


def _keep(request: Request, world: World, target: str, said: dict[str, Any], media: Media) -> Item:
    if target:
        return writing.update(request, world, _item(request, target), said, media)
    return writing.create(request, world, said, media)


def _item(request: Request, file_id: str) -> Item:
    return writable(request, file_id)[1]


def _metadata(raw: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadUpload("Parse Error") from error
    if not isinstance(said, dict):
        raise BadUpload("Parse Error")
    return said


_NEW = re.compile(f"(?:/resumable)?{PATH}")
_OLD = re.compile(f"(?:/resumable)?{PATH}/(?P<file_id>[^/]+)")

ROUTES = [
    Route("POST", _NEW, create, "files.create", EDIT, WRITE),
    Route("PATCH", _OLD, update, "files.update", EDIT, WRITE),
    Route("PUT", _NEW, send, "files.upload"),
    Route("PUT", _OLD, send, "files.upload"),
    Route("POST", _OLD, send, "files.upload"),
]
