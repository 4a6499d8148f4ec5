"""The catalog as folders: complete, in order, at a fixed cost, and safe to look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from syncapp.models import File, Version
from syncapp.types import Content
from syncapp.web import paths, queries
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]


def all_names(owner: Owned, folder: str) -> list[str]:
    """Every name of a folder, page after page."""
    names, after = [], ""
    while True:
        entries, after = queries.folder_entries(owner.source, folder, after)
        assert len(entries) <= queries.FILES_PER_PAGE
        names += [entry.file.name for entry in entries]
        if not after:
            return names


def test_the_top_shows_the_roots_and_leads_down_to_the_file(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    address = reverse("source_files", args=[owner.source.pk])
    assert "My Drive" in client.get(address).content.decode()
    page = client.get(address, {"folder": owner.folder.remote_id}).content.decode()
    assert "Letters" in page
    assert reverse("file", args=[owner.source.pk, owner.file.pk]) in page
    assert client.get(address, {"folder": "no such"}).status_code == 404


def test_one_source_is_shown_at_once_and_several_are_offered(
    owner: Owned, outsider: User, log_in: LogIn
) -> None:
    answer = log_in(owner.user).get(reverse("files"))
    assert answer["Location"] == reverse("source_files", args=[owner.source.pk])
    assert "No source yet" in log_in(outsider).get(reverse("files")).content.decode()


def test_pages_hold_every_file_once_folders_first_then_by_name(owner: Owned) -> None:
    inside = baked.file(owner.source, "big", "", "big", content=Content.FOLDER).remote_id
    for number in range(120):
        baked.file(owner.source, f"n{number}", inside, f"n{number:03}")
    for number in range(60):
        baked.file(owner.source, f"d{number}", inside, f"z{number:03}", content=Content.FOLDER)
    for number in range(55):
        baked.file(owner.source, f"u{number}", inside, f"u{number:03}", key_name="", key_fold="")
    names = all_names(owner, inside)
    assert len(names) == 235
    assert names[:60] == [f"z{n:03}" for n in range(60)]
    assert names[60:180] == [f"n{n:03}" for n in range(120)]
    assert sorted(names[180:]) == [f"u{n:03}" for n in range(55)]


@pytest.mark.parametrize("after", ["x", "0:", "0:x:y", "9:1:a", "0:1:\0", "0:" + "9" * 30 + ":a"])
def test_a_place_that_nobody_gave_is_the_first_page(owner: Owned, after: str) -> None:
    entries, _ = queries.folder_entries(owner.source, owner.folder.remote_id, after)
    assert len(entries) == 2


def test_next_page_link_survives_a_hostile_name(owner: Owned, log_in: LogIn) -> None:
    inside = baked.file(owner.source, "f&=#", "", "f", content=Content.FOLDER).remote_id
    for number in range(51):
        baked.file(owner.source, f"h{number}", inside, f"{number:02} &after=\u202e#+% \n")
    client = log_in(owner.user)
    address = reverse("source_files", args=[owner.source.pk])
    page = client.get(address, {"folder": inside}).content.decode()
    link = re.search(r'rel="next" href="([^"]*)"', page)
    assert link
    last = client.get(address + unescape(link[1])).content.decode()
    assert "50 &amp;after=[U+202E]" in last
    assert last.count("file-earmark") == 1


def test_a_hostile_name_is_shown_and_not_obeyed(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    for address in (
        reverse("source_files", args=[owner.source.pk]) + "?folder=folder",
        reverse("file", args=[owner.source.pk, owner.file.pk]),
    ):
        page = client.get(address).content.decode()
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert "invoice[U+202E]fdp.exe[U+000A]&lt;script&gt;" in page


def test_a_file_shows_its_versions_and_where_each_is_stored(owner: Owned, log_in: LogIn) -> None:
    Version.objects.filter(pk=owner.version.pk).update(current=False)
    baked.stored(owner.file, owner.destinations[:1], revision="2")
    page = log_in(owner.user).get(reverse("file", args=[owner.source.pk, owner.file.pk]))
    text = page.content.decode()
    assert "Attic" in text
    assert "Cellar" in text
    assert "ab" * 32 in text
    assert text.count("</i> Verified") == 3
    assert text.count("· current") == 1


def test_a_refused_file_is_said_to_be_not_kept_and_is_not_offered_for_restore(
    owner: Owned, log_in: LogIn
) -> None:
    client, restore = log_in(owner.user), reverse("restore")
    refused = baked.file(owner.source, "no", owner.folder.remote_id, "no.bin", problem="refused")
    page = client.get(reverse("file", args=[owner.source.pk, refused.pk])).content.decode()
    assert "<dd>not kept</dd>" in page
    assert f"{restore}?source" not in page
    page = client.get(reverse("file", args=[owner.source.pk, owner.file.pk])).content.decode()
    assert f"{restore}?source" in page


def test_a_version_that_could_not_be_read_is_not_offered_for_restore(
    owner: Owned, log_in: LogIn
) -> None:
    address = reverse("file", args=[owner.source.pk, owner.file.pk])
    Version.objects.filter(pk=owner.version.pk).update(state=Version.State.REFUSED)
    page = log_in(owner.user).get(address).content.decode()
    assert "Refused by Google" in page
    assert "Restore this version" not in page


def test_a_folder_has_no_page_of_a_file(owner: Owned, log_in: LogIn) -> None:
    address = reverse("file", args=[owner.source.pk, owner.folder.pk])
    assert log_in(owner.user).get(address).status_code == 404


def test_the_number_of_queries_of_a_folder_is_fixed(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    address = reverse("source_files", args=[owner.source.pk]) + "?folder=folder"

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(address)
        return len(captured)

    before = count()
    for number in range(30):
        made = baked.file(owner.source, f"q{number}", "folder", f"q{number}")
        baked.stored(made, owner.destinations)
    assert count() == before


def test_a_path_is_found_from_the_top_in_one_query(owner: Owned) -> None:
    with CaptureQueriesContext(connection) as captured:
        found = paths.folders_of([owner.file.pk, owner.folder.pk])
    assert len(captured) == 1
    assert [f.name for f in found[owner.file.pk]] == ["My Drive", "Letters"]
    assert [f.name for f in found[owner.folder.pk]] == ["My Drive"]
    assert paths.folders_of([]) == {}


def test_a_loop_of_folders_ends(owner: Owned) -> None:
    File.objects.filter(remote_id="root", source=owner.source).update(parent_id="folder")
    assert len(paths.folders_of([owner.file.pk])[owner.file.pk]) == paths._MAX_DEPTH


def test_parents_of_another_source_are_not_taken(owner: Owned, teammate: Owned) -> None:
    File.objects.filter(source=owner.source, remote_id="root").update(name="Mine")
    File.objects.filter(source=teammate.source, remote_id="root").update(name="Theirs")
    assert paths.folders_of([owner.file.pk])[owner.file.pk][0].name == "Mine"
