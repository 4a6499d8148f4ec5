"""Change logs and push channels of the stand-in, after changes made through its control."""

from __future__ import annotations

import http.server
import queue
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.control import Control
from tests.emulator.calling import EVERYWHERE, Drive, reason
from tests.servers.emulator import RunningEmulator, running_emulator

FIELDS = "nextPageToken,newStartPageToken,changes(changeType,removed,fileId,driveId,file(name,trashed,parents,version))"  # noqa: E501
WAIT_S = 10


@pytest.fixture(scope="module")
def changing() -> Iterator[RunningEmulator]:
    with running_emulator("sample") as running:
        yield running


@pytest.fixture
def drive(changing: RunningEmulator) -> Drive:
    return Drive(changing)


@pytest.fixture
def control(changing: RunningEmulator) -> Control:
    return changing.control


def start(drive: Drive, **query: Any) -> str:
    answer = drive.get("changes/startPageToken", **query)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["startPageToken"])


def changes(drive: Drive, token: str, **query: Any) -> list[dict[str, Any]]:
    """All changes since a token; the last page alone carries the new start."""
    found = []
    while True:
        body = drive.get("changes", pageToken=token, fields=FIELDS, **query).json()
        found += body["changes"]
        assert ("newStartPageToken" in body) != ("nextPageToken" in body)
        if "newStartPageToken" in body:
            return found
        token = body["nextPageToken"]


def test_nothing_changed_is_an_empty_last_page(drive: Drive) -> None:
    token = start(drive)
    body = drive.get("changes", pageToken=token).json()
    assert (body["changes"], body["newStartPageToken"]) == ([], token)


def test_each_kind_of_change_shows_the_current_state(drive: Drive, control: Control) -> None:
    token = start(drive)
    file = control.create("made.txt", b"first")
    assert changes(drive, token)[0]["file"]["name"] == "made.txt"
    version = int(changes(drive, token)[0]["file"]["version"])
    for change in (
        lambda: control.edit(file["id"], b"second"),
        lambda: control.rename(file["id"], "renamed.txt"),
        lambda: control.move(file["id"], drive.named("Documents")["id"]),
        lambda: control.trash(file["id"]),
        lambda: control.untrash(file["id"]),
        lambda: control.set(file["id"], description="told"),
    ):
        before = start(drive)
        change()
        (entry,) = changes(drive, before)
        assert (entry["fileId"], entry["removed"]) == (file["id"], False)
        assert int(entry["file"]["version"]) > version
        version = int(entry["file"]["version"])
    (whole,) = changes(drive, token)
    assert whole["file"]["name"] == "renamed.txt"
    assert whole["file"]["parents"] == [drive.named("Documents")["id"]]


def test_an_edit_changes_bytes_hash_revision_and_time_a_rename_only_the_version(
    drive: Drive, control: Control
) -> None:
    fields = "name,md5Checksum,headRevisionId,modifiedTime,version"
    file_id = control.create("edited.txt", b"one")["id"]
    first = drive.get(f"files/{file_id}", fields=fields).json()
    control.rename(file_id, "edited later.txt")
    renamed = drive.get(f"files/{file_id}", fields=fields).json()
    assert renamed["modifiedTime"] == first["modifiedTime"]
    assert renamed["headRevisionId"] == first["headRevisionId"]
    assert int(renamed["version"]) > int(first["version"])
    control.edit(file_id, b"two")
    edited = drive.get(f"files/{file_id}", fields=fields).json()
    assert all(edited[key] != renamed[key] for key in ("md5Checksum", "headRevisionId"))
    assert edited["modifiedTime"] > renamed["modifiedTime"]
    assert drive.media(file_id).content == b"two"


@pytest.mark.parametrize("how", ["delete", "lose_access"])
def test_a_removed_entry_carries_only_the_id_and_does_not_tell_why(
    drive: Drive, control: Control, how: str
) -> None:
    folder = control.create("to vanish")
    child = control.create("inside.txt", b"x", parents=[folder["id"]])
    token = start(drive)
    getattr(control, how)(folder["id"])
    found = {entry["fileId"]: entry for entry in changes(drive, token)}
    assert set(found) == {folder["id"], child["id"]}
    assert all(entry["removed"] and "file" not in entry for entry in found.values())
    assert drive.media(child["id"]).status_code == 404
    assert changes(drive, token, includeRemoved="false") == []


