"""The Drive source against the stand-in: the whole sample account, as its manifest tells it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest

from syncapp import errors
from syncapp.sources.drive_items import ORPHANS, SHARED_DRIVES, SHARED_WITH_ME
from syncapp.sources.google_drive import DRIVE_SCOPES, GoogleDriveSource
from syncapp.types import Content, RemoteFile
from tests.servers.emulator import RunningEmulator
from tests.sources.conftest import drive_source
from tests.sources.reading import manifest, named, read, scanned

PROBLEMS = {  # what the stand-in's manifest says that Google refuses, as a scan can already tell
    "cannotDownloadFile": "cannot_download",
    "cannotListChildren": "cannot_list_children",
    "fileNotExportable": "not_exportable",
    "cannotDownloadAbusiveFile": "",  # only the download tells
    None: "",
}


def test_every_item_is_listed_exactly_once(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    account = google.control.accounts()[0]
    synthetic = {account["root_id"], SHARED_WITH_ME, ORPHANS, SHARED_DRIVES}
    synthetic |= {drive["id"] for drive in account["drives"]}
    counts = Counter(file.remote_id for file in scanned(source))
    assert counts == Counter(manifest(google).keys() | synthetic)


def test_a_listing_goes_on_behind_any_page(
    source: GoogleDriveSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncapp.sources.drive_listing.PAGE_SIZE", 25)
    pages = list(source.scan({}))
    assert len({page.scope for page in pages}) > 1
    for number, page in enumerate(pages):
        following = list(source.scan({}, page.after))[1:]
        assert [p.ids for p in following] == [p.ids for p in pages[number + 1 :]]


def test_every_refusal_that_a_list_tells_is_a_problem_and_nothing_else_is(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    truth = manifest(google)
    files = [file for file in scanned(source) if file.remote_id in truth]
    told = {file.remote_id: file.problem for file in files}
    assert told == {item_id: PROBLEMS[entry["refused"]] for item_id, entry in truth.items()}
    assert all(bool(file.problem) == bool(file.problem_message) for file in files)


def test_every_path_leads_to_a_root(google: RunningEmulator, source: GoogleDriveSource) -> None:
    files = {file.remote_id: file for file in scanned(source)}
    roots = {file.remote_id for file in files.values() if file.parent_id == ""}
    for file in files.values():
        here = file
        for _ in range(100):
            if here.remote_id in roots:
                break
            here = files[here.parent_id]
        assert here.remote_id in roots, file.name


def test_names_types_and_hashes_are_those_of_the_account(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    truth = manifest(google)
    for file in scanned(source):
        entry = truth.get(file.remote_id)
        if entry is None:
            continue
        assert file.name == entry["name"].replace("\0", "\u2400")
        assert (file.mime_type, file.trashed) == (entry["mime_type"], entry["trashed"])
        assert file.drive_id == (entry["drive_id"] or "")
        if file.content is Content.BLOB:
            assert file.size == entry["size"]
            assert file.md5 == (entry["claimed_md5"] or entry["md5"])
            assert file.sha256 in (entry["sha256"], None)


def test_every_readable_file_reads_as_google_serves_it(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    before = manifest(google)
    readable = [
        file
        for file in scanned(source)
        if file.content not in (Content.FOLDER, Content.UNSUPPORTED)
    ]
    digests = {f.remote_id: _digest_or_code(source, f) for f in readable}
    after = manifest(google)
    for file in readable:
        digest, entry = digests[file.remote_id], after[file.remote_id]
        if entry["refused"]:
            assert digest in ("cannot_download_file", "cannot_download_abusive_file")
        elif file.content is Content.BLOB:
            assert digest == before[file.remote_id]["sha256"], file.name
        elif file.content is Content.EXPORT:
            assert digest == entry["exports"][-1]["sha256"], file.name
            assert file.extra["export_mime"] == entry["exports"][-1]["mime_type"]


def _digest_or_code(source: GoogleDriveSource, file: RemoteFile) -> str:
    digest, size = hashlib.sha256(), 0
    try:
        with source.download(file) as download:
            for chunk in download.chunks:
                digest.update(chunk)
                size += len(chunk)
            assert download.size in (size, None)
    except errors.PermanentError as error:
        return error.code
    assert size > 0 or file.size == 0
    return digest.hexdigest()


@pytest.mark.parametrize(
    ("name", "via"),
    [
        ("Document 1", "export"),
        ("Huge sheet", "download"),
        ("Clip", "download"),
        ("Stubborn deck", "exportLinks"),
        ("Slow sheet", "exportLinks"),
    ],
)
def test_each_document_takes_the_first_way_that_leads_up(
    google: RunningEmulator, source: GoogleDriveSource, name: str, via: str
) -> None:
    file = named(source, name)
    data = read(source, file)
    served = manifest(google)[file.remote_id]["exports"][-1]
    assert (served["via"], served["sha256"]) == (via, hashlib.sha256(data).hexdigest())


def test_forms_come_with_their_responses(source: GoogleDriveSource) -> None:
    forms = [file for file in scanned(source) if file.content is Content.FORM]
    documents = [json.loads(read(source, form)) for form in forms]
    assert all(document["form"]["items"] for document in documents)
    assert any(document["responses"] for document in documents)
    assert all(document["responses_left_out"] is None for document in documents)


def test_form_without_the_responses_permission_says_so(google: RunningEmulator) -> None:
    source = drive_source(google)
    scoped = GoogleDriveSource(
        source._client._credentials, source._client.endpoints, scopes=DRIVE_SCOPES
    )
    document = json.loads(read(scoped, named(scoped, "Survey 1")))
    assert document["responses"] == []
    assert document["responses_left_out"]


def test_dangling_shortcut_is_kept_as_json(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    file = named(source, "dangling")
    target = json.loads(read(source, file))["target_id"]
    assert target == manifest(google)[file.remote_id]["target"]
    assert target not in manifest(google)


def test_start_cursor_has_a_place_in_every_log(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    cursor = source.start_cursor()
    assert cursor["user"]
    drives = google.control.accounts()[0]["drives"]
    assert cursor["drives"].keys() == {drive["id"] for drive in drives}
    assert json.loads(json.dumps(cursor)) == cursor


def test_account_and_check_tell_who_and_what(source: GoogleDriveSource) -> None:
    assert source.account().email == "ada.lovelace@example.com"
    assert {result.level for result in source.check()} == {"ok"}


def test_check_names_missing_permissions(google: RunningEmulator) -> None:
    running = drive_source(google)
    blind = GoogleDriveSource(
        running._client._credentials, running._client.endpoints, scopes=frozenset()
    )
    levels = {result.name: result.level for result in blind.check()}
    assert levels["drive permission"] == "error"
    assert levels["form responses"] == "warning"
