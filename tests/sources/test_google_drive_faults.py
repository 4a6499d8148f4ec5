"""The Drive source under faults, changes, many files and several threads, against the stand-in."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from syncapp import errors
from syncapp.sources import google_client
from syncapp.sources.google_client import CALL_TRIES
from syncapp.sources.google_drive import GoogleDriveSource
from syncapp.types import Content, RemoteFile
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.sources.conftest import drive_source
from tests.sources.reading import MIB, named, read, scanned

TRANSIENT = [
    (403, "rateLimitExceeded", errors.RateLimited),
    (403, "userRateLimitExceeded", errors.RateLimited),
    (429, "rateLimitExceeded", errors.RateLimited),
    (500, "internalError", errors.Unavailable),
    (502, "backendError", errors.Unavailable),
    (503, "backendError", errors.Unavailable),
    (504, "backendError", errors.Unavailable),
    (401, "authError", errors.Unavailable),
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
    assert google.control.counters()["requests"]["fault"] == 1


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
    # By file: a request that another test gave up on may still be on its way.
    assert counters["downloads"] == {file.remote_id: 3}
    assert counters["bytes_served"] < 66 * MIB


@pytest.mark.parametrize("path", ["alt=media", "/about"])
def test_silence_is_a_time_out(
    google: RunningEmulator, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(google_client, "READ_TIMEOUT_S", 0.1)
    monkeypatch.setattr("syncapp.wire.STALL_TIMEOUT_S", 0.1)
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
    assert named(source, "addresses.csv") == file
    private.control.expire_tokens()
    assert source.account().email == "ada.lovelace@example.com"


def test_two_passing_401s_in_a_row_ask_for_no_new_link() -> None:
    with running_emulator("sample") as running:
        source = drive_source(running)
        file = named(source, "addresses.csv")
        for ask in (source.account, lambda: read(source, file)):
            running.control.add_fault("/drive/v3/", status=401, reason="authError", count=2)
            assert ask()


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
    with running_emulator("synthetic", files=5500) as running:
        pages = drive_source(running).scan({})
        next(pages)
        next(pages)
        running.control.stale_page_tokens()
        with pytest.raises(errors.TransientError) as caught:
            list(pages)
        assert caught.value.code == "listing_expired"


def test_memory_of_a_scan_does_not_grow_with_the_account() -> None:
    with running_emulator("synthetic", files=20_000) as running:
        pages = drive_source(running).scan({})
        count = sum(len(next(pages).ids) for _ in range(4))
        tracemalloc.start()
        try:
            count += sum(len(page.ids) for page in pages)
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
