"""Every answer of Drive v3 against the schemas of Google's discovery document, and its client."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload

from emulator.control import Control
from emulator.items import FOLDER, GOOGLE
from emulator.sample import ADA, sample_accounts
from emulator.world import World
from tests.emulator.consent_pages import DRIVE
from tests.emulator.discovery import problems
from tests.emulator.serving import Serving, serving

EVERYWHERE = {"supportsAllDrives": "true", "includeItemsFromAllDrives": "true"}
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving(World(sample_accounts())) as running:
        yield running


class Drive:
    """Drive v3 as Ada calls it; each answer is held against its schema."""

    def __init__(self, served: Serving) -> None:
        self.base = served.url + "/drive/v3/"
        self.session = requests.Session()
        self.token = served.world.oauth.issue(ADA.sub, [DRIVE])["access_token"]
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    def get(self, schema: str, path: str, **query: Any) -> dict[str, Any]:
        return self._checked(schema, self.session.get(self.base + path, params=query, timeout=20))

    def post(self, schema: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        url = self.base + path
        return self._checked(schema, self.session.post(url, params=query, json=body, timeout=20))

    def pages(self, schema: str, path: str, **query: Any) -> list[dict[str, Any]]:
        found = []
        while True:
            found.append(self.get(schema, path, **query))
            if "nextPageToken" not in found[-1]:
                return found
            query["pageToken"] = found[-1]["nextPageToken"]

    def files(self, **query: Any) -> list[dict[str, Any]]:
        return [f for page in self.pages("FileList", "files", **query) for f in page["files"]]

    def _checked(self, schema: str, response: requests.Response) -> dict[str, Any]:
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        assert problems("drive.v3", schema, answer) == []
        return answer


@pytest.fixture
def drive(served: Serving) -> Drive:
    return Drive(served)


def test_the_checker_itself_refuses_a_made_up_field_and_a_wrong_type() -> None:
    good = {"id": "1", "size": "12", "modifiedTime": "2026-01-01T00:00:00.000Z"}
    assert problems("drive.v3", "File", good) == []
    assert problems("drive.v3", "File", good | {"sizeBytes": "12"})
    assert problems("drive.v3", "File", good | {"size": 12})
    assert problems("drive.v3", "File", good | {"modifiedTime": "yesterday"})
    assert problems("drive.v3", "FileList", {"files": [good | {"owners": [{"mail": "x"}]}]})


def test_about_follows_the_schema(drive: Drive) -> None:
    about = drive.get("About", "about", fields="*")
    assert about["user"]["emailAddress"] == ADA.email
    assert DOCX in about["exportFormats"][GOOGLE + "document"]


@pytest.mark.parametrize("corpora", ["user", "allDrives"])
def test_every_listed_file_follows_the_schema_in_all_its_fields(drive: Drive, corpora: str) -> None:
    query = EVERYWHERE if corpora == "allDrives" else {}
    files = drive.files(corpora=corpora, fields="*", pageSize=50, **query)
    assert len(files) > 300
    assert len({file["id"] for file in files}) == len(files)


def test_a_shared_drives_files_lack_what_google_leaves_out_there(drive: Drive) -> None:
    for shared in drive.get("DriveList", "drives", fields="*")["drives"]:
        files = drive.files(corpora="drive", driveId=shared["id"], fields="*", **EVERYWHERE)
        assert all(file["driveId"] == shared["id"] for file in files)
        assert not {"owners", "ownedByMe", "shared", "permissions"} & {k for f in files for k in f}


def test_every_file_read_by_itself_follows_the_schema_and_equals_its_listing(
    drive: Drive,
) -> None:
    listed = drive.files(fields="*", corpora="allDrives", pageSize=1000, **EVERYWHERE)
    keys = ",".join(f"{f['id']}/{f['resourceKey']}" for f in listed if "resourceKey" in f)
    drive.session.headers["X-Goog-Drive-Resource-Keys"] = keys
    for file in listed[::7] + [f for f in listed if "resourceKey" in f]:
        assert (
            drive.get("File", f"files/{file['id']}", fields="*", supportsAllDrives="true") == file
        )
    assert drive.get("File", "files/root")["mimeType"] == FOLDER


def test_default_fields_are_the_few_that_google_documents(drive: Drive) -> None:
    shown = {key for file in drive.files() for key in file}
    assert shown == {"kind", "id", "name", "mimeType", "resourceKey"}


def test_changes_follow_the_schema_to_the_new_start(drive: Drive, served: Serving) -> None:
    start = drive.get("StartPageToken", "changes/startPageToken")["startPageToken"]
    victim = drive.files(q="name = 'target.txt'", fields="files(id)")[0]["id"]
    Control(served.url).rename(victim, "target.txt")
    pages = drive.pages("ChangeList", "changes", pageToken=start, fields="*")
    assert [c["fileId"] for page in pages for c in page["changes"]] == [victim]
    assert "newStartPageToken" in pages[-1]


def test_a_watch_and_its_end_follow_the_schema(drive: Drive) -> None:
    start = drive.get("StartPageToken", "changes/startPageToken")["startPageToken"]
    wanted = {"id": "channel-1", "type": "web_hook", "address": "https://127.0.0.1:9/hook"}
    channel = drive.post("Channel", "changes/watch", wanted, pageToken=start)
    stop = {"id": channel["id"], "resourceId": channel["resourceId"]}
    stopped = drive.session.post(drive.base + "channels/stop", json=stop, timeout=10)
    assert stopped.status_code == 204


def test_shared_drives_follow_the_schema(drive: Drive) -> None:
    drives = drive.get("DriveList", "drives", fields="*")["drives"]
    assert len(drives) == 2
    for shared in drives:
        assert drive.get("Drive", f"drives/{shared['id']}", fields="*") == shared


def test_a_download_operation_follows_the_schema_to_its_bytes(drive: Drive) -> None:
    document = drive.files(q=f"mimeType = '{GOOGLE}document'", fields="files(id)")[0]["id"]
    operation = drive.post("Operation", f"files/{document}/download", mimeType=DOCX)
    for _ in range(50):
        if operation.get("done"):
            break
        operation = drive.get("Operation", f"operations/{operation['name']}")
    answer = drive.session.get(operation["response"]["downloadUri"], timeout=10)
    assert (answer.status_code, answer.content[:2]) == (200, b"PK")


@pytest.mark.parametrize(
    ("path", "query", "status", "reason"),
    [
        ("files/none", {}, 404, "notFound"),
        ("files", {"pageSize": "1001"}, 400, "invalidParameter"),
        ("files", {"fields": "files(bogus)"}, 400, "invalidParameter"),
        ("files", {"q": "name ~ 'x'"}, 400, "invalid"),
        ("files", {"pageToken": "stale"}, 400, "invalid"),
    ],
)
def test_an_error_has_googles_body(
    drive: Drive, path: str, query: dict[str, str], status: int, reason: str
) -> None:
    response = drive.session.get(drive.base + path, params=query, timeout=10)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, status)
    assert error["errors"][0]["reason"] == reason
    assert error["errors"][0].keys() >= {"domain", "reason", "message"}


@pytest.fixture
def service(served: Serving) -> Iterator[Any]:
    """The official client, told only another address."""
    token = served.world.oauth.issue(ADA.sub, [DRIVE])["access_token"]
    options = {"api_endpoint": f"{served.url}/drive/v3/"}
    with build(
        "drive",
        "v3",
        credentials=Credentials(token),
        static_discovery=True,
        client_options=options,
    ) as client:
        yield client


def test_the_official_client_lists_page_by_page(service: Any) -> None:
    names: list[str] = []
    request = service.files().list(pageSize=100, fields="nextPageToken,files(name)")
    while request is not None:
        page = request.execute()
        names += [file["name"] for file in page["files"]]
        request = service.files().list_next(request, page)
    assert len(names) > 300
    assert "line one\nline two.txt" in names


def test_the_official_client_downloads_in_chunks_with_the_right_bytes(service: Any) -> None:
    found = service.files().list(q="name = 'exactly 5 MiB.bin'", fields="files(id,md5Checksum)")
    file = found.execute()["files"][0]
    target = io.BytesIO()
    media = service.files().get_media(fileId=file["id"])
    download = MediaIoBaseDownload(target, media, chunksize=2 * 1024 * 1024)
    done, chunks = False, 0
    while not done:
        _, done = download.next_chunk()
        chunks += 1
    assert chunks == 3
    assert hashlib.md5(target.getvalue()).hexdigest() == file["md5Checksum"]


def test_the_official_client_exports_and_meets_the_10_mb_limit(service: Any) -> None:
    document = service.files().list(q="name = 'Document 1'", fields="files(id)").execute()
    exported = service.files().export(fileId=document["files"][0]["id"], mimeType=DOCX).execute()
    assert exported[:2] == b"PK"
    sheet = service.files().list(q="name = 'Huge sheet'", fields="files(id)").execute()
    with pytest.raises(HttpError) as caught:
        service.files().export(fileId=sheet["files"][0]["id"], mimeType="application/pdf").execute()
    assert caught.value.status_code == 403
    assert caught.value.error_details[0]["reason"] == "exportSizeLimitExceeded"


def test_the_official_client_reads_changes_and_drives(service: Any) -> None:
    start = service.changes().getStartPageToken().execute()["startPageToken"]
    changes = service.changes().list(pageToken=start).execute()
    assert changes["changes"] == []
    assert changes["newStartPageToken"] == start
    assert len(service.drives().list(pageSize=100).execute()["drives"]) == 2
