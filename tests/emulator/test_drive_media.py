"""files.get and alt=media of the stand-in: metadata, ranges, refusals, true bytes."""

from __future__ import annotations

import hashlib

import pytest

from tests.emulator.calling import AUTH, EVERYWHERE, Drive, reason
from tests.servers.emulator import RunningEmulator

BIG = "video 64 MB.mp4"


@pytest.fixture
def drive(google: RunningEmulator) -> Drive:
    return Drive(google)


def test_every_blob_arrives_as_the_manifest_says(drive: Drive) -> None:
    checked = 0
    for entry in drive.google.control.manifest():
        if entry["kind"] != "blob" or entry["refused"] or entry["name"] in (BIG,):
            continue
        if entry["name"] in ("flagged as abuse.zip", "needs its key.txt"):
            continue
        answer = drive.media(entry["id"], supportsAllDrives="true")
        assert answer.status_code == 200, entry["name"]
        assert answer.headers["Content-Length"] == str(entry["size"])
        assert hashlib.sha256(answer.content).hexdigest() == entry["sha256"], entry["name"]
        checked += 1
    assert checked > 200


def test_hashes_and_size_in_the_metadata_are_those_of_the_bytes(drive: Drive) -> None:
    hashes = "id,size,md5Checksum,sha1Checksum,sha256Checksum"
    file = drive.named("IMG_0007.jpg", hashes)
    body = drive.media(file["id"]).content
    assert int(file["size"]) == len(body)
    assert file["md5Checksum"] == hashlib.md5(body).hexdigest()
    assert file["sha1Checksum"] == hashlib.sha1(body).hexdigest()
    assert file["sha256Checksum"] == hashlib.sha256(body).hexdigest()


def test_a_wrong_md5_stays_wrong_while_two_reads_agree(drive: Drive) -> None:
    file = drive.named("IMG_wrong_md5.jpg", "id,md5Checksum,sha256Checksum")
    first, second = drive.media(file["id"]).content, drive.media(file["id"]).content
    assert first == second
    assert file["md5Checksum"] != hashlib.md5(first).hexdigest()
    assert "sha256Checksum" not in file