def test_trashing_a_folder_writes_one_entry_but_trashes_what_is_below(
    drive: Drive, control: Control
) -> None:
    folder = control.create("to trash")
    child = control.create("below.txt", b"x", parents=[folder["id"]])
    token = start(drive)
    control.trash(folder["id"])
    assert [entry["fileId"] for entry in changes(drive, token)] == [folder["id"]]
    assert drive.get(f"files/{child['id']}", fields="trashed").json() == {"trashed": True}
    control.untrash(folder["id"])
    assert drive.get(f"files/{child['id']}", fields="trashed").json() == {"trashed": False}


def test_small_pages_bring_every_change_once(drive: Drive, control: Control) -> None:
    token = start(drive)
    made = [control.create(f"page {number}.txt", b"x")["id"] for number in range(7)]
    control.rename(made[0], "page zero.txt")
    found = [entry["fileId"] for entry in changes(drive, token, pageSize=2)]
    assert sorted(found) == sorted(made)
    assert found[-1] == made[0], "a file changed again shows once, at its last change"


@pytest.mark.parametrize("token", ["", "1", "999999999", "abc"])
def test_a_bad_page_token_is_refused(drive: Drive, token: str) -> None:
    expected = "required" if not token else "invalid"
    assert reason(drive.get("changes", pageToken=token)) == (400, expected)


def test_a_shared_drive_has_a_log_of_its_own(drive: Drive, control: Control) -> None:
    shared = drive.get("drives").json()["drives"][0]["id"]
    query = {"driveId": shared, **EVERYWHERE}
    mine, theirs = start(drive), start(drive, **query)
    file = control.create("in the team.txt", b"x", drive_id=shared, parents=[shared])
    assert changes(drive, mine) == []
    assert [entry["fileId"] for entry in changes(drive, theirs, **query)] == [file["id"]]
    assert reason(drive.get("changes/startPageToken", driveId=shared)) == (400, "invalid")


def test_leaving_a_shared_drive_is_told_in_the_users_log(drive: Drive, control: Control) -> None:
    shared = drive.get("drives").json()["drives"][1]["id"]
    token = start(drive)
    control.mutate("leave_drive", drive_id=shared)
    (entry,) = changes(drive, token)
    assert (entry["changeType"], entry["driveId"], entry["removed"]) == ("drive", shared, True)
    assert len(drive.get("drives").json()["drives"]) == 1
    control.mutate("join_drive", drive_id=shared)
    (entry,) = changes(drive, token)
    assert (entry["driveId"], entry["removed"]) == (shared, False)


