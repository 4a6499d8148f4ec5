"""Files are found by whatever is known of them, page by page, and nobody's else."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from model_bakery import baker

from accounts.models import User
from syncapp.engine import search as searching
from syncapp.engine.search import Deleted, Kind, Wanted, search
from syncapp.models import File, Place, Source, Version
from syncapp.types import Content

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _all_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_SECONDS", 60)


@pytest.fixture
def source(db: None) -> Source:
    owner = baker.make(User)
    made: Source = baker.make(Source, owner=owner, account__user=owner, slug="ada")
    file(made, "My Drive", "", remote_id="root", content=Content.FOLDER)
    return made


def file(source: Source, name: str, parent: str = "root", **fields: Any) -> File:
    content = fields.get("content", Content.BLOB)
    mime = "application/vnd.google-apps.folder" if content == Content.FOLDER else "text/plain"
    known = {"mime_type": mime, "first_seen_at": NOON, "placed_at": NOON, "content": content}
    about: dict[str, Any] = known | fields
    made: File = baker.make(File, source=source, name=name, parent_id=parent, key_fold="", **about)
    return made


def version(of: File, size: int | None, modified: datetime = NOON, **fields: Any) -> Version:
    known: dict[str, Any] = {"first_seen_at": modified, "revision": str(of.versions.count())}
    known["current"] = not of.versions.filter(current=True).exists()
    known |= fields
    made: Version = baker.make(
        Version, source=of.source, file=of, size=size, modified_at=modified, **known
    )
    return made


def renamed(of: File, name: str, at: datetime) -> None:
    baker.make(
        Place,
        source=of.source,
        file=of,
        parent_id=of.parent_id,
        name=of.name,
        from_at=of.placed_at,
        until_at=at,
    )
    File.objects.filter(pk=of.pk).update(name=name, placed_at=at)
    of.refresh_from_db()


def names(source: Source, *, limit: int = 50, **wanted: Any) -> list[str]:
    """Of all pages; each page is as long as asked."""
    found, after = [], ""
    while True:
        page = search(Wanted([source.pk], **wanted), after, limit)
        assert len(page.hits) <= limit
        found += [hit.name for hit in page.hits]
        after = page.after
        if not after:
            return found


def test_all_words_must_be_in_the_name_in_whatever_capitals_and_order(source: Source) -> None:
    for name in ("Tax Report 2024.pdf", "report.txt", "Steuerbescheid.pdf", "übergröße TAX report"):
        file(source, name)
    assert set(names(source, text="report TAX")) == {"Tax Report 2024.pdf", "übergröße TAX report"}
    assert names(source, text="bescheid") == ["Steuerbescheid.pdf"]
    assert names(source, text="ÜBERGRÖ") == ["übergröße TAX report"]
    assert names(source, text="report 24") == ["Tax Report 2024.pdf"]
    assert names(source, text="nothing like it") == []


def test_words_too_short_for_the_index_are_found_too(source: Source) -> None:
    for name in ("qi.txt", "other.txt", "日本語.txt"):
        file(source, name)
    assert names(source, text="QI") == ["qi.txt"]
    assert names(source, text="日本") == ["日本語.txt"]
    assert names(source, text="日本語") == ["日本語.txt"]


@pytest.mark.parametrize(
    "text",
    ['"', '"""', "a\"b OR name:x", "NEAR(a b)", "name : abc*", "100%_x", "\\%_", "z\0bc", "---",
     "' OR 1=1 --", "(((", "\ud800abc", "%%%", "___", "abc^2", "x" * 5000],
)  # fmt: skip
def test_whatever_is_typed_is_only_looked_for(source: Source, text: str) -> None:
    file(source, "innocent abc.txt")
    assert names(source, text=text) == []
    assert names(source, path=text) == []


def test_what_looks_like_a_pattern_is_found_as_it_is(source: Source) -> None:
    for name in ('100%_sure "so" (1).txt', "100 percent sure.txt"):
        file(source, name)
    assert names(source, text='100%_ "so" (1)') == ['100%_sure "so" (1).txt']


