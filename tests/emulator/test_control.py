"""The control endpoint: faults, counters, quota, tokens, and the truth for proofs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from emulator.control import Control, ControlError
from tests.emulator.calling import Drive, reason
from tests.servers.emulator import RunningEmulator, running_emulator


@pytest.fixture
def drive(google: RunningEmulator) -> Drive:
    return Drive(google)


@pytest.fixture
def control(google: RunningEmulator) -> Control:
    return google.control


@pytest.fixture
def own() -> Iterator[RunningEmulator]:
    """A process of the test's own, for what cannot be undone."""
    with running_emulator("synthetic", files=10) as running:
        yield running


def read_into(got: bytearray, answer: requests.Response) -> None:
    for chunk in answer.iter_content(1000):
        got += chunk


def test_an_error_fault_has_googles_body_and_stops_after_its_count(
    drive: Drive, control: Control
) -> None:
    control.add_fault("/files$", status=403, reason="userRateLimitExceeded", message="Slow.",
                      domain="usageLimits", count=2)  # fmt: skip
    for _ in range(2):
        answer = drive.get("files")
        assert reason(answer) == (403, "userRateLimitExceeded")
        assert answer.json()["error"]["message"] == "Slow."
    assert drive.get("files").status_code == 200
    assert control.faults()[0]["fired"] == 2


def test_retry_after_and_delay_are_sent_and_kept(drive: Drive, control: Control) -> None:
    control.add_fault(status=429, reason="rateLimitExceeded", retry_after="7", delay_s=0.3)
    began = time.monotonic()
    answer = drive.get("about", fields="user")
    assert time.monotonic() - began >= 0.3
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


def test_a_fault_concerns_one_file_and_method_only(drive: Drive, control: Control) -> None:
    one, other = drive.named("target.txt")["id"], drive.named("Letter.docx")["id"]
    control.add_fault("alt=media", file_id=one, method="GET", status=500)
    assert drive.media(one).status_code == 500
    assert drive.get(f"files/{one}").status_code == 200
    assert drive.media(other).status_code == 200


def test_a_cut_answer_breaks_off_after_so_many_bytes(drive: Drive, control: Control) -> None:
    file_id = drive.named("nine.zip")["id"]
    control.add_fault("alt=media", cut_after=1_000_000, count=1)
    got = bytearray()
    url = f"{drive.google.url}/drive/v3/files/{file_id}?alt=media"
    with drive.session.get(url, stream=True, timeout=20) as answer:
        assert int(answer.headers["Content-Length"]) > 9_000_000
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            read_into(got, answer)
    assert bytes(got) == control.content(file_id)[: len(got)]
    assert len(got) == 1_000_000
    assert drive.media(file_id).status_code == 200


def test_corrupt_bytes_keep_headers_and_length(drive: Drive, control: Control) -> None:
    file_id = drive.named("target.txt")["id"]
    true = drive.media(file_id)
    control.add_fault(file_id=file_id, corrupt=True, count=1)
    spoiled = drive.media(file_id)
    assert len(spoiled.content) == len(true.content)
    assert spoiled.headers["Content-Type"] == true.headers["Content-Type"]
    assert spoiled.content != true.content
    assert drive.media(file_id).content == true.content == control.content(file_id)


def test_a_drip_holds_the_rate(drive: Drive, control: Control) -> None:
    file_id = drive.named("IMG_0001.jpg")["id"]
    control.add_fault(file_id=file_id, drip_bytes_per_s=100_000)
    began = time.monotonic()
    assert len(drive.media(file_id).content) == 47_919
    assert 0.4 <= time.monotonic() - began < 5


def test_a_delay_for_all_leaves_other_faults_in_force(drive: Drive, control: Control) -> None:
    control.add_fault(delay_s=0.1)
    control.add_fault("about", delay_s=0.1, status=500)
    began = time.monotonic()
    assert drive.get("about", fields="kind").status_code == 500
    assert time.monotonic() - began >= 0.2


def test_bytes_are_no_longer_made_for_a_client_that_has_gone() -> None:
    big = 8 * 1024**3
    with running_emulator("synthetic", files=1, big_file=big) as running:
        drive = Drive(running)
        url = f"{running.url}/drive/v3/files/1SynBigFile{'0' * 22}?alt=media"
        with drive.session.get(url, stream=True, timeout=20) as answer:
            next(answer.iter_content(65536))
        assert running.control.counters()["bytes_served"] < big / 10


def test_a_rate_fires_for_about_its_share_and_the_same_each_time(
    drive: Drive, control: Control
) -> None:
    runs = []
    for _ in range(2):
        fault = control.add_fault("about", status=500, rate=0.3, seed=5)
        runs.append([drive.get("about", fields="kind").status_code for _ in range(60)])
        control.clear_faults(fault)
    assert runs[0] == runs[1]
    assert 8 <= runs[0].count(500) <= 28


