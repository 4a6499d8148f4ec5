"""Folders as they were, what was deleted, and searching, on pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from syncapp.engine import search as searching
from syncapp.models import File, Span, Version
from syncapp.types import Content
from syncapp.web import queries
from tests.engine.finding import left
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]
MAY = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _all_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_SECONDS", 60)


def since(file: File, at: datetime) -> File:
    """As if the backup had first seen it then."""
    File.objects.filter(pk=file.pk).update(first_seen_at=at, placed_at=at)
    Version.objects.filter(file=file).update(first_seen_at=at)
    file.refresh_from_db()
    return file


@pytest.fixture
def moved(owner: Owned) -> File:
    """In “Letters” as “old name” from May 1 to May 3, in the top folder as “new name” since."""
    for file in File.objects.filter(source=owner.source):
        since(file, MAY - DAY)
    made = baked.file(owner.source, "m", "folder", "old name")
    baked.stored(made, owner.destinations, modified_by="ann@example.org")
    since(made, MAY)
    left(made, MAY + 2 * DAY, parent_id="root", name="new name", key_fold="new name")
    made.refresh_from_db()
    return made


def test_a_folder_is_shown_as_it_was(owner: Owned, moved: File, log_in: LogIn) -> None:
    client, address = log_in(owner.user), reverse("source_files", args=[owner.source.pk])

    def shown(at: datetime, folder: str = "folder") -> str:
        answer = client.get(address, {"folder": folder, "at": at.isoformat()})
        assert answer.status_code == 200
        return answer.content.decode()

    assert "old name" in shown(MAY + DAY)
    assert "old name" not in shown(MAY - DAY)
    assert "old name" not in shown(MAY + 3 * DAY)
    assert "new name" in shown(MAY + 3 * DAY, "root")
    version = moved.versions.get()
    download = reverse("version_download", args=[owner.source.pk, moved.pk, version.pk])
    assert download in shown(MAY + DAY)
    assert f'name="at" value="{(MAY + DAY).isoformat()}"' in shown(MAY + DAY)
    assert "knew of nothing" in shown(MAY - 9 * DAY, "")


def test_a_time_is_that_of_the_persons_zone(owner: Owned, moved: File, log_in: LogIn) -> None:
    client, address = log_in(owner.user), reverse("source_files", args=[owner.source.pk])
    told = {"folder": "folder", "on": "2026-05-01T23:30", "zone": "America/New_York"}
    answer = client.get(address, told)
    assert "at=2026-05-01T23%3A30%3A00-04%3A00" in answer["Location"]
    assert "old name" in client.get(answer["Location"]).content.decode()
    exact = client.get(address, told | {"on": "2026-05-02T03:30:00.000Z"})
    assert "at=2026-05-02T03%3A30%3A00%2B00%3A00" in exact["Location"]
    assert client.get(address, told | {"zone": "../etc/passwd"}).status_code == 302
    assert client.get(address, told | {"on": ""})["Location"] == f"{address}?folder=folder"
    for junk in ("yesterday", "0001-01-01T00:00", "2026-13-01"):
        assert client.get(address, told | {"on": junk}).status_code == 200
    future = client.get(address, told | {"on": "2199-05-05T12:00"})
    assert "lies in the future" in future.content.decode()
    for junk in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "junk"):
        assert client.get(address, {"at": junk}).status_code == 404


def test_an_address_of_the_future_leads_to_the_folder_as_it_is(
    owner: Owned, moved: File, log_in: LogIn
) -> None:
    client, address = log_in(owner.user), reverse("source_files", args=[owner.source.pk])
    answer = client.get(address, {"folder": "root", "at": "2199-05-05T12:00"}, follow=True)
    assert answer.redirect_chain == [(f"{address}?folder=root", 302)]
    assert "lies in the future" in answer.content.decode()
    assert "new name" in answer.content.decode()


def test_a_file_shows_each_time_at_which_a_version_was_its_content(
    owner: Owned, log_in: LogIn
) -> None:
    version = Version.objects.get(file=owner.file, current=True)
    days = [MAY + number * DAY for number in range(25)]
    for begin, end in zip(days[::2], days[1::2], strict=False):
        Span.objects.create(version=version, from_at=begin, until_at=end)
    told = {"first_seen_at": MAY, "returned_at": MAY + 24 * DAY}
    Version.objects.filter(pk=version.pk).update(**told)
    address = reverse("file", args=[owner.source.pk, owner.file.pk])

    page = re.sub(r"<[^>]+>", "", log_in(owner.user).get(address).content.decode())
    (line,) = re.findall("The file's content ([^.]+)\\.", unescape(page))
    assert line.startswith("since 2026-05-25")
    assert line.count("from") == queries.MOST_SPANS
    assert line.endswith("to 2026-05-06 12:00 UTC and before")


def test_past_pages_hold_everything_once_folders_first_then_by_name(owner: Owned) -> None:
    since(owner.folder, MAY)
    for number in range(60):
        since(baked.file(owner.source, f"n{number}", "big", f"n{number:03}"), MAY)
        gone = since(baked.file(owner.source, f"g{number}", "big", f"g{number:03}"), MAY)
        left(gone, MAY + 2 * DAY, vanished_at=MAY + 2 * DAY)
    since(baked.file(owner.source, "z", "big", "z", content=Content.FOLDER), MAY)
    names, after = [], ""
    while True:
        page, after = queries.past_entries(owner.source, "big", MAY + DAY, after)
        names += [entry.name for entry in page]
        if not after:
            break
    wanted = [f"{letter}{n:03}" for letter in "gn" for n in range(60)]
    assert names == ["z", *wanted]
    assert len(queries.past_entries(owner.source, "big", MAY + 3 * DAY)[0]) == 50


def test_a_folder_as_it_was_is_in_the_order_of_the_present_one(owner: Owned) -> None:
    since(owner.folder, MAY)
    names = ["apple", "Banana", "cherry", "Date", "émile", "Zebra"]
    for number in range(10):
        names += [f"File {number:02}", f"file {number:02} b", f"folder {number:02}"]
    names += [f"n{number:02}" for number in range(30)]
    for number, name in enumerate(reversed(names)):
        content = Content.FOLDER if name.startswith("folder") else Content.BLOB
        since(baked.file(owner.source, f"o{number}", "big", name, content=content), MAY)
    left(File.objects.get(name="Banana"), MAY + 2 * DAY, vanished_at=MAY + 2 * DAY)

    def past(at: datetime) -> list[str]:
        first, after = queries.past_entries(owner.source, "big", at)
        second, _ = queries.past_entries(owner.source, "big", at, after)
        return [entry.name for entry in first + second]

    first, after = queries.folder_entries(owner.source, "big")
    second, _ = queries.folder_entries(owner.source, "big", after)
    now = [entry.file.name for entry in first + second]
    assert past(MAY + 3 * DAY) == now
    now.insert(now.index("apple") + 1, "Banana")
    assert past(MAY + DAY) == now


def test_a_folder_without_files_does_not_claim_to_be_empty(owner: Owned, log_in: LogIn) -> None:
    since(owner.folder, MAY)
    baked.file(owner.source, "second", "folder", "a second place", content=Content.FOLDER)
    client, address = log_in(owner.user), reverse("source_files", args=[owner.source.pk])
    for at in ("", MAY.isoformat()):
        page = client.get(address, {"folder": "second", "at": at}).content.decode()
        assert not re.search("(is|was) empty", page)
        assert "shown in the first of them only" in page


def test_what_was_deleted_is_shown_on_wish_with_its_dates(owner: Owned, log_in: LogIn) -> None:
    client, address = log_in(owner.user), reverse("source_files", args=[owner.source.pk])
    File.objects.filter(pk=owner.file.pk).update(vanished_at=MAY, name="lost.txt")
    page = client.get(address, {"folder": "folder"}).content.decode()
    assert "lost.txt" not in page
    assert "deleted=1" in page
    page = client.get(address, {"folder": "folder", "deleted": "1"}).content.decode()
    assert "lost.txt" in page
    assert MAY.isoformat() in page
    assert (MAY + 30 * DAY).isoformat() in page


def test_things_are_chosen_for_a_restore_with_the_moment(
    owner: Owned, moved: File, log_in: LogIn
) -> None:
    client, address = log_in(owner.user), reverse("source_files", args=[owner.source.pk])
    page = client.get(address, {"folder": "folder", "at": (MAY + DAY).isoformat()})
    text = page.content.decode()
    assert f'action="{reverse("restore")}"' in text
    assert f'name="file" value="{moved.pk}"' in text
    told = {"source": owner.source.pk, "file": moved.pk, "at": (MAY + DAY).isoformat()}
    assert client.get(reverse("restore"), told).status_code == 200


def test_a_file_shows_who_changed_it_and_where_it_was(
    owner: Owned, moved: File, log_in: LogIn
) -> None:
    page = log_in(owner.user).get(reverse("file", args=[owner.source.pk, moved.pk]))
    text = page.content.decode()
    assert "ann@example.org" in text
    assert "old name" in text
    assert "My Drive/Letters" in text


def test_a_search_finds_by_former_names_and_leads_to_the_file(
    owner: Owned, moved: File, log_in: LogIn
) -> None:
    client = log_in(owner.user)
    page = client.get(reverse("search"), {"q": "OLD name"}).content.decode()
    assert reverse("file", args=[owner.source.pk, moved.pk]) in page
    assert "now <bdi>new name</bdi>" in page
    assert "Nothing was found" in client.get(reverse("search"), {"q": "xyzzy"}).content.decode()
    assert "Say what you remember" in client.get(reverse("search")).content.decode()
    told = {"q": "name", "larger": "0.5", "smaller": "2", "kind": "document", "deleted": "no"}
    told |= {"since": "2020-01-01", "until": "2030-01-01", "path": "drive"}
    assert "new name" in client.get(reverse("search"), told).content.decode()
    told |= {"larger": "1.5"}
    assert "new name" not in client.get(reverse("search"), told).content.decode()


def test_nobody_finds_what_is_somebody_elses(
    owner: Owned, teammate: Owned, outsider: User, moved: File, log_in: LogIn
) -> None:
    for other in (teammate.user, outsider):
        client = log_in(other)
        for told in ({"q": "new name"}, {"larger": "0"}, {"kind": "document"}, {"path": "Letters"}):
            page = client.get(reverse("search"), told).content.decode()
            assert reverse("source_files", args=[owner.source.pk]) not in page
        answer = client.get(reverse("search"), {"q": "name", "source": owner.source.pk})
        assert "not one of the available choices" in answer.content.decode()
        past = reverse("source_files", args=[owner.source.pk]) + f"?at={MAY:%Y-%m-%d}T00:00:00Z"
        assert client.get(past).status_code == 404


@pytest.mark.parametrize(
    "told",
    [
        {"q": '" OR *'}, {"q": "a\0b"}, {"larger": "-1"}, {"larger": "1e400"}, {"larger": "NaN"},
        {"since": "0001-01-01"}, {"until": "9999-12-31"}, {"on": "0001-01-01T00:00", "q": "x"},
        {"kind": "nothing"}, {"deleted": "maybe"}, {"source": "x"}, {"q": "name", "after": "junk"},
        {"zone": "\0", "on": "2026-01-01T00:00"}, {"larger": "1000000000", "smaller": "0"},
    ],
)  # fmt: skip
def test_no_wish_breaks_the_page(owner: Owned, log_in: LogIn, told: dict[str, str]) -> None:
    assert log_in(owner.user).get(reverse("search"), told).status_code == 200


def test_a_hostile_name_is_shown_and_not_obeyed_here_too(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    since(owner.file, MAY)
    past = reverse("source_files", args=[owner.source.pk]) + "?folder=folder&at=2026-06-01T00:00Z"
    for address in (reverse("search") + "?q=invoice", past):
        page = client.get(address).content.decode()
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert "invoice[U+202E]fdp.exe[U+000A]&lt;script&gt;" in page


def test_pages_of_hits_are_linked(owner: Owned, log_in: LogIn) -> None:
    for number in range(60):
        baked.file(owner.source, f"p{number}", "folder", f"paper & {number}")
    client = log_in(owner.user)
    first = client.get(reverse("search"), {"q": "paper &"}).content.decode()
    link = re.search(r'rel="next" href="([^"]*)"', first)
    assert link
    last = client.get(reverse("search") + unescape(link[1])).content.decode()
    assert first.count("file-earmark") == 50
    assert last.count("file-earmark") == 10
    assert 'rel="next"' not in last


def test_filters_are_folded_away_and_counted_and_shown_when_one_is_wrong(
    owner: Owned, log_in: LogIn
) -> None:
    client = log_in(owner.user)
    plain = client.get(reverse("search"), {"q": "name", "deleted": "also"}).content.decode()
    assert "in use" not in plain
    narrowed = client.get(reverse("search"), {"q": "x", "larger": "0", "deleted": "no"})
    assert "2 in use" in narrowed.content.decode()
    assert '<details class="mt-2">' in narrowed.content.decode()
    wrong = client.get(reverse("search"), {"larger": "-1"}).content.decode()
    assert '<details class="mt-2" open>' in wrong
