"""The ASGI application: finds the route, checks the bearer, spends quota, applies faults, answers.

Holds no rule of Drive, Forms or OAuth: those are in the route modules. Runs under uvicorn in one
process; nothing here blocks the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from emulator import (
    control_api,
    drive_about,
    drive_changes,
    drive_export,
    drive_files,
    drive_media,
    drive_share,
    drive_upload,
    drive_write,
    forms,
    oauth,
)
from emulator.faults import ConnectionCut, Fault, spoil
from emulator.http import (
    GoogleError,
    Request,
    Response,
    Route,
    google_error,
    insufficient_scope,
    unauthenticated,
)
from emulator.world import World

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Scope = dict[str, Any]

CONTROL_PREFIX = "/_control/"
ROUTES: list[Route] = [
    *drive_media.ROUTES,
    *drive_write.ROUTES,
    *drive_files.ROUTES,
    *drive_upload.ROUTES,
    *drive_share.ROUTES,
    *drive_export.ROUTES,
    *drive_changes.ROUTES,
    *drive_about.ROUTES,
    *forms.ROUTES,
    *oauth.ROUTES,
    *control_api.ROUTES,
]


class Emulator:
    """The ASGI callable over one World."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._routes: dict[str, list[Route]] = {}
        for route in ROUTES:
            self._routes.setdefault(route.method, []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the emulator speaks HTTP only, not {scope['type']}")
        request = _request_from(scope, await _body(receive))
        if request.path.startswith(CONTROL_PREFIX):
            await _Stream(send, receive).send(await self._answer(request))
            return
        faults = self._world.faults.pick(request)
        response = await self._faulty_answer(request, faults)
        self._world.counters.statuses[str(response.status)] += 1
        spoiler = next((f for f in faults if f.spoils_body and response.status < 400), None)
        stream = _Stream(send, receive, self._world)
        try:
            await stream.send(response, spoiler)
        except ConnectionCut:
            return  # the server closes a connection whose answer is not finished

    async def _faulty_answer(self, request: Request, faults: list[Fault]) -> Response:
        for fault in faults:
            self._world.counters.faults += 1
            if fault.delay_s:
                await asyncio.sleep(fault.delay_s)
            fault.spoil_request(request)
            refusal = fault.refusal()
            if refusal is not None:
                self._world.counters.requests["fault"] += 1
                if fault.late:
                    await self._answer(request)
                return refusal
        return await self._answer(request)

    async def _answer(self, request: Request) -> Response:
        for route in self._routes.get(request.method, ()):
            match = route.pattern.fullmatch(request.path)
            if match is None or (route.alt_media and request.first("alt") != "media"):
                continue
            self._world.counters.requests[route.kind] += 1
            try:
                self._admit(request, route)
                return await route.call(request, self._world, **match.groupdict())
            except GoogleError as error:
                return error.response
        self._world.counters.requests["unknown"] += 1
        return google_error(404, "notFound", "Not Found")

    def _admit(self, request: Request, route: Route) -> None:
        """Set the caller's account and scopes; refuse who may not call, or calls too often."""
        if route.scopes is None:
            return
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        access = self._world.oauth.access(token) if kind.lower() == "bearer" else None
        account = self._world.accounts.get(access.grant.sub) if access else None
        if access is None or account is None:
            raise unauthenticated()
        request.account, request.scopes = account, access.scopes
        request.client_id = access.grant.client_id
        if request.scopes.isdisjoint(route.scopes):
            raise insufficient_scope(route.kind)
        if route.units:
            self._world.quota.spend(account.sub, route.units)
            self._world.counters.units[account.email] += route.units


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _request_from(scope: Scope, body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    raw_query = scope["query_string"].decode("latin-1")
    path = scope["path"]
    host = headers.get("host") or "{}:{}".format(*scope["server"])
    return Request(
        method=scope["method"],
        path=path,
        query=parse_qs(raw_query, keep_blank_values=True) if raw_query else {},
        headers=headers,
        body=body,
        base_url=f"{scope['scheme']}://{host}",
        target=f"{path}?{raw_query}" if raw_query else path,
    )


class _Stream:
    """Sends one response; stops making bytes when the client has gone."""

    def __init__(self, send: Send, receive: Receive, world: World | None = None) -> None:
        self._send = send
        self._receive = receive
        self._world = world  # None: bytes are not counted

    async def send(self, response: Response, fault: Fault | None = None) -> None:
        """Send it all, as the fault spoils it; raises ConnectionCut where the rest is missing."""
        body = response.body
        if fault is not None and fault.cuts_answer and not body:
            body = b" "  # there must be something for the connection to be cut before
        await self._send(_head(response, len(body) if isinstance(body, bytes) else response.length))
        if isinstance(body, bytes) and fault is None:
            self._count(len(body))
            await self._send({"type": "http.response.body", "body": body})
            return
        chunks = _whole(body) if isinstance(body, bytes) else body
        gone = asyncio.ensure_future(self._receive())
        try:
            await self._send_chunks(chunks if fault is None else spoil(chunks, fault), gone)
        finally:
            gone.cancel()

    async def _send_chunks(
        self, chunks: AsyncIterator[bytes], gone: asyncio.Future[dict[str, Any]]
    ) -> None:
        async for chunk in chunks:
            self._count(len(chunk))
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)  # sending alone gives the loop no turn to see a disconnect
            if gone.done():
                raise ConnectionCut
        await self._send({"type": "http.response.body", "body": b""})

    def _count(self, count: int) -> None:
        if self._world is not None:
            self._world.counters.bytes_served += count


def _head(response: Response, length: int | None) -> dict[str, Any]:
    headers = [(n.lower().encode(), v.encode("latin-1")) for n, v in response.headers]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    return {"type": "http.response.start", "status": response.status, "headers": headers}


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body