def test_skip_lets_the_first_requests_pass(drive: Drive, control: Control) -> None:
    control.add_fault("about", status=500, skip=2)
    assert [drive.get("about", fields="kind").status_code for _ in range(4)] == [200, 200, 500, 500]


def test_cleared_faults_are_gone_and_unknown_settings_refused(
    drive: Drive, control: Control
) -> None:
    control.add_fault(status=500)
    control.clear_faults()
    assert control.faults() == []
    assert drive.get("about", fields="kind").status_code == 200
    with pytest.raises(ControlError, match="no_such"):
        control.add_fault(no_such=1)
    with pytest.raises(ControlError):
        control.add_fault("(unclosed")


def test_requests_bytes_and_downloads_are_counted(drive: Drive, control: Control) -> None:
    file_id = drive.named("target.txt")["id"]
    control.reset_counters()
    drive.media(file_id)
    drive.media(file_id, "bytes=0-3")
    drive.get(f"files/{file_id}")
    drive.get("files", pageSize=1)
    drive.get("files/1none")
    counted = control.counters()
    assert counted["downloads"] == {file_id: 2}
    wanted = {"files.media": 2, "files.get": 2, "files.list": 1}
    assert counted["requests"] == wanted | {"control": counted["requests"]["control"]}
    assert counted["statuses"] == {"200": 3, "206": 1, "404": 1}
    assert counted["units"] == {"ada.lovelace@example.com": 2 * 200 + 2 * 5 + 100}
    assert counted["bytes_served"] > 24 + 4


def test_beyond_the_quota_google_refuses_in_its_two_ways(drive: Drive, control: Control) -> None:
    control.set_quota(250)
    assert drive.get("files").status_code == 200
    assert drive.get("files").status_code == 200
    refused = [drive.get("files") for _ in range(2)]
    reasons = {reason(answer) for answer in refused}
    assert reasons == {(403, "userRateLimitExceeded"), (429, "rateLimitExceeded")}
    assert any("Retry-After" in answer.headers for answer in refused)
    assert drive.get("about", fields="kind").status_code == 200, "5 units are left"
    grace = Drive(drive.google, "grace.hopper@example.com")
    assert grace.get("files").status_code == 200, "each user has a minute of its own"


def test_expired_tokens_refresh_and_revoked_ones_do_not(own: RunningEmulator) -> None:
    grant = own.control.token()
    drive = Drive(own)
    own.control.expire_tokens()
    assert reason(drive.get("files")) == (401, "authError")
    form = {
        "grant_type": "refresh_token",
        "refresh_token": grant["refresh_token"],
        "client_id": "417200331905-standin.apps.googleusercontent.com",
        "client_secret": "GOCSPX-stand-in-for-google",
    }
    fresh = requests.post(own.url + "/token", data=form, timeout=10)
    assert fresh.status_code == 200
    drive.session.headers["Authorization"] = "Bearer " + fresh.json()["access_token"]
    assert drive.get("files").status_code == 200
    own.control.revoke_tokens()
    assert reason(drive.get("files")) == (401, "authError")
    dead = requests.post(own.url + "/token", data=form, timeout=10)
    assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("explode", {}),
        ("rename", {"id": "1none", "name": "x"}),
        ("create", {}),
        ("set", {"id": "root", "set": {"nonsense": 1}}),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(
    control: Control, op: str, said: dict[str, object]
) -> None:
    with pytest.raises(ControlError):
        control.mutate(op, **said)


def test_attributes_and_refusals_can_be_set(own: RunningEmulator) -> None:
    drive = Drive(own)
    file_id = drive.named("file 0000003.bin")["id"]
    own.control.set(file_id, no_download=True, description="told")
    assert reason(drive.media(file_id)) == (403, "cannotDownloadFile")
    own.control.set(file_id, no_download=False)
    assert drive.media(file_id).status_code == 200
    shown = drive.get(f"files/{file_id}", fields="description").json()
    assert shown == {"description": "told"}


def test_the_manifest_tells_kinds_paths_and_refusals(control: Control) -> None:
    entries = {entry["id"]: entry for entry in control.manifest()}
    by_name = {entry["name"]: entry for entry in entries.values()}
    assert by_name["Our site"]["refused"] == "fileNotExportable"
    assert by_name["Survey 1"]["kind"] == "form"
    assert by_name["Survey 1"]["refused"] is None
    assert by_name["Huge sheet"]["refused"] is None
    assert by_name["Cannot be listed"]["refused"] == "cannotListChildren"
    assert by_name["flagged as abuse.zip"]["refused"] is None, "its owner may acknowledge"
    assert by_name["flagged, not mine.exe"]["refused"] == "cannotDownloadAbusiveFile"
    deepest = by_name["at level 30.txt"]
    names = [entries[i]["name"] for i in deepest["path"][1:]]
    assert names == ["Nesting", *(f"level {n}" for n in range(1, 31)), "at level 30.txt"]


def test_nothing_but_loopback_is_listened_on() -> None:
    with pytest.raises(RuntimeError, match="only loopback"):
        with running_emulator("sample", host="0.0.0.0"):
            pass
