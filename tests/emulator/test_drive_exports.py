"""The ways to a Workspace document's content: export, exportLinks, files.download."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import pytest
import requests

from tests.emulator.calling import EVERYWHERE, Drive, reason
from tests.servers.emulator import RunningEmulator

OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX = OFFICE + "wordprocessingml.document"
XLSX = OFFICE + "spreadsheetml.sheet"
PPTX = OFFICE + "presentationml.presentation"


@pytest.fixture
def drive(google: RunningEmulator) -> Drive:
    return Drive(google)


def export(drive: Drive, name: str, mime_type: str) -> requests.Response:
    answer: requests.Response = drive.get(
        f"files/{drive.named(name)['id']}/export", mimeType=mime_type
    )
    return answer


def operation(drive: Drive, name: str, **query: str) -> tuple[list[bool], dict[str, Any]]:
    """How often the operation said it is not done, and its end."""
    started = drive.post(f"files/{drive.named(name)['id']}/download", **query)
    assert started.status_code == 200, started.text
    answers = [started.json()]
    while not answers[-1]["done"]:
        answers.append(drive.get(f"operations/{answers[0]['name']}").json())
        assert len(answers) < 10
    return [answer["done"] for answer in answers], answers[-1]


@pytest.mark.parametrize("kind", ["document", "spreadsheet", "presentation", "drawing", "script"])
def test_every_promised_format_is_exported(drive: Drive, kind: str) -> None:
    name = "Automation" if kind == "script" else f"{kind.title()} 1"
    formats = drive.get("about", fields="exportFormats").json()["exportFormats"]
    for mime_type in formats[f"application/vnd.google-apps.{kind}"]:
        answer = export(drive, name, mime_type)
        assert answer.status_code == 200, mime_type
        assert answer.headers["Content-Type"] == mime_type
        assert len(answer.content) > 20


@pytest.mark.parametrize(
    ("name", "mime_type", "part"),
    [
        ("Document 1", DOCX, "word/document.xml"),
        ("Spreadsheet 1", XLSX, "xl/workbook.xml"),
        ("Presentation 1", PPTX, "ppt/presentation.xml"),
    ],
)
def test_office_exports_are_real_packages(
    drive: Drive, name: str, mime_type: str, part: str
) -> None:
    package = zipfile.ZipFile(io.BytesIO(export(drive, name, mime_type).content))
    assert package.testzip() is None
    assert {"[Content_Types].xml", part} <= set(package.namelist())


def test_two_exports_differ_and_the_manifest_knows_both(drive: Drive) -> None:
    file_id = drive.named("Document 2")["id"]
    bodies = [export(drive, "Document 2", DOCX).content for _ in range(2)]
    assert bodies[0] != bodies[1]
    entry = next(e for e in drive.google.control.manifest() if e["id"] == file_id)
    served = [known["sha256"] for known in entry["exports"]]
    assert served[-2:] == [hashlib.sha256(body).hexdigest() for body in bodies]


def test_the_size_of_a_document_is_not_that_of_its_export(drive: Drive) -> None:
    file = drive.named("Document 3", "id,size,md5Checksum,headRevisionId")
    assert int(file["size"]) != len(export(drive, "Document 3", DOCX).content)
    assert {"md5Checksum", "headRevisionId"}.isdisjoint(file)


@pytest.mark.parametrize("name", ["Our site", "Whiteboard", "Walks", "Diagram", "Survey 1", "Clip"])
def test_what_has_no_export_says_so(drive: Drive, name: str) -> None:
    assert reason(export(drive, name, "application/pdf")) == (403, "fileNotExportable")
    assert "exportLinks" not in drive.named(name, "exportLinks")


def test_a_blob_is_not_exported_and_a_wrong_format_is_refused(drive: Drive) -> None:
    assert reason(export(drive, "target.txt", "application/pdf")) == (403, "fileNotExportable")
    assert reason(export(drive, "Document 1", "image/png")) == (400, "badRequest")
    missing = drive.get(f"files/{drive.named('Document 1')['id']}/export")
    assert reason(missing) == (400, "required")


def test_over_ten_megabytes_the_link_works_where_export_does_not(drive: Drive) -> None:
    assert reason(export(drive, "Huge sheet", XLSX)) == (403, "exportSizeLimitExceeded")
    link = drive.named("Huge sheet", "exportLinks")["exportLinks"][XLSX]
    assert link.startswith(drive.google.url)
    answer = drive.get(link)
    assert answer.headers["Content-Type"] == XLSX
    assert len(answer.content) > 10 * 1024 * 1024
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
    assert requests.get(link, timeout=60).status_code == 401


def test_a_download_operation_needs_polling_and_passes_ten_megabytes(drive: Drive) -> None:
    done, end = operation(drive, "Huge sheet", mimeType=XLSX)
    assert done == [False, False, False, True]
    answer = drive.get(end["response"]["downloadUri"])
    assert [step.status_code for step in answer.history] == [302]
    assert len(answer.content) > 10 * 1024 * 1024


@pytest.mark.parametrize(("name", "mime_type"), [("Slow sheet", XLSX), ("Stubborn deck", PPTX)])
def test_where_export_and_operation_fail_the_link_is_left(
    drive: Drive, name: str, mime_type: str
) -> None:
    assert export(drive, name, mime_type).status_code in (403, 500)
    _, end = operation(drive, name, mimeType=mime_type)
    assert "error" in end
    assert "response" not in end
    link = drive.named(name, "exportLinks")["exportLinks"][mime_type]
    assert drive.get(link).status_code == 200


def test_a_vid_comes_by_operation_only(drive: Drive) -> None:
    assert reason(export(drive, "Clip", "video/mp4")) == (403, "fileNotExportable")
    _, end = operation(drive, "Clip", mimeType="video/mp4")
    answer = drive.get(end["response"]["downloadUri"])
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.content[4:8] == b"ftyp"


def test_a_blob_comes_by_operation_too(drive: Drive) -> None:
    _, end = operation(drive, "target.txt")
    assert drive.get(end["response"]["downloadUri"]).content == b"the target of shortcuts\n"


def test_an_operation_belongs_to_who_started_it(google: RunningEmulator, drive: Drive) -> None:
    _, end = operation(drive, "Clip")
    grace = Drive(google, "grace.hopper@example.com")
    assert grace.get(f"operations/{end['name']}").status_code == 404
    assert grace.get(end["response"]["downloadUri"]).status_code == 404


def test_a_view_only_document_is_refused_everywhere(drive: Drive) -> None:
    file = drive.named("View only document", "id,exportLinks,capabilities(canDownload)")
    assert file["capabilities"] == {"canDownload": False}
    assert "exportLinks" not in file
    assert reason(export(drive, "View only document", DOCX)) == (403, "cannotDownloadFile")
    refused = drive.post(f"files/{file['id']}/download", mimeType=DOCX)
    assert reason(refused) == (403, "cannotDownloadFile")


def test_documents_of_shared_drives_export_without_a_flag(drive: Drive) -> None:
    shared = drive.get("drives").json()["drives"][0]["id"]
    file = drive.named("Numbers", corpora="drive", driveId=shared, **EVERYWHERE)
    assert drive.get(f"files/{file['id']}/export", mimeType=XLSX).status_code == 200
