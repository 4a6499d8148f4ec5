"""A dry run against the catalog that a real scan wrote."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from model_bakery import baker

from accounts.models import User
from syncapp.engine.absorb import Absorber
from syncapp.engine.preview import Amount, Preview, preview
from syncapp.engine.scan import scan
from syncapp.errors import TransientError
from syncapp.models import Copy, Destination, File, Run, Source, Version
from syncapp.sources.base import Download
from syncapp.sources.base import Source as SourceAdapter
from syncapp.types import (
    AccountInfo,
    ChangePage,
    CheckResult,
    Content,
    ItemPage,
    JsonObject,
    RemoteFile,
    Watch,
)


class Listing(SourceAdapter):
    """A source that is nothing but a listing; it has no bytes to give."""

    kind = "listing"

    def __init__(self, *files: RemoteFile, page: int = 3) -> None:
        self.files, self.page = list(files), page

    def account(self) -> AccountInfo:
        return AccountInfo("ada@gmail.example", "Ada")

    def start_cursor(self) -> JsonObject:
        return {}

    def scan(self, trusted: JsonObject, after: JsonObject | None = None) -> Iterator[ItemPage]:
        for start in range(0, len(self.files), self.page):
            yield ItemPage.of("user", self.files[start : start + self.page])

    def changes(self, cursor: JsonObject) -> Iterator[ChangePage]:
        raise AssertionError("a preview reads no change log")

    def below(self, folder: RemoteFile) -> Iterator[ItemPage]:
        raise AssertionError("a preview looks below no folder")

    def watch(self, cursor: JsonObject, scope: str, **channel: str | int) -> Watch:  # type: ignore[override]
        raise AssertionError("a preview opens no channel")

    def stop_watching(self, channel_id: str, resource_id: str) -> None:
        raise AssertionError("a preview opens no channel")

    def refresh(self, file: RemoteFile) -> RemoteFile:
        return file

    def download(self, file: RemoteFile) -> AbstractContextManager[Download]:
        raise AssertionError("a preview reads no file")

    def check(self) -> list[CheckResult]:
        return []


class BrokenListing(Listing):
    """Ends before it is complete."""

    def scan(self, trusted: JsonObject, after: JsonObject | None = None) -> Iterator[ItemPage]:
        yield from super().scan(trusted)
        raise TransientError("The listing broke off.")


def blob(remote_id: str, size: int = 10, revision: str = "1", **fields: object) -> RemoteFile:
    plain = RemoteFile(
        remote_id, "root", f"{remote_id}.bin", "application/octet-stream", Content.BLOB, revision,
        size=size,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


ROOT = RemoteFile("root", "", "My Drive", "folder", Content.FOLDER, "")
DOCUMENT = blob("doc", content=Content.EXPORT, size=None, extension="docx")
FORM = blob("form", content=Content.FORM, size=None, extension="json")
SITE = blob("site", content=Content.UNSUPPORTED, size=None, problem="not_exportable")


@pytest.fixture
def source(db: None) -> Source:
    owner = baker.make(User)
    kept = baker.make(Source, owner=owner, account__user=owner, slug="ada")
    kept.destinations.add(baker.make(Destination, owner=owner, kind="local"))
    return kept


def store_everything(source: Source) -> None:
    """As if a backup had run: every version in every destination."""
    now = timezone.now()
    for destination in source.destinations.all():
        Copy.objects.bulk_create(
            Copy(version=v, destination=destination, state="stored", object_key="k", stored_at=now)
            for v in Version.objects.filter(source=source, state=Version.State.PENDING)
        )
    Version.objects.filter(source=source, state=Version.State.PENDING).update(state="stored")


def backed_up(source: Source, *files: RemoteFile) -> None:
    run = baker.make(Run, source=source, ended_at=timezone.now())
    scan(run, Absorber(source), Listing(*files), lambda: None)
    run.delete()
    store_everything(source)


def test_of_an_empty_catalog_everything_is_new(source: Source) -> None:
    found = preview(source, Listing(ROOT, blob("a"), blob("b", 20), DOCUMENT, FORM))
    assert found.new == Amount(files=4, bytes=30, unsized=2)
    assert (found.files, found.folders, found.vanished, found.unchanged.files) == (4, 1, 0, 0)


def test_what_is_stored_and_the_same_is_unchanged(source: Source) -> None:
    listing = ROOT, blob("a"), blob("b"), DOCUMENT
    backed_up(source, *listing)
    found = preview(source, Listing(*listing))
    assert found.unchanged.files == found.files == 3
    assert found.to_read == Amount()


def test_a_new_content_is_changed_and_a_new_name_is_not(source: Source) -> None:
    backed_up(source, ROOT, blob("a"), blob("b"))
    found = preview(source, Listing(ROOT, blob("a", 99, "2"), blob("b", name="renamed.bin")))
    assert (found.changed, found.unchanged.files) == (Amount(1, 99), 1)


def test_what_is_no_longer_listed_has_vanished(source: Source) -> None:
    gone = blob("gone"), blob("gone-before")
    backed_up(source, ROOT, blob("a"), *gone)
    File.objects.filter(remote_id="gone-before").update(vanished_at=timezone.now())
    assert preview(source, Listing(ROOT, blob("a"))).vanished == 1


def test_what_comes_back_after_it_had_vanished_is_not_read_again(source: Source) -> None:
    backed_up(source, ROOT, blob("a"), blob("back"))
    File.objects.filter(remote_id="back").update(vanished_at=timezone.now())
    found = preview(source, Listing(ROOT, blob("a"), blob("back")))
    assert (found.unchanged.files, found.vanished) == (2, 0)


def test_what_google_does_not_give_is_counted_by_reason(source: Source) -> None:
    backed_up(source, ROOT, SITE, blob("locked"), blob("a"))
    Version.objects.filter(file__remote_id="locked").update(
        state="refused", error_code="cannot_download_file"
    )
    trashed = blob("bin", trashed=True)
    found = preview(source, Listing(ROOT, SITE, blob("locked"), blob("a"), trashed))
    assert found.refused == {"not_exportable": 1, "cannot_download_file": 1, "in_trash": 1}
    assert found.files == 4


def test_what_is_stored_stays_so_when_it_lies_in_googles_trash(source: Source) -> None:
    backed_up(source, ROOT, blob("a"))
    found = preview(source, Listing(ROOT, blob("a", trashed=True)))
    assert (found.refused, found.unchanged.files) == ({}, 1)


def test_a_new_destination_makes_everything_be_read_again(source: Source) -> None:
    backed_up(source, ROOT, blob("a"), blob("b"))
    source.destinations.add(baker.make(Destination, owner=source.owner, kind="local"))
    assert preview(source, Listing(ROOT, blob("a"), blob("b"))).waiting == Amount(2, 20)


def test_a_disabled_destination_wants_nothing(source: Source) -> None:
    backed_up(source, ROOT, blob("a"))
    source.destinations.add(baker.make(Destination, owner=source.owner, enabled=False))
    assert preview(source, Listing(ROOT, blob("a"))).waiting == Amount()


def test_a_damaged_or_failed_copy_is_read_again(source: Source) -> None:
    backed_up(source, ROOT, blob("a"), blob("b"), blob("c"))
    for remote_id, state in (("a", "damaged"), ("b", "failed")):
        Copy.objects.filter(version__file__remote_id=remote_id).update(state=state)
    assert preview(source, Listing(ROOT, blob("a"), blob("b"), blob("c"))).waiting.files == 2


def test_another_sources_catalog_does_not_count(source: Source) -> None:
    other = baker.make(Source, owner=source.owner, account__user=source.owner, slug="other")
    backed_up(other, ROOT, blob("a"), blob("b"))
    found = preview(source, Listing(ROOT, blob("a")))
    assert (found.new.files, found.vanished) == (1, 0)


def test_the_quota_counts_pages_downloads_and_looks_at_documents(source: Source) -> None:
    backed_up(source, ROOT, blob("same"))
    found = preview(source, Listing(ROOT, blob("same"), blob("a"), DOCUMENT, FORM, page=2))
    assert found.pages == 3
    assert found.quota_units == 3 * 100 + 200 + (200 + 5 + 5)
    assert Preview(pages=3250).quota_minutes == pytest.approx(1)


def test_it_writes_nothing_and_asks_the_same_queries_for_every_page(source: Source) -> None:
    backed_up(source, *(blob(str(n)) for n in range(20)))
    before = list(Version.objects.values()), list(File.objects.values())
    counts = []
    for pages in (1, 4):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            preview(source, Listing(*(blob(str(n)) for n in range(5 * pages)), page=5))
        counts.append(len(queries))
        assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)
    assert counts[1] - counts[0] == 3 * (counts[0] - 6)
    assert (list(Version.objects.values()), list(File.objects.values())) == before
    assert not Run.objects.exists()


def test_an_incomplete_listing_is_an_error_and_no_preview(source: Source) -> None:
    with pytest.raises(TransientError):
        preview(source, BrokenListing(ROOT, blob("a")))


def test_the_figures_grow_with_every_page(source: Source) -> None:
    seen: list[int] = []
    listing = Listing(*(blob(str(n)) for n in range(7)), page=3)
    preview(source, listing, on_page=lambda found: seen.append(found.files))
    assert seen == [3, 6, 7]


class Endless(Listing):
    """So many files that they can't be held, made as they are listed."""

    def __init__(self, pages: int) -> None:
        super().__init__()
        self.pages = pages

    def scan(self, trusted: JsonObject, after: JsonObject | None = None) -> Iterator[ItemPage]:
        for page in range(self.pages):
            yield ItemPage.of("user", [blob(f"{page}-{n}") for n in range(100)])


def test_memory_does_not_grow_with_the_listing(source: Source) -> None:
    peaks = []
    for pages in (50, 200):
        preview(source, Endless(1))
        tracemalloc.start()
        preview(source, Endless(pages))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Ids alone, held in a set, would be over 60 bytes for each of the 15,000 more.
    assert peaks[1] - peaks[0] < 15_000 * 10