def test_a_renamed_file_is_found_by_its_former_name_too_and_once(source: Source) -> None:
    one = file(source, "draft one.txt")
    renamed(one, "draft two.txt", NOON + DAY)
    renamed(one, "draft three.txt", NOON + 2 * DAY)
    renamed(one, "final.txt", NOON + 3 * DAY)
    assert names(source, text="final") == ["final.txt"]
    assert names(source, text="draft", limit=1) == ["draft three.txt"]
    assert names(source, text="draft one") == ["draft one.txt"]
    renamed(one, "draft again.txt", NOON + 4 * DAY)
    assert names(source, text="draft") == ["draft again.txt"]


def test_the_index_follows_renames_and_removals(source: Source) -> None:
    one = file(source, "before.txt")
    File.objects.filter(pk=one.pk).update(name="afterwards.txt")
    assert names(source, text="before") == []
    assert names(source, text="afterwards") == ["afterwards.txt"]
    one.delete()
    assert names(source, text="afterwards") == []


def test_a_moment_has_the_names_and_files_of_then(source: Source) -> None:
    one = file(source, "draft.txt")
    renamed(one, "final draft.txt", NOON + DAY)
    file(source, "late draft.txt", first_seen_at=NOON + 5 * DAY, placed_at=NOON + 5 * DAY)
    lost = file(source, "lost draft.txt")
    renamed(lost, "lost draft.txt", NOON + 2 * DAY)
    File.objects.filter(pk=lost.pk).update(vanished_at=NOON + 2 * DAY)
    at = NOON + timedelta(hours=1)
    assert sorted(names(source, text="draft", at=at)) == ["draft.txt", "lost draft.txt"]
    assert names(source, text="final", at=at) == []
    after = NOON + 3 * DAY
    assert names(source, text="draft", at=after) == ["final draft.txt"]
    assert set(names(source, at=at)) == {"My Drive", "draft.txt", "lost draft.txt"}


def test_what_is_gone_is_found_left_out_or_wanted_alone(source: Source) -> None:
    file(source, "here.txt")
    file(source, "trashed.txt", trashed_at=NOON)
    file(source, "vanished.txt", vanished_at=NOON)
    assert set(names(source, text="txt")) == {"here.txt", "trashed.txt", "vanished.txt"}
    assert names(source, text="txt", deleted=Deleted.NO) == ["here.txt"]
    assert names(source, text="txt", deleted=Deleted.ONLY) == ["vanished.txt", "trashed.txt"]
    assert names(source, deleted=Deleted.ONLY, limit=1) == ["vanished.txt", "trashed.txt"]


def test_sizes_are_those_of_any_version_and_largest_come_first(source: Source) -> None:
    small, grown, big = (file(source, name) for name in ("small", "grown", "big"))
    version(small, 10)
    for size in (20, 3000, 2500, 40):
        version(grown, size)
    version(big, 9000)
    version(file(source, "unread"), None)
    assert names(source, larger=2000, limit=1) == ["big", "grown"]
    assert names(source, smaller=20) == ["grown", "small"]
    assert names(source, larger=2600, smaller=8000) == ["grown"]
    hit = search(Wanted([source.pk], larger=2000, smaller=2999)).hits[0]
    assert hit.version is not None
    assert hit.version.size == 2500
    assert names(source, larger=2000, at=NOON) == ["big", "grown"]
    grown.versions.filter(size__gt=2000).update(replaced_at=NOON)
    assert names(source, larger=2000, at=NOON) == ["big"]


def test_dates_are_those_of_any_version_and_must_fit_with_the_size(source: Source) -> None:
    one, other = file(source, "one"), file(source, "other")
    version(one, 10, NOON)
    version(one, 500, NOON + 9 * DAY)
    version(other, 10, NOON + 5 * DAY)
    assert names(source, since=NOON + DAY, limit=1) == ["one", "other"]
    assert names(source, until=NOON + 6 * DAY) == ["other", "one"]
    assert names(source, since=NOON + DAY, until=NOON + 6 * DAY) == ["other"]
    assert names(source, larger=100, until=NOON + DAY) == []
    assert names(source, text="one", larger=100, since=NOON + DAY) == ["one"]


def test_kinds_go_by_type(source: Source) -> None:
    for number, mime in enumerate(
        ("image/png", "image/jpeg", "application/pdf", "video/mp4", "application/zip")
    ):
        file(source, f"f{number}", mime_type=mime)
    assert set(names(source, kind=Kind.IMAGE, limit=1)) == {"f0", "f1"}
    assert names(source, kind=Kind.ARCHIVE) == ["f4"]
    assert names(source, kind=Kind.FOLDER) == ["My Drive"]
    assert names(source, kind=Kind.AUDIO) == []