@pytest.mark.parametrize(
    ("span", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=65530-65550", 65_530, 65_551),
        ("bytes=87000-", 87_000, 95_433),
        ("bytes=-10", 95_423, 95_433),
        ("bytes=-999999999", 0, 95_433),
        ("bytes=95000-999999999", 95_000, 95_433),
    ],
)
def test_one_range_brings_exactly_its_bytes(drive: Drive, span: str, start: int, stop: int) -> None:
    file_id = drive.named("IMG_0007.jpg")["id"]
    whole = drive.google.control.content(file_id)
    assert len(whole) == 95_433
    answer = drive.media(file_id, span)
    assert answer.status_code == 206
    assert answer.content == whole[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/95433"


@pytest.mark.parametrize(
    "span", ["bytes=5-2", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes=-"]
)
def test_a_range_that_cannot_be_read_brings_the_whole(drive: Drive, span: str) -> None:
    answer = drive.media(drive.named("target.txt")["id"], span)
    assert (answer.status_code, answer.content) == (200, b"the target of shortcuts\n")


def test_a_range_past_the_end_is_unsatisfiable(drive: Drive) -> None:
    file_id = drive.named("target.txt")["id"]
    answer = drive.media(file_id, "bytes=24-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */24"


@pytest.mark.parametrize("span", ["bytes=0-", "bytes=0-99", "bytes=-1"])
def test_an_empty_file_has_no_range_but_downloads(drive: Drive, span: str) -> None:
    file_id = drive.named("empty.txt")["id"]
    whole = drive.media(file_id)
    assert (whole.status_code, whole.content) == (200, b"")
    answer = drive.media(file_id, span)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */0"


def test_the_64_mb_file_arrives_whole_and_its_ranges_fit(drive: Drive) -> None:
    file = drive.named(BIG, "id,size,sha256Checksum")
    assert int(file["size"]) == 64 * 1024 * 1024
    body = drive.media(file["id"]).content
    assert hashlib.sha256(body).hexdigest() == file["sha256Checksum"]
    middle = drive.media(file["id"], "bytes=33554000-34000000")
    assert middle.content == body[33_554_000:34_000_001]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cannot be downloaded.pdf", (403, "cannotDownloadFile")),
        ("flagged as abuse.zip", (403, "cannotDownloadAbusiveFile")),
        ("flagged, not mine.exe", (403, "cannotDownloadAbusiveFile")),
        ("Huge sheet", (403, "fileNotDownloadable")),
        ("Survey 1", (403, "fileNotDownloadable")),
        ("Photos", (403, "fileNotDownloadable")),
        ("dangling", (403, "fileNotDownloadable")),
        ("needs its key.txt", (404, "notFound")),
    ],
)
def test_what_google_refuses_has_its_reason(
    drive: Drive, name: str, expected: tuple[int, str]
) -> None:
    assert reason(drive.media(drive.named(name)["id"])) == expected


def test_abuse_is_acknowledged_by_the_owner_only(drive: Drive) -> None:
    mine, other = drive.named("flagged as abuse.zip"), drive.named("flagged, not mine.exe")
    assert drive.media(mine["id"], acknowledgeAbuse="true").status_code == 200
    refused = drive.media(other["id"], acknowledgeAbuse="true")
    assert reason(refused) == (403, "cannotDownloadAbusiveFile")


def test_a_resource_key_opens_what_needs_it(drive: Drive) -> None:
    file = drive.named("needs its key.txt", "id,resourceKey")
    url = f"files/{file['id']}"
    keys = {"X-Goog-Drive-Resource-Keys": f"other/1,{file['id']}/{file['resourceKey']}"}
    assert drive.get(url).status_code == 404
    wrong = {"X-Goog-Drive-Resource-Keys": f"{file['id']}/wrong"}
    assert drive.get(url, wrong).status_code == 404
    assert drive.get(url, keys).json()["id"] == file["id"]
    assert drive.get(url, keys, alt="media").content == b"opened with a resource key\n"
    shortcut = drive.named("to a file with a key", "shortcutDetails")["shortcutDetails"]
    assert shortcut["targetResourceKey"] == file["resourceKey"]


def test_shared_drive_files_need_the_flag(drive: Drive) -> None:
    shared = drive.get("drives").json()["drives"][0]["id"]
    file = drive.named("Numbers", corpora="drive", driveId=shared, **EVERYWHERE)
    assert reason(drive.get(f"files/{file['id']}")) == (404, "notFound")
    assert drive.get(f"files/{file['id']}", supportsAllDrives="true").status_code == 200
    assert drive.get(f"files/{shared}", supportsAllDrives="true").json()["name"] == "Drive"


def test_unknown_ids_are_not_found(drive: Drive) -> None:
    answer = drive.get("files/1nosuchfile")
    assert reason(answer) == (404, "notFound")
    assert answer.json()["error"]["message"] == "File not found: 1nosuchfile."
    assert drive.media("1nosuchfile").status_code == 404


def test_dangling_and_looping_shortcuts_name_their_targets(drive: Drive) -> None:
    dangling = drive.named("dangling", "shortcutDetails")["shortcutDetails"]
    assert drive.get(f"files/{dangling['targetId']}").status_code == 404
    itself = drive.named("to itself", "id,shortcutDetails")
    assert itself["shortcutDetails"]["targetId"] == itself["id"]


def test_metadata_scope_does_not_reach_bytes(google: RunningEmulator, drive: Drive) -> None:
    reader = Drive(google, "", AUTH + "drive.metadata.readonly")
    file_id = drive.named("target.txt")["id"]
    assert reader.get(f"files/{file_id}").status_code == 200
    assert reason(reader.media(file_id)) == (403, "insufficientPermissions")


def test_who_may_only_read_can_not_write(drive: Drive) -> None:
    assert reason(drive.post("files", {"name": "new"})) == (403, "insufficientPermissions")


def test_permissions_are_for_who_may_share(drive: Drive) -> None:
    mine = drive.get(f"files/{drive.named('shared by link.txt')['id']}/permissions").json()
    assert [entry["role"] for entry in mine["permissions"]] == ["owner", "reader"]
    other = drive.named("shared with me 1.bin")["id"]
    refused = drive.get(f"files/{other}/permissions")
    assert reason(refused) == (403, "insufficientFilePermissions")


def test_the_newest_revision_is_the_head(drive: Drive) -> None:
    file = drive.named("target.txt", "id,headRevisionId")
    revisions = drive.get(f"files/{file['id']}/revisions").json()["revisions"]
    assert [entry["id"] for entry in revisions] == [file["headRevisionId"]]


def test_about_needs_fields_and_tells_the_export_formats(drive: Drive) -> None:
    assert reason(drive.get("about")) == (400, "required")
    formats = drive.get("about", fields="exportFormats").json()["exportFormats"]
    assert "text/csv" in formats["application/vnd.google-apps.spreadsheet"]
    assert "application/vnd.google-apps.form" not in formats
    user = drive.get("about", fields="user(emailAddress)").json()
    assert user == {"user": {"emailAddress": "ada.lovelace@example.com"}}
    used = drive.get("about", fields="storageQuota").json()["storageQuota"]["usage"]
    own = (e for e in drive.google.control.manifest() if e["drive_id"] is None)
    assert int(used) == sum(e.get("size") or 0 for e in own)
