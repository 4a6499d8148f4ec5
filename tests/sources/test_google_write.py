"""Files, folders and permissions made in a Drive, each once, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google.oauth2.credentials import Credentials

from emulator.control import Control
from emulator.formats import DOCX
from emulator.items import GOOGLE
from emulator.sample import ADA, sample_accounts
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from emulator.world import World
from syncapp.errors import (
    ConfigurationError,
    IntegrityError,
    PermanentError,
    TransientError,
    Unavailable,
)
from syncapp.sources import google_upload
from syncapp.sources.google_client import GoogleClient, GoogleEndpoints
from syncapp.sources.google_upload import NewContent
from syncapp.sources.google_write import DriveWriter, NewFile
from tests.emulator.serving import Serving, serving

FILE = "https://www.googleapis.com/auth/drive.file"
STEP = 256 * 1024
WHEN = datetime(2011, 12, 13, 14, 15, 16, 171000, tzinfo=UTC)
DOCUMENT = GOOGLE + "document"


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving(World(sample_accounts())) as running:
        yield running


@pytest.fixture
def control(served: Serving) -> Iterator[Control]:
    control = Control(served.url)
    control.reset_counters()
    yield control
    control.clear_faults()
    control.set_storage(None)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_upload, "SMALL_BYTES", 100_000)
    monkeypatch.setattr(google_upload, "PIECE_BYTES", STEP)


def writer_of(served: Serving, *scopes: str) -> DriveWriter:
    issued = served.world.oauth.issue(ADA.sub, scopes or (FILE,))
    credentials = Credentials(
        issued["access_token"],
        refresh_token=issued["refresh_token"],
        token_uri=f"{served.url}/token",
        client_id=DEFAULT_CLIENT_ID,
        client_secret=DEFAULT_CLIENT_SECRET,
    )
    endpoints = GoogleEndpoints(f"{served.url}/drive/v3/", f"{served.url}/")
    return DriveWriter(GoogleClient(credentials, endpoints, pause=lambda _: None))


@pytest.fixture
def writer(served: Serving) -> DriveWriter:
    return writer_of(served)


def content_of(data: bytes, kind: str = "application/pdf") -> NewContent:
    return NewContent(
        len(data), kind, lambda: (data[i : i + 9999] for i in range(0, len(data), 9999))
    )


def some_bytes(size: int) -> bytes:
    return hashlib.shake_128(b"%d" % size).digest(size)


def make(writer: DriveWriter, file_id: str, data: bytes, name: str = "a/b.pdf") -> None:
    file = NewFile(name, "root", {"restore": "r", "item": file_id[:8]}, WHEN)
    writer.make_file(file_id, file, content_of(data), hashlib.sha256(data).hexdigest())


def truth(control: Control) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in control.manifest() if entry["app"]}


SIZES = [0, 1, 99_999, 100_001, STEP, STEP + 1, 2 * STEP, 3 * STEP + 5]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_with_its_bytes_name_time_and_mark(
    writer: DriveWriter, control: Control, size: int
) -> None:
    file_id, data = writer.new_id(), some_bytes(size)
    make(writer, file_id, data)
    made = truth(control)[file_id]
    assert made["sha256"] == hashlib.sha256(data).hexdigest()
    assert (made["name"], made["mime_type"]) == ("a/b.pdf", "application/pdf")
    assert made["modified_ms"] == 1323785716171
    assert made["app_properties"] == {"restore": "r", "item": file_id[:8]}


@pytest.mark.parametrize("size", [10, 3 * STEP + 5])
@pytest.mark.parametrize(
    "fault",
    [
        {"method": "POST", "match": "/upload/", "status": 503, "count": 2},
        {"method": "POST", "match": "/upload/", "status": 503, "late": True, "count": 1},
        {"method": "POST", "match": "/upload/", "cut_after": 0, "count": 1},
        {"method": "PUT", "match": "upload_id", "status": 503, "skip": 1, "count": 2},
        {"method": "PUT", "match": "upload_id", "status": 500, "late": True, "count": 3},
        {"method": "PUT", "match": "upload_id", "status": 503, "late": True, "skip": 3, "count": 1},
        {"method": "PUT", "match": "upload_id", "cut_after": 0, "skip": 3, "count": 1},
        {"method": "PUT", "match": "upload_id", "taken": 1000, "skip": 1, "count": 1},
        {
            "method": "PUT",
            "match": "upload_id",
            "status": 403,
            "reason": "userRateLimitExceeded",
            "count": 2,
        },
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
def test_a_fault_on_the_way_makes_neither_a_second_file_nor_a_wrong_one(
    writer: DriveWriter, control: Control, fault: dict[str, Any], size: int
) -> None:
    before = set(truth(control))
    file_id, data = writer.new_id(), some_bytes(size)
    control.add_fault(**fault)
    make(writer, file_id, data)
    made = truth(control)
    assert set(made) - before == {file_id}
    assert made[file_id]["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_file_that_was_made_before_a_crash_is_not_made_again(
    writer: DriveWriter, control: Control
) -> None:
    file_id, data = writer.new_id(), some_bytes(3 * STEP)
    make(writer, file_id, data)
    control.reset_counters()
    make(writer, file_id, data)
    assert "files.upload" not in control.counters()["requests"]
    assert truth(control)[file_id]["version"] == 1


@pytest.mark.parametrize("size", [90_000, 3 * STEP])
def test_bytes_spoiled_on_the_way_are_told_and_replaced_by_the_next_try(
    writer: DriveWriter, control: Control, size: int
) -> None:
    before = set(truth(control))
    file_id, data = writer.new_id(), some_bytes(size)
    control.add_fault(
        "upload_id" if size > STEP else "/upload/", corrupt_upload=True, skip=int(size > STEP)
    )
    with pytest.raises(IntegrityError):
        make(writer, file_id, data)
    control.clear_faults()
    make(writer, file_id, data)
    assert set(truth(control)) - before == {file_id}
    assert truth(control)[file_id]["sha256"] == hashlib.sha256(data).hexdigest()


def test_an_expired_session_is_begun_anew_by_the_next_try(
    writer: DriveWriter, control: Control
) -> None:
    file_id, data = writer.new_id(), some_bytes(3 * STEP)
    control.add_fault("upload_id", method="PUT", status=404, reason="notFound", skip=1, count=1)
    with pytest.raises(TransientError) as expired:
        make(writer, file_id, data)
    assert expired.value.code == "upload_expired"
    make(writer, file_id, data)
    assert truth(control)[file_id]["sha256"] == hashlib.sha256(data).hexdigest()


def test_what_can_not_be_read_to_its_end_never_appears(
    writer: DriveWriter, control: Control
) -> None:
    def wrong(size: int) -> Iterator[bytes]:
        yield bytes(size)
        raise IntegrityError("not what was stored")

    for size in (10, 3 * STEP):
        file = NewFile("half", "root", {})
        content = NewContent(size, "text/plain", lambda size=size: wrong(size))
        with pytest.raises(IntegrityError):
            writer.make_file(writer.new_id(), file, content, "0" * 64)
    short = NewContent(3 * STEP + 1, "text/plain", lambda: [bytes(3 * STEP)])
    with pytest.raises(IntegrityError):
        writer.make_file(writer.new_id(), NewFile("half", "root", {}), short, "0" * 64)
    assert "half" not in [entry["name"] for entry in truth(control).values()]


def test_an_outage_ends_as_one(writer: DriveWriter, control: Control) -> None:
    control.add_fault("upload_id", method="PUT", status=503)
    with pytest.raises(Unavailable):
        make(writer, writer.new_id(), some_bytes(3 * STEP))
    assert control.counters()["requests"]["fault"] < 12


def test_a_full_drive_is_told_in_clear_words(writer: DriveWriter, control: Control) -> None:
    control.set_storage(1)
    for size in (10, 3 * STEP):
        with pytest.raises(ConfigurationError, match="storage is full") as full:
            make(writer, writer.new_id(), some_bytes(size))
        assert full.value.code == "storage_quota_exceeded"


def test_a_missing_permission_is_about_writing_only(served: Serving) -> None:
    reader = writer_of(served, "https://www.googleapis.com/auth/drive.readonly")
    with pytest.raises(ConfigurationError, match="Allow restoring to Drive") as refused:
        reader.new_id()
    assert refused.value.code == "write_not_granted"


def test_a_folder_is_made_once(writer: DriveWriter, control: Control) -> None:
    file_id = writer.new_id()
    folder = NewFile("restored / 1", "", {"restore": file_id})
    control.add_fault("drive/v3/files", method="POST", status=503, late=True, count=1)
    writer.make_folder(file_id, folder)
    writer.make_folder(file_id, folder)
    made = truth(control)[file_id]
    assert (made["name"], made["kind"]) == ("restored / 1", "folder")


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"method": "POST", "match": "/upload/", "status": 503, "late": True, "count": 1},
        {"method": "PUT", "match": "upload_id", "status": 503, "late": True, "count": 1},
        {"method": "PUT", "match": "upload_id", "cut_after": 0, "count": 1},
    ],
)
def test_a_document_is_made_once_although_it_can_be_given_no_id(
    writer: DriveWriter, control: Control, fault: dict[str, Any]
) -> None:
    before = set(truth(control))
    mark = {"restore": "r", "item": f"{len(before)}"}
    assert writer.find_marked(mark) is None
    if fault:
        control.add_fault(**fault)
    content = content_of(b"PK a document", DOCX)
    made = writer.convert(NewFile("Report", "root", mark, WHEN), DOCUMENT, content)
    found = writer.find_marked(mark)
    assert found is not None
    assert {found["id"]} == {made} == set(truth(control)) - before


def test_google_says_what_it_converts(writer: DriveWriter) -> None:
    imports = writer.imports()
    assert imports.takes(DOCX, 1000, DOCUMENT)
    assert not imports.takes(DOCX, 10**9, DOCUMENT)
    assert not imports.takes("image/png", 1000, DOCUMENT)


def test_sharing_sends_nobody_an_email(writer: DriveWriter, control: Control) -> None:
    file_id = writer.new_id()
    make(writer, file_id, b"x")
    for permission in (
        {"id": "1", "type": "user", "role": "fileOrganizer", "emailAddress": "b@example.com"},
        {"id": "2", "type": "group", "role": "commenter", "emailAddress": "g@example.com"},
        {"id": "3", "type": "domain", "role": "reader", "domain": "example.com"},
        {"id": "4", "type": "anyone", "role": "reader", "allowFileDiscovery": False},
    ):
        writer.share(file_id, permission)
        writer.share(file_id, permission)
    granted = truth(control)[file_id]["granted"]
    assert [(g["type"], g["role"]) for g in granted] == [
        ("user", "writer"),
        ("group", "commenter"),
        ("domain", "reader"),
        ("anyone", "reader"),
    ]
    assert "email" not in control.counters()["requests"]
    stranger = {"type": "user", "role": "reader", "emailAddress": "x@nowhere.example"}
    with pytest.raises(PermanentError, match="sharing with x@"):
        writer.share(file_id, stranger)
