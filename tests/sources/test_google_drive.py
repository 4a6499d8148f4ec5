"""The Drive source against the stand-in: the whole sample account, every kind of fault."""

from __future__ import annotations

import hashlib
import json
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from syncapp import errors
from syncapp.sources import google_client
from syncapp.sources.drive_items import ORPHANS, SHARED_DRIVES, SHARED_WITH_ME
from syncapp.sources.google_client import CALL_TRIES
from syncapp.sources.google_drive import DRIVE_SCOPES, GoogleDriveSource
from syncapp.types import Content, RemoteFile
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.sources.conftest import drive_source

MIB = 1024**2
PROBLEMS = {  # what the stand-in's manifest says that Google refuses, as a scan can already tell
    "cannotDownloadFile": "cannot_download",
    "cannotListChildren": "cannot_list_children",
    "fileNotExportable": "not_exportable",
    "cannotDownloadAbusiveFile": "",  # only the download tells
    None: "",
}


def manifest(running: RunningEmulator) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in running.control.manifest()}


def scanned(source: GoogleDriveSource) -> list[RemoteFile]:
    return [file for page in source.scan() for file in page.files]


def named(source: GoogleDriveSource, name: str) -> RemoteFile:
    return next(file for file in scanned(source) if file.name == name)


def read(source: GoogleDriveSource, file: RemoteFile) -> bytes:
    with source.download(file) as download:
        return b"".join(download.chunks)


# --- the whole sample account ------------------------------------------------------------------


