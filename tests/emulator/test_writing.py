"""Writing to the stand-in: uploads of every kind, ids, conversion, sharing, scopes, refusals.

Through Google's own client library where it can, else over plain HTTP; answers are held against
the schemas of its discovery document.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.http import MediaIoBaseUpload

from emulator.control import Control
from emulator.formats import DOCX
from emulator.items import FOLDER, GOOGLE
from emulator.sample import ADA, sample_accounts
from emulator.world import World
from tests.emulator.calling import AUTH, reason
from tests.emulator.discovery import problems
from tests.emulator.serving import Serving, serving

STEP = 256 * 1024
FILE = AUTH + "drive.file"
READ = AUTH + "drive.readonly"
ALL = "id,name,mimeType,size,md5Checksum,sha256Checksum,parents,createdTime,modifiedTime"


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving(World(sample_accounts())) as running:
        yield running


@pytest.fixture
def control(served: Serving) -> Iterator[Control]:
    control = Control(served.url)
    yield control
    control.clear_faults()
    control.set_storage(None)


class Writer:
    """Drive v3 as an app with some scopes writes to it; answers follow their schemas."""

    def __init__(self, served: Serving, *scopes: str) -> None:
        self.url = served.url
        self.session = requests.Session()
        self.session.trust_env = False
        token = served.world.oauth.issue(ADA.sub, scopes or (FILE,))["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.api = build(
            "drive",
            "v3",
            credentials=Credentials(token),
            client_options={"api_endpoint": f"{served.url}/drive/v3/"},
        )

    def upload(self, request: Any) -> dict[str, Any]:
        """Run an upload of Google's client, which always goes there by https."""
        request.uri = request.uri.replace("https:", "http:")
        return dict(request.execute())

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        url = f"{self.url}/drive/v3/{path}"
        return self.session.request(method, url, params=query, json=body, timeout=20)

    def make(self, body: dict[str, Any], **query: Any) -> dict[str, Any]:
        answer = self.call("POST", "files", body, fields=ALL, **query)
        assert answer.status_code == 200, answer.text
        assert problems("drive.v3", "File", answer.json()) == []
        return dict(answer.json())

    def ids(self, count: int) -> list[str]:
        answer = self.call("GET", "files/generateIds", count=count).json()
        assert problems("drive.v3", "GeneratedIds", answer) == []
        return list(answer["ids"])

    def begin(self, body: dict[str, Any], kind: str = "text/plain", size: int = 0) -> Any:
        headers = {"X-Upload-Content-Type": kind}
        headers |= {"X-Upload-Content-Length": str(size)} if size else {}
        return self.session.post(
            f"{self.url}/upload/drive/v3/files",
            params={"uploadType": "resumable", "fields": ALL},
            json=body,
            headers=headers,
            timeout=20,
        )

    def send(self, place: str, data: bytes, span: str) -> requests.Response:
        headers = {"Content-Range": f"bytes {span}"}
        return self.session.put(place, data=data, headers=headers, timeout=20)


@pytest.fixture
def writer(served: Serving) -> Writer:
    return Writer(served)


def test_a_folder_and_a_file_in_it_keep_the_names_and_times_they_are_given(
    writer: Writer, control: Control
) -> None:
    folder = writer.make({"name": "a/b", "mimeType": FOLDER, "appProperties": {"restore": "7"}})
    said = {
        "name": "same",
        "parents": [folder["id"]],
        "createdTime": "2001-02-03T04:05:06.789Z",
        "modifiedTime": "2011-12-13T14:15:16.171Z",
    }
    first, second = writer.make(said), writer.make(said)
    assert first["id"] != second["id"]  # names are not unique
    assert first["createdTime"], first["modifiedTime"] == (
        said["createdTime"],
        said["modifiedTime"],
    )
    truth = {entry["id"]: entry for entry in control.manifest()}
    assert truth[folder["id"]]["app_properties"] == {"restore": "7"}
    found = writer.call(
        "GET", "files", q="appProperties has { key='restore' and value='7' }", fields="files(id)"
    )
    assert found.json()["files"] == [{"id": folder["id"]}]


def test_a_generated_id_makes_a_file_once(writer: Writer) -> None:
    first, second = writer.ids(2)
    made = writer.make({"id": first, "name": "once", "mimeType": FOLDER})
    assert made["id"] == first
    again = writer.call("POST", "files", {"id": first, "name": "twice", "mimeType": FOLDER})
    assert reason(again) == (409, "fileIdInUse")
    assert reason(writer.begin({"id": first, "name": "thrice"})) == (409, "fileIdInUse")
    foreign = writer.call("POST", "files", {"id": "1" + "x" * 32, "name": "made up"})
    assert reason(foreign) == (400, "invalid")
    document = {"id": second, "name": "doc", "mimeType": GOOGLE + "document"}
    assert reason(writer.call("POST", "files", document)) == (400, "invalid")