def test_a_path_finds_what_lies_anywhere_below(source: Source) -> None:
    for remote_id, parent, name in (
        ("d1", "root", "Projects"), ("d2", "d1", "2024"), ("d3", "root", "2024"),
    ):  # fmt: skip
        file(source, name, parent, remote_id=remote_id, content=Content.FOLDER)
    for parent in ("d1", "d2", "d3"):
        file(source, f"in {parent}.txt", parent)
    assert set(names(source, path="projects")) == {"2024", "in d1.txt", "in d2.txt"}
    assert names(source, path="Projects/2024/") == ["in d2.txt"]
    assert set(names(source, path="2024", limit=1)) == {"in d2.txt", "in d3.txt"}
    assert names(source, text="txt", path="Drive/2024") == ["in d3.txt"]
    assert search(Wanted([source.pk], path="Projects/2024")).hits[0].folder == (
        "My Drive/Projects/2024"
    )


def test_only_the_sources_asked_are_searched(source: Source) -> None:
    other: Source = baker.make(Source, owner=source.owner, account__user=source.owner, slug="bob")
    theirs = file(other, "mine or yours.txt")
    version(theirs, 5000)
    file(source, "mine or yours.txt")
    wishes: list[dict[str, Any]] = [
        {"text": "yours"}, {"larger": 1}, {"kind": Kind.DOCUMENT}, {}, {"path": "Drive"},
        {"since": NOON - DAY}, {"deleted": Deleted.ONLY},
    ]  # fmt: skip
    for wanted in wishes:
        hits = search(Wanted([source.pk], **wanted)).hits
        assert {hit.file.source_id for hit in hits} <= {source.pk}
    both = search(Wanted([source.pk, other.pk], kind=Kind.DOCUMENT), limit=1)
    assert both.hits[0].file.source_id == source.pk
    more = search(Wanted([source.pk, other.pk], kind=Kind.DOCUMENT), both.after)
    assert [hit.file.pk for hit in more.hits] == [theirs.pk]


def test_a_page_looks_at_so_much_and_says_where_to_go_on(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MOST_LOOKED_AT", 20)
    monkeypatch.setattr(searching, "_FIRST_BATCH", 5)
    monkeypatch.setattr(searching, "_BATCH", 10)
    wanted = file(source, "the one.txt", trashed_at=NOON)
    for number in range(60):
        file(source, f"f{number}.txt")
    page = search(Wanted([source.pk], text="txt", deleted=Deleted.ONLY))
    assert not page.hits
    assert page.after
    assert page.looked_at < 40
    assert names(source, text="txt", deleted=Deleted.ONLY) == [wanted.name]


def test_a_page_ends_in_time(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_SECONDS", 0)
    for number in range(3):
        file(source, f"f{number}.txt", trashed_at=NOON if number == 0 else None)
    monkeypatch.setattr(searching, "_FIRST_BATCH", 1)
    page = search(Wanted([source.pk], text="txt", deleted=Deleted.ONLY))
    assert (len(page.hits), page.looked_at) == (0, 1)
    assert names(source, text="txt", deleted=Deleted.ONLY) == ["f0.txt"]


@pytest.mark.parametrize("key", ["", "0", "1", "00000000000000000001", None, 5])
@pytest.mark.parametrize("value", [0, 2**70, "x", "2026-01-01", NOON.isoformat(), None, [], 1e400])
def test_a_place_that_nobody_gave_breaks_nothing(source: Source, key: Any, value: Any) -> None:
    version(file(source, "some.txt"), 5)
    raw = base64.urlsafe_b64encode(json.dumps([key, value, 7]).encode()).decode()
    wishes: list[dict[str, Any]] = [{"text": "some"}, {"larger": 1}, {"since": NOON - DAY}]
    for wanted in wishes:
        search(Wanted([source.pk], **wanted), raw)
    for junk in ("ü", "====", "e30", raw[:-3], "bnVsbA"):
        assert len(search(Wanted([source.pk], text="some"), junk).hits) == 1


def test_a_page_costs_the_same_few_queries_for_any_number_of_hits(source: Source) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            search(Wanted([source.pk], text="file", larger=1, path="Drive"))
        return len(queries)

    version(file(source, "file 0"), 5)
    before = count()
    for number in range(40):
        version(file(source, f"file {number + 1}"), 5)
    assert count() <= before