def test_every_item_is_listed_exactly_once(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    account = google.control.accounts()[0]
    synthetic = {account["root_id"], SHARED_WITH_ME, ORPHANS, SHARED_DRIVES}
    synthetic |= {drive["id"] for drive in account["drives"]}
    counts = Counter(file.remote_id for file in scanned(source))
    assert counts == Counter(manifest(google).keys() | synthetic)


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


# --- faults ------------------------------------------------------------------------------------

TRANSIENT = [
    (403, "rateLimitExceeded", errors.RateLimited),
    (403, "userRateLimitExceeded", errors.RateLimited),
    (429, "rateLimitExceeded", errors.RateLimited),
    (500, "internalError", errors.Unavailable),
    (502, "backendError", errors.Unavailable),
    (503, "backendError", errors.Unavailable),
    (504, "backendError", errors.Unavailable),
]
FINAL = [
    (403, "downloadQuotaExceeded", errors.Deferred),
    (403, "dailyLimitExceeded", errors.QuotaExhausted),
    (403, "fileNotDownloadable", errors.PermanentError),
    (403, "cannotDownloadFile", errors.PermanentError),
    (403, "insufficientFilePermissions", errors.PermanentError),
    (403, "appNotAuthorizedToFile", errors.PermanentError),
    (403, "teamDriveMembershipRequired", errors.PermanentError),
    (404, "notFound", errors.NotFound),
    (403, "domainPolicy", errors.ReconnectRequired),
    (401, "authError", errors.ReconnectRequired),
]


@pytest.mark.parametrize(("status", "reason", "kind"), TRANSIENT)
def test_passing_fault_is_got_over(
    google: RunningEmulator, source: GoogleDriveSource, status: int, reason: str, kind: Any
) -> None:
    file = named(source, "addresses.csv")
    google.control.add_fault("alt=media", status=status, reason=reason, count=CALL_TRIES - 1)
    google.control.add_fault("/about", status=status, reason=reason, count=CALL_TRIES - 1)
    assert hashlib.md5(read(source, file)).hexdigest() == file.md5
    assert source.account().email


@pytest.mark.parametrize(("status", "reason", "kind"), TRANSIENT)
def test_lasting_fault_ends_in_its_class(
    google: RunningEmulator, source: GoogleDriveSource, status: int, reason: str, kind: Any
) -> None:
    file = named(source, "addresses.csv")
    google.control.add_fault("alt=media|/about", status=status, reason=reason)
    with pytest.raises(kind):
        read(source, file)
    with pytest.raises(kind):
        source.account()


@pytest.mark.parametrize(("status", "reason", "kind"), FINAL)
def test_refusal_is_not_tried_again(
    google: RunningEmulator, source: GoogleDriveSource, status: int, reason: str, kind: Any
) -> None:
    file = named(source, "addresses.csv")
    google.control.reset_counters()
    google.control.add_fault("alt=media", status=status, reason=reason)
    with pytest.raises(kind) as caught:
        read(source, file)
    assert type(caught.value) is kind
    tries = 2 if status == 401 else 1  # once more with a fresh token
    assert google.control.counters()["requests"]["fault"] == tries


def test_flagged_file_is_read_when_it_is_the_owners_own(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    file = named(source, "flagged as abuse.zip")
    assert hashlib.md5(read(source, file)).hexdigest() == file.md5


def test_big_file_cut_in_the_middle_is_resumed(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    file = named(source, "video 64 MB.mp4")
    google.control.add_fault("alt=media", cut_after=30 * MIB, count=1)
    google.control.add_fault("alt=media", cut_after=20 * MIB, count=1)
    google.control.reset_counters()
    assert hashlib.md5(read(source, file)).hexdigest() == file.md5
    counters = google.control.counters()
    assert counters["requests"]["files.media"] == 3
    assert counters["bytes_served"] < 66 * MIB


@pytest.mark.parametrize("path", ["alt=media", "/about"])
def test_silence_is_a_time_out(
    google: RunningEmulator, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(google_client, "READ_TIMEOUT_S", 0.1)
    source = drive_source(google)
    file = RemoteFile("any", "", "any", "text/plain", Content.BLOB, "r")
    google.control.add_fault(path, delay_s=0.4)
    with pytest.raises(errors.Unavailable) as caught:
        source.account() if path == "/about" else read(source, file)
    assert caught.value.code == "timed_out"


def test_incomplete_search_fails_the_scan(
    google: RunningEmulator, source: GoogleDriveSource
) -> None:
    google.control.add_fault("/files", incomplete_search=True)
    with pytest.raises(errors.TransientError) as caught:
        scanned(source)
    assert caught.value.code == "incomplete_listing"


# --- changes, tokens, size: emulators of their own ------------------------------------------------


@pytest.fixture(scope="module")
def private() -> Iterator[RunningEmulator]:
    with running_emulator("sample", units_per_minute=0) as running:
        yield running


def test_file_edited_while_it_is_read_is_not_glued(private: RunningEmulator) -> None:
    source = drive_source(private)
    file = named(source, "nine.zip")
    private.control.add_fault("alt=media", cut_after=4 * MIB, count=1)
    with source.download(file) as download:
        next(download.chunks)
        private.control.edit(file.remote_id)
        with pytest.raises(errors.TransientError) as caught:
            list(download.chunks)
    assert caught.value.code == "changed_while_reading"
    now = source.refresh(file)
    assert now.revision != file.revision
    assert hashlib.md5(read(source, now)).hexdigest() == now.md5


def test_refresh_tells_a_deleted_file(private: RunningEmulator) -> None:
    source = drive_source(private)
    file = named(source, "of 1970.txt")
    private.control.delete(file.remote_id)
    with pytest.raises(errors.NotFound):
        source.refresh(file)
    with pytest.raises(errors.NotFound):
        read(source, file)


def test_expired_token_is_renewed_on_the_way(private: RunningEmulator) -> None:
    source = drive_source(private)
    file = named(source, "addresses.csv")
    private.control.expire_tokens()
    assert hashlib.md5(read(source, file)).hexdigest() == file.md5
    private.control.expire_tokens()
    assert source.account().email == "ada.lovelace@example.com"


def test_withdrawn_consent_asks_to_reconnect() -> None:
    with running_emulator("sample") as running:
        source = drive_source(running)
        file = named(source, "addresses.csv")
        running.control.revoke_tokens()
        with pytest.raises(errors.ReconnectRequired):
            read(source, file)
        with pytest.raises(errors.ReconnectRequired):
            source.account()


def test_rejected_page_token_starts_the_scan_again_by_whoever_runs_it() -> None:
    with running_emulator("synthetic", files=2500) as running:
        pages = drive_source(running).scan()
        next(pages)
        next(pages)
        running.control.stale_page_tokens()
        with pytest.raises(errors.TransientError) as caught:
            next(pages)
        assert caught.value.code == "listing_expired"


def test_memory_of_a_scan_does_not_grow_with_the_account() -> None:
    with running_emulator("synthetic", files=20_000) as running:
        pages = drive_source(running).scan()
        count = sum(len(next(pages).files) for _ in range(4))
        tracemalloc.start()
        try:
            count += sum(len(page.files) for page in pages)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert count == 20_000 + 100 + 4  # files, folders, synthetic roots
    assert peak < 15 * MIB


def test_threads_share_one_source(google: RunningEmulator, source: GoogleDriveSource) -> None:
    files = [f for f in scanned(source) if f.content is Content.BLOB and (f.size or 0) < MIB][:60]
    files = [f for f in files if f.name != "IMG_wrong_md5.jpg" and not f.problem]
    barrier = threading.Barrier(2)

    def work(mine: list[RemoteFile]) -> list[str]:
        barrier.wait()
        digests = []
        for file in mine:
            source.refresh(file)
            digests.append(hashlib.md5(read(source, file)).hexdigest())
        return digests

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, [files, files[::-1]])
    assert first == [file.md5 for file in files]
    assert second == first[::-1]