class Callback:
    """A web server that keeps what was posted to it, and answers as told."""

    def __init__(self) -> None:
        self.messages: queue.Queue[dict[str, str]] = queue.Queue()
        self.answers: list[int] = []
        outer = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.messages.put({k.lower(): v for k, v in self.headers.items()})
                self.send_response(outer.answers.pop(0) if outer.answers else 204)
                self.end_headers()

            def log_message(self, *said: object) -> None:
                """Nothing: the test looks at the messages."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self) -> dict[str, str]:
        return self.messages.get(timeout=WAIT_S)


@pytest.fixture
def callback() -> Iterator[Callback]:
    listening = Callback()
    yield listening
    listening.server.shutdown()
    listening.server.server_close()


def watch(drive: Drive, callback: Callback, **more: Any) -> dict[str, Any]:
    body = {"id": str(uuid.uuid4()), "type": "web_hook", "address": callback.url, "token": "t=1"}
    answer = drive.post("changes/watch", body | more, pageToken=start(drive))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_watch_really_calls_back_first_sync_then_change(
    drive: Drive, control: Control, callback: Callback
) -> None:
    channel = watch(drive, callback)
    sync = callback.next()
    assert sync["x-goog-resource-state"] == "sync"
    assert sync["x-goog-message-number"] == "1"
    control.create("pushed.txt", b"x")
    control.create("pushed too.txt", b"x")
    told = [callback.next(), callback.next()]
    assert {message["x-goog-resource-state"] for message in told} == {"change"}
    numbers = [int(message["x-goog-message-number"]) for message in told]
    assert 1 < numbers[0] < numbers[1]
    for message in (sync, *told):
        assert message["x-goog-channel-id"] == channel["id"]
        assert message["x-goog-channel-token"] == "t=1"
        assert message["x-goog-resource-id"] == channel["resourceId"]
        assert message["x-goog-channel-expiration"].endswith("GMT")
    drive.post("channels/stop", {"id": channel["id"], "resourceId": channel["resourceId"]})


def test_a_stopped_channel_is_silent(drive: Drive, control: Control, callback: Callback) -> None:
    channel = watch(drive, callback)
    other = watch(drive, callback)
    for _ in range(2):
        assert callback.next()["x-goog-resource-state"] == "sync"
    body = {"id": channel["id"], "resourceId": channel["resourceId"]}
    assert drive.post("channels/stop", body | {"resourceId": "x"}).status_code == 404
    assert drive.post("channels/stop", body).status_code == 204
    assert drive.post("channels/stop", body).status_code == 404
    control.create("told to one.txt", b"x")
    assert callback.next()["x-goog-channel-id"] == other["id"]
    assert callback.messages.empty()
    drive.post("channels/stop", {"id": other["id"], "resourceId": other["resourceId"]})


def test_a_failing_callback_is_tried_again(
    drive: Drive, control: Control, callback: Callback
) -> None:
    callback.answers = [503, 500]
    channel = watch(drive, callback)
    assert [callback.next()["x-goog-message-number"] for _ in range(3)] == ["1", "1", "1"]
    drive.post("channels/stop", {"id": channel["id"], "resourceId": channel["resourceId"]})


def test_an_expired_channel_is_silent_and_long_ones_are_cut(
    drive: Drive, control: Control, callback: Callback
) -> None:
    far = watch(drive, callback, expiration="99999999999999")
    assert int(far["expiration"]) < 99999999999999
    watch(drive, callback, expiration="1000")
    assert {callback.next()["x-goog-resource-state"] for _ in range(2)} == {"sync"}
    control.create("after the end.txt", b"x")
    assert callback.next()["x-goog-channel-id"] == far["id"]
    assert callback.messages.empty()
    drive.post("channels/stop", {"id": far["id"], "resourceId": far["resourceId"]})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"id": ""}, "required"),
        ({"id": "x" * 65}, "invalid"),
        ({"token": "x" * 257}, "invalid"),
        ({"address": "http://example.com/hook"}, "push.webhookUrlNotHttps"),
        ({"type": "carrier pigeon"}, "invalid"),
    ],
)
def test_a_bad_watch_is_refused(drive: Drive, change: dict[str, str], expected: str) -> None:
    body = {"id": "a", "type": "web_hook", "address": "https://127.0.0.1:1/hook"} | change
    answer = drive.post("changes/watch", body, pageToken=start(drive))
    assert reason(answer) == (400, expected)


def test_move_to_a_shared_drive_is_removed_in_one_log_and_there_in_the_other(
    drive: Drive, control: Control
) -> None:
    drive_id = control.accounts()[0]["drives"][0]["id"]
    folder = control.create("moved folder")
    file = control.create("inside.txt", b"a", parents=[folder["id"]])
    here, there = start(drive), start(drive, driveId=drive_id, **EVERYWHERE)
    control.move(folder["id"], drive_id)
    gone = changes(drive, here)
    assert {(c["fileId"], c["removed"]) for c in gone} == {
        (folder["id"], True),
        (file["id"], True),
    }
    come = changes(drive, there, driveId=drive_id, **EVERYWHERE)
    assert {c["fileId"]: c["file"]["parents"] for c in come} == {
        folder["id"]: [drive_id],
        file["id"]: [folder["id"]],
    }
    control.move(folder["id"], "root")
    listed = [entry["id"] for entry in control.manifest()]
    assert (listed.count(folder["id"]), listed.count(file["id"])) == (1, 1)
