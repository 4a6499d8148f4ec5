"""Push channels: opened as asked, called when something changes, closed for good."""

from __future__ import annotations

import http.server
import queue
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncapp import errors
from syncapp.sources.google_drive import GoogleDriveSource
from syncapp.types import Watch
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.sources.conftest import drive_source
from tests.sources.scripted_google import as_json, scripted_google

WAIT_S = 10
PUBLIC = "https://backup.example.com/hooks/google-drive/"


@pytest.fixture(scope="module")
def changing() -> Iterator[RunningEmulator]:
    with running_emulator("sample") as running:
        yield running


@pytest.fixture
def hook() -> Iterator[tuple[str, queue.Queue[dict[str, str]]]]:
    """An address, and the headers of each call to it."""
    calls: queue.Queue[dict[str, str]] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.put({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet: the test looks at `calls`."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", calls
    server.shutdown()
    thread.join()
    server.server_close()


def opened(source: GoogleDriveSource, address: str, scope: str = "user", **more: Any) -> Watch:
    asked = {"channel_id": str(uuid.uuid4()), "token": "secret", "ttl_s": 600} | more
    return source.watch(source.start_cursor(), scope, address=address, **asked)


def states(calls: queue.Queue[dict[str, str]], count: int) -> list[str]:
    return [calls.get(timeout=WAIT_S)["x-goog-resource-state"] for _ in range(count)]


@pytest.mark.parametrize("of_drive", [False, True])
def test_channel_is_called_with_its_token_when_its_log_grows(
    changing: RunningEmulator, hook: tuple[str, queue.Queue[dict[str, str]]], of_drive: bool
) -> None:
    address, calls = hook
    drive_id = changing.control.accounts()[0]["drives"][0]["id"]
    channel = opened(drive_source(changing), address, drive_id if of_drive else "user")
    first = calls.get(timeout=WAIT_S)
    assert (first["x-goog-channel-id"], first["x-goog-channel-token"]) == (
        channel.channel_id,
        "secret",
    )
    assert first["x-goog-resource-id"] == channel.resource_id
    changing.control.create("told.txt", b"a", drive_id="" if of_drive else drive_id)  # another log
    changing.control.create("told.txt", b"a", drive_id=drive_id if of_drive else "")
    assert calls.get(timeout=WAIT_S)["x-goog-resource-state"] == "change"
    drive_source(changing).stop_watching(channel.channel_id, channel.resource_id)
    assert calls.empty()


def test_stopped_channel_is_called_no_more_and_may_be_stopped_again(
    changing: RunningEmulator, hook: tuple[str, queue.Queue[dict[str, str]]]
) -> None:
    address, calls = hook
    source = drive_source(changing)
    old, new = opened(source, address), opened(source, address)
    assert states(calls, 2) == ["sync", "sync"]
    source.stop_watching(old.channel_id, old.resource_id)
    source.stop_watching(old.channel_id, old.resource_id)
    changing.control.create("told.txt", b"a")
    assert calls.get(timeout=WAIT_S)["x-goog-channel-id"] == new.channel_id
    source.stop_watching(new.channel_id, new.resource_id)
    assert calls.empty()


def test_channel_ends_when_the_service_says_and_not_when_it_was_asked_to(
    changing: RunningEmulator,
) -> None:
    source = drive_source(changing)
    now = datetime.now(UTC)
    short, long = opened(source, PUBLIC), opened(source, PUBLIC, ttl_s=30 * 24 * 3600)
    assert abs(short.expires_at - now - timedelta(seconds=600)) < timedelta(seconds=30)
    assert long.expires_at - now < timedelta(days=7, seconds=30)
    for channel in (short, long):
        source.stop_watching(channel.channel_id, channel.resource_id)


def test_refused_address_is_a_permanent_error(changing: RunningEmulator) -> None:
    with pytest.raises(errors.PermanentError):
        opened(drive_source(changing), "http://backup.example.com/plain")


def test_log_without_a_position_is_not_watched(changing: RunningEmulator) -> None:
    with pytest.raises(errors.CursorRejected):
        opened(drive_source(changing), PUBLIC, "no such drive")


def test_channel_without_an_end_is_an_error() -> None:
    with scripted_google(lambda request: as_json({"id": "c", "resourceId": "r"})) as google:
        source = google.source()
        with pytest.raises(errors.Unavailable):
            source.watch({"user": "1"}, "user", channel_id="c", token="t", address=PUBLIC, ttl_s=60)