@pytest.mark.parametrize("size", [0, 1000, 3 * STEP + 17])
@pytest.mark.parametrize("resumable", [False, True])
def test_googles_own_client_uploads(
    writer: Writer, control: Control, size: int, *, resumable: bool
) -> None:
    data = hashlib.shake_128(b"%d" % size).digest(size)
    media = MediaIoBaseUpload(io.BytesIO(data), "image/png", chunksize=STEP, resumable=resumable)
    request = writer.api.files().create(body={"name": "p.png"}, media_body=media, fields=ALL)
    made = writer.upload(request)
    assert (made["mimeType"], made["size"]) == ("image/png", str(size))
    assert made["sha256Checksum"] == hashlib.sha256(data).hexdigest()
    assert control.content(made["id"]) == data


def test_a_session_tells_what_it_holds_and_goes_on_there(writer: Writer, control: Control) -> None:
    data = bytes(2 * STEP) + b"the end"
    place = writer.begin({"name": "in pieces"}, size=len(data)).headers["Location"]
    assert writer.send(place, b"", f"*/{len(data)}").headers.get("Range") is None
    held = writer.send(place, data[:STEP], f"0-{STEP - 1}/{len(data)}")
    assert (held.status_code, held.headers["Range"]) == (308, f"bytes=0-{STEP - 1}")
    assert writer.send(place, data[:100], f"{STEP}-{STEP + 99}/{len(data)}").status_code == 400
    assert writer.send(place, data[:STEP], f"0-{STEP - 1}/{len(data)}").status_code == 400
    done = writer.send(place, data[STEP:], f"{STEP}-{len(data) - 1}/{len(data)}")
    assert done.status_code == 200
    assert control.content(done.json()["id"]) == data
    # Asked again after a lost answer, it tells the same file.
    assert writer.send(place, b"", f"*/{len(data)}").json() == done.json()


def test_an_upload_that_is_cut_holds_whole_steps(writer: Writer, control: Control) -> None:
    data = bytes(3 * STEP)
    place = writer.begin({"name": "cut"}, size=len(data)).headers["Location"]
    control.add_fault("upload_id", method="PUT", taken=STEP + 1000, count=1)
    with pytest.raises(requests.RequestException):
        writer.send(place, data, f"0-{len(data) - 1}/{len(data)}")
    assert writer.send(place, b"", f"*/{len(data)}").headers["Range"] == f"bytes=0-{STEP - 1}"
    done = writer.send(place, data[STEP:], f"{STEP}-{len(data) - 1}/{len(data)}")
    assert control.content(done.json()["id"]) == data


def test_a_lost_answer_leaves_what_was_asked_for(writer: Writer, control: Control) -> None:
    file_id = writer.ids(1)[0]
    control.add_fault("drive/v3/files", method="POST", status=503, late=True, count=1)
    body = {"id": file_id, "name": "lost", "mimeType": FOLDER}
    assert writer.call("POST", "files", body).status_code == 503
    assert reason(writer.call("POST", "files", body)) == (409, "fileIdInUse")


def test_an_expired_session_is_not_found(writer: Writer, control: Control) -> None:
    place = writer.begin({"name": "late"}, size=5).headers["Location"]
    control.expire_uploads()
    assert writer.send(place, b"12345", "0-4/5").status_code == 404


def test_bytes_spoiled_on_their_way_show_in_the_answers_md5(
    writer: Writer, control: Control
) -> None:
    control.add_fault("upload_id", method="PUT", corrupt_upload=True, count=1)
    place = writer.begin({"name": "spoiled"}, size=5).headers["Location"]
    made = writer.send(place, b"12345", "0-4/5").json()
    assert made["size"] == "5"
    assert made["md5Checksum"] != hashlib.md5(b"12345").hexdigest()


def test_new_content_makes_a_new_revision_of_the_same_file(
    writer: Writer, control: Control
) -> None:
    made = writer.make({"name": "x.txt", "mimeType": "text/plain"})
    media = MediaIoBaseUpload(io.BytesIO(b"new"), "text/plain", resumable=True)
    said = {"modifiedTime": "2011-12-13T14:15:16.171Z"}
    request = writer.api.files().update(fileId=made["id"], body=said, media_body=media, fields=ALL)
    assert writer.upload(request)["modifiedTime"] == said["modifiedTime"]
    assert control.content(made["id"]) == b"new"


