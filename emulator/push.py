"""Push messages of changes.watch: opening channels and really calling back.

Headers and retries as in developers.google.com/drive/api/guides/push. Only loopback addresses are
really called (over http too, and without verifying certificates); others count as unreachable.
"""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import secrets
import ssl
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from emulator.http import GoogleError, Request
from emulator.world import Channel, Corpus, World, now_ms

DEFAULT_LIFETIME_MS = 3_600_000
MAX_LIFETIME_MS = 7 * 24 * 3_600_000
MAX_ID, MAX_TOKEN = 64, 256
TIMEOUT_S = 10
RETRY_AFTER_S = (0.2, 0.5, 1.0)
RETRIED = frozenset((500, 502, 503, 504))

_tasks: set[asyncio.Task[None]] = set()  # the loop keeps only weak references


def open_channel(request: Request, world: World, corpus: Corpus) -> dict[str, Any]:
    """Open the channel that a watch request describes; its Channel resource."""
    said = request.json()
    channel_id, address = str(said.get("id", "")), str(said.get("address", ""))
    if not channel_id or len(channel_id) > MAX_ID:
        raise GoogleError(400, "required" if not channel_id else "invalid", "Invalid channel id")
    if len(str(said.get("token", ""))) > MAX_TOKEN:
        raise GoogleError(400, "invalid", "Channel token is too long")
    if said.get("type") not in ("web_hook", "webhook"):
        raise GoogleError(400, "invalid", "Unknown channel type")
    if channel_id in world.channels:
        message = f"Channel id {channel_id} not unique"
        raise GoogleError(400, "channelIdNotUnique", message)
    _check_address(address)
    channel = Channel(
        id=channel_id,
        resource_id=secrets.token_urlsafe(20),
        resource_uri=f"https://www.googleapis.com{request.target}",
        address=address,
        token=str(said.get("token", "")),
        expiration_ms=_expiration(said),
        sub=request.user.sub,
        corpus=corpus,
    )
    world.channels[channel.id] = channel
    _send_later(world, channel, "sync")
    shown: dict[str, Any] = {
        "kind": "api#channel",
        "id": channel.id,
        "resourceId": channel.resource_id,
        "resourceUri": channel.resource_uri,
        "expiration": str(channel.expiration_ms),
    }
    return shown | {"token": channel.token} if channel.token else shown


def notify(world: World, corpus: Corpus) -> None:
    """Tell every live channel of a corpus that something changed."""
    for channel in list(world.channels.values()):
        if channel.expiration_ms <= now_ms():
            del world.channels[channel.id]
        elif channel.corpus is corpus:
            _send_later(world, channel, "change")


def _expiration(said: dict[str, Any]) -> int:
    now = now_ms()
    asked = str(said.get("expiration", ""))
    if not asked.isdecimal():
        return now + DEFAULT_LIFETIME_MS
    return min(int(asked), now + MAX_LIFETIME_MS)


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return
    message = f"WebHook callback must be HTTPS: {address}"
    raise GoogleError(400, "push.webhookUrlNotHttps", message)


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _send_later(world: World, channel: Channel, state: str) -> None:
    # Numbers grow from 1 with gaps, as at Google, and are given in the order of events.
    channel.messages += 1 if channel.messages == 0 else 1 + channel.messages % 3
    task = asyncio.get_running_loop().create_task(_deliver(channel, state, channel.messages))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _deliver(channel: Channel, state: str, number: int) -> None:
    headers = _headers(channel, state, number)
    async with channel.sending:
        for pause in (*RETRY_AFTER_S, None):
            status = await asyncio.to_thread(_post, channel.address, headers)
            channel.delivered.append({"state": state, "number": number, "status": status})
            if status not in RETRIED or pause is None:
                return
            await asyncio.sleep(pause)


def _headers(channel: Channel, state: str, number: int) -> dict[str, str]:
    headers = {
        "X-Goog-Channel-ID": channel.id,
        "X-Goog-Channel-Expiration": formatdate(channel.expiration_ms / 1000, usegmt=True),
        "X-Goog-Resource-ID": channel.resource_id,
        "X-Goog-Resource-URI": channel.resource_uri,
        "X-Goog-Resource-State": state,
        "X-Goog-Message-Number": str(number),
        "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
        "Content-Length": "0",
    }
    return headers | {"X-Goog-Channel-Token": channel.token} if channel.token else headers


def _post(address: str, headers: dict[str, str]) -> int:
    """The status of the callback's answer; 0 when it cannot be reached."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if not _is_loopback(host):
        return 0
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    try:
        path = parts.path or "/"
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, b"", headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
