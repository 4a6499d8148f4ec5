"""Push channels: Google calls an address of ours whenever a change log grows.

A call is only a hint to read the log. A channel can't be renewed: a new one is opened before the
old one ends. Rule followed: developers.google.com/workspace/drive/api/guides/push.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from syncapp.errors import NotFound, Unavailable
from syncapp.sources.drive_listing import USER
from syncapp.sources.google_client import GoogleClient
from syncapp.types import Watch


@dataclass(frozen=True, slots=True)
class Channel:
    """What is asked for; `token` is a secret that comes back with each call."""

    channel_id: str
    token: str
    address: str
    ttl_s: int


def watch(client: GoogleClient, page_token: str, scope: str, channel: Channel) -> Watch:
    """Open a channel on one log. Raises PermanentError if Google refuses the address."""
    body = {
        "id": channel.channel_id,
        "type": "web_hook",
        "address": channel.address,
        "token": channel.token,
        "expiration": str(int((time.time() + channel.ttl_s) * 1000)),
    }
    drive = {} if scope == USER else {"driveId": scope}
    request = client.changes.watch(
        body=body,
        pageToken=page_token,
        includeItemsFromAllDrives=True,
        supportsAllDrives=True,
        **drive,
    )
    what = "a push channel"
    answer = client.call(request, what)
    try:
        ends = datetime.fromtimestamp(int(answer["expiration"]) / 1000, UTC)
        return Watch(channel.channel_id, str(answer["resourceId"]), ends)
    except (KeyError, ValueError) as error:
        raise Unavailable(f"Google gave an answer that can't be read for {what}.") from error


def stop(client: GoogleClient, channel_id: str, resource_id: str) -> None:
    """Close a channel; one that Google no longer knows is closed."""
    request = client.channels.stop(body={"id": channel_id, "resourceId": resource_id})
    request.postproc = lambda response, content: {}  # 204: there is no body
    try:
        client.call(request, "a push channel")
    except NotFound:
        return