def test_an_office_file_becomes_a_document_and_its_bytes_are_known(
    writer: Writer, control: Control
) -> None:
    def convert(data: bytes, kind: str) -> requests.Response:
        body = {"name": "Report", "mimeType": GOOGLE + "document"}
        place = writer.begin(body, kind, len(data)).headers["Location"]
        return writer.send(place, data, f"0-{len(data) - 1}/{len(data)}")

    made = convert(b"PK a document", DOCX).json()
    assert made["mimeType"] == GOOGLE + "document"
    assert "md5Checksum" not in made
    truth = {entry["id"]: entry for entry in control.manifest()}
    assert truth[made["id"]]["imported"]["sha256"] == hashlib.sha256(b"PK a document").hexdigest()
    assert reason(convert(b"GIF89a", "image/gif"))[1] == "conversionUnsupportedConversionPath"
    assert reason(convert(b"no zip", DOCX)) == (400, "badRequest")


def test_a_full_drive_refuses(writer: Writer, control: Control) -> None:
    control.set_storage(10)
    assert reason(writer.begin({"name": "big"}, size=11)) == (403, "storageQuotaExceeded")


def test_sharing_shows_in_the_permissions(writer: Writer, control: Control) -> None:
    path = f"files/{writer.make({'name': 'shared'})['id']}/permissions"
    someone = {"type": "user", "role": "writer", "emailAddress": "bob@example.com"}
    answer = writer.call("POST", path, someone, sendNotificationEmail="false")
    assert problems("drive.v3", "Permission", answer.json()) == []
    assert answer.json()["role"] == "writer"
    assert writer.call("POST", path, {"type": "anyone", "role": "reader"}).status_code == 200
    listed = writer.call("GET", path, fields="permissions(type,role,emailAddress)").json()
    assert listed["permissions"][1:] == [someone, {"type": "anyone", "role": "reader"}]
    assert "email" not in control.counters()["requests"]


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ({"type": "user", "role": "owner", "emailAddress": "b@example.com"}, 403, "forbidden"),
        (
            {"type": "user", "role": "reader", "emailAddress": "b@nowhere.example"},
            400,
            "invalidSharingRequest",
        ),
        ({"type": "user", "role": "reader"}, 400, "invalid"),
        ({"type": "domain", "role": "reader"}, 400, "invalid"),
    ],
)
def test_sharing_is_refused_with_googles_reasons(
    writer: Writer, said: dict[str, str], status: int, why: str
) -> None:
    path = f"files/{writer.make({'name': 'unshared'})['id']}/permissions"
    quiet = {} if said["type"] == "domain" else {"sendNotificationEmail": "false"}
    assert reason(writer.call("POST", path, said, **quiet)) == (status, why)


def test_drive_file_reaches_only_what_the_app_created(served: Serving, writer: Writer) -> None:
    mine = writer.make({"name": "mine"})
    old = Writer(served, READ).call("GET", "files", q="name = 'Documents'").json()["files"][0]["id"]
    listed = writer.call("GET", "files", fields="files(id)", pageSize=1000).json()["files"]
    assert mine["id"] in [file["id"] for file in listed]
    assert old not in [file["id"] for file in listed]
    assert reason(writer.call("GET", f"files/{old}")) == (404, "notFound")
    inside = {"name": "inside", "parents": [old]}
    assert reason(writer.call("POST", "files", inside)) == (404, "notFound")


def test_drive_file_hears_only_of_what_the_app_created(served: Serving, control: Control) -> None:
    writer = Writer(served)
    start = writer.call("GET", "changes/startPageToken").json()["startPageToken"]
    mine = writer.make({"name": "mine"})["id"]
    control.create("somebody else's", b"x")
    told = writer.call("GET", "changes", pageToken=start).json()["changes"]
    assert [change["fileId"] for change in told] == [mine]
    assert reason(writer.call("GET", "drives")) == (403, "insufficientPermissions")


def test_reading_everything_does_not_let_an_app_change_it(served: Serving) -> None:
    both = Writer(served, READ, FILE)
    old = both.call("GET", "files", q="name = 'Documents'").json()["files"][0]["id"]
    changed = both.call("PATCH", f"files/{old}", {"name": "taken over"})
    assert reason(changed) == (403, "appNotAuthorizedToFile")
    only_read = Writer(served, READ).call("POST", "files", {"name": "new"})
    assert reason(only_read) == (403, "insufficientPermissions")


def test_what_google_fills_in_can_not_be_written(writer: Writer) -> None:
    answer = writer.call("POST", "files", {"name": "x", "md5Checksum": "0" * 32})
    assert reason(answer) == (403, "fieldNotWritable")
