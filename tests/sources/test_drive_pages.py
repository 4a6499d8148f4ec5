"""Items that stay untranslated, their marks, and the one page that is fetched ahead."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from syncapp.errors import TransientError, Unavailable
from syncapp.sources import drive_pages
from syncapp.sources.drive_items import Tree
from syncapp.sources.google_drive import GoogleDriveSource
from syncapp.types import ItemPage, RemoteFile
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.sources.conftest import drive_source
from tests.sources.reading import files_of
from tests.sources.scripted_google import Answer, Seen, as_json, refusal, scripted_google

WAIT_S = 10


def marks(pages: list[ItemPage]) -> dict[str, int]:
    return {
        item_id: mark for page in pages for item_id, mark in zip(page.ids, page.marks, strict=True)
    }


@pytest.fixture(scope="module")
def changing() -> Iterator[RunningEmulator]:
    with running_emulator("sample") as running:
        yield running


def test_nothing_is_translated_until_it_is_asked_for(
    source: GoogleDriveSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    translated: list[object] = []
    true = drive_pages.to_file

    def counted(item: dict[str, object], tree: Tree) -> RemoteFile:
        translated.append(item["id"])
        return true(item, tree)

    monkeypatch.setattr(drive_pages, "to_file", counted)
    pages = list(source.scan({}))
    assert translated == []
    page = pages[1]
    assert page.file(3).remote_id == page.ids[3]
    assert translated == [page.ids[3]]


def test_marks_stay_while_nothing_changes_and_change_with_an_item(
    changing: RunningEmulator,
) -> None:
    source = drive_source(changing)
    before = marks(list(source.scan({})))
    assert marks(list(drive_source(changing).scan({}))) == before
    file = next(f for p in source.scan({}) for f in files_of(p) if f.name == "addresses.csv")
    changing.control.set(file.remote_id, starred=True)
    after = marks(list(source.scan({})))
    assert {item_id for item_id in after if after[item_id] != before[item_id]} == {file.remote_id}
    assert all(-(2**63) <= mark < 2**63 for mark in after.values())


def test_mark_of_an_item_is_the_same_in_a_list_and_in_a_change_log(
    changing: RunningEmulator,
) -> None:
    source = drive_source(changing)
    cursor = source.start_cursor()
    file = changing.control.create("in both.txt", b"a")
    (told,) = [marks([p.items]) for p in source.changes(cursor) if p.items.ids]
    assert marks(list(source.scan({})))[file["id"]] == told[file["id"]]


def test_pages_are_trusted_only_while_the_translation_is_the_cursors(
    changing: RunningEmulator,
) -> None:
    source = drive_source(changing)
    cursor = source.start_cursor()
    assert not any(page.trusted for page in source.scan({}))
    trusted = [page.trusted for page in source.scan(cursor)]
    assert trusted == [False, *[True] * (len(trusted) - 1)]  # the synthetic folders come first
    drive_id = changing.control.accounts()[0]["drives"][0]["id"]
    changing.control.mutate("leave_drive", drive_id=drive_id)
    try:
        assert not any(page.trusted for page in drive_source(changing).scan(cursor))
    finally:
        changing.control.mutate("join_drive", drive_id=drive_id)
    assert any(page.trusted for page in drive_source(changing).scan(cursor))


def test_new_way_of_translating_trusts_nothing_old(
    source: GoogleDriveSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = source.start_cursor()
    monkeypatch.setattr("syncapp.sources.drive_items.TRANSLATION", -1)
    assert not any(page.trusted for page in source.scan(cursor))


def test_scan_uses_what_its_cursor_was_made_with(changing: RunningEmulator) -> None:
    source = drive_source(changing)
    source.start_cursor()
    changing.control.reset_counters()
    list(source.scan({}))
    assert "about.get" not in changing.control.counters()["requests"]
    list(source.scan({}))  # another scan, without a cursor of its own
    assert changing.control.counters()["requests"]["about.get"] == 1


def one_list(answer: Answer) -> list[ItemPage]:
    def script(request: Seen) -> Answer:
        if "/files/root" in request.path:
            return as_json({"id": "root-id"})
        return answer if "/files?" in request.path else as_json({})

    with scripted_google(script) as google:
        return list(google.source().scan({}))[1:]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"files": [', b'{"files": {}}', b'{"files": [{"name": "no id"}]}']
)
def test_page_that_cannot_be_read_is_no_empty_page(body: bytes) -> None:
    with pytest.raises(Unavailable):
        one_list(Answer(body=body))


def test_lone_surrogates_are_mended_as_everywhere() -> None:
    item = {"id": "a", "name": "\ud83d.txt", "mimeType": "text/plain", "description": "\0"}
    (page,) = one_list(Answer(body=json.dumps({"files": [item, {"id": "b"}]}).encode()))
    assert list(page.ids) == ["a", "b"]
    assert (page.file(0).name, page.file(1).name) == ("\ufffd.txt", "")


def test_compressed_page_is_read_like_any_other() -> None:
    answer = as_json({"files": [{"id": "a"}]})
    answer.body = gzip.compress(answer.body)
    answer.headers["Content-Encoding"] = "gzip"
    assert [list(page.ids) for page in one_list(answer)] == [["a"]]


def test_cut_page_is_fetched_again() -> None:
    cuts = iter([20, 20])

    def script(request: Seen) -> Answer:
        if "/files/root" in request.path:
            return as_json({"id": "root-id"})
        if "/files?" not in request.path:
            return as_json({})
        return Answer(body=b'{"files": [{"id": "a"}]}', cut_after=next(cuts, None))

    with scripted_google(script) as google:
        assert [list(page.ids) for page in google.source().scan({})][1:] == [["a"]]
        assert google.count("/files?") == 3


def test_page_that_is_refused_for_its_pace_is_asked_for_again() -> None:
    refusals = iter([refusal(429, "rateLimitExceeded"), refusal(403, "userRateLimitExceeded")])
    pauses: list[float] = []

    def script(request: Seen) -> Answer:
        if "/files/root" in request.path:
            return as_json({"id": "root-id"})
        if "/files?" not in request.path:
            return as_json({})
        return next(refusals, as_json({"files": [{"id": "a"}]}))

    with scripted_google(script) as google:
        assert [list(page.ids) for page in google.source(pauses).scan({})][1:] == [["a"]]
    assert len(pauses) == 2


def test_one_page_is_fetched_ahead_and_no_more() -> None:
    asked = threading.Semaphore(0)

    def pages() -> Iterator[int]:
        for number in range(5):
            asked.release()
            yield number

    read = drive_pages.ahead(pages())
    assert next(read) == 0
    assert asked.acquire(timeout=WAIT_S)  # the page that was read
    assert asked.acquire(timeout=WAIT_S)
    assert not asked.acquire(timeout=0.1)
    assert list(read) == [1, 2, 3, 4]


def test_error_of_a_page_comes_after_the_pages_before_it() -> None:
    def pages() -> Iterator[int]:
        yield 1
        raise TransientError("cut")

    read = drive_pages.ahead(pages())
    assert next(read) == 1
    with pytest.raises(TransientError):
        next(read)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_foresaw_ends_the_reading_too() -> None:
    def pages() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    read = drive_pages.ahead(pages())
    assert next(read) == 1
    with pytest.raises(ZeroDivisionError):
        next(read)


def test_reader_that_stops_early_does_not_wait_for_the_page_under_way() -> None:
    started, going, ended = threading.Event(), threading.Event(), threading.Event()

    def pages() -> Iterator[int]:
        try:
            yield 1
            started.set()
            going.wait(WAIT_S)
            yield 2
        finally:
            ended.set()

    read = drive_pages.ahead(pages())
    assert next(read) == 1
    assert started.wait(WAIT_S)
    read.close()  # type: ignore[attr-defined]
    assert not ended.is_set()
    going.set()
    assert ended.wait(WAIT_S)


def test_page_under_way_does_not_keep_a_process_from_ending() -> None:
    script = """
import threading
from syncapp.sources.drive_pages import ahead

def pages():
    yield 1
    threading.Event().wait()

print(next(ahead(pages())))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout == "1\n"


@pytest.mark.slow
def test_memory_of_a_large_scan_is_that_of_a_few_pages() -> None:
    with running_emulator("synthetic", files=50_000, units_per_minute=0) as running:
        pages = drive_source(running).scan({})
        count = sum(len(next(pages).ids) for _ in range(4))
        tracemalloc.start()
        try:
            count += sum(len(page.ids) for page in pages)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert count == 50_000 + 250 + 4
    assert peak < 10 * 1024**2
