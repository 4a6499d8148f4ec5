"""The list of what is not backed up: complete, one's own, page by page."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker

from accounts.models import User
from syncapp.engine.health import examine
from syncapp.engine.not_backed_up import refused_files
from syncapp.engine.protection_facts import facts_of
from syncapp.engine.trouble import Kind, troubles
from syncapp.models import File, Version
from syncapp.types import Content
from syncapp.web import queries, refused
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]


def at_listing(owner: Owned, name: str) -> File:
    file = baked.file(owner.source, f"id of {name}", owner.folder.remote_id, name)
    file.problem, file.problem_message = "not_exportable", f"No export of {name}."
    file.content = Content.UNSUPPORTED
    file.save()
    return file


def when_read(owner: Owned, name: str) -> File:
    file = baked.file(owner.source, f"id of {name}", owner.folder.remote_id, name)
    baker.make(
        Version,
        file=file,
        source=owner.source,
        current=True,
        state=Version.State.REFUSED,
        error_code="cannot_download",
        error_message="Its owner does not allow it.",
    )
    return file


def test_each_refused_file_is_listed_with_its_reason(owner: Owned, log_in: LogIn) -> None:
    listed, read = at_listing(owner, "A site"), when_read(owner, f"{baked.HOSTILE} 2")
    page = log_in(owner.user).get(reverse("refused")).content.decode()
    assert reverse("file", args=[owner.source.pk, listed.pk]) in page
    assert reverse("file", args=[owner.source.pk, read.pk]) in page
    assert "No export of" in page
    assert "Its owner does not allow it." in page
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_one_reason_can_be_looked_at_alone(owner: Owned, log_in: LogIn) -> None:
    at_listing(owner, "A site")
    when_read(owner, "secret.pdf")
    client = log_in(owner.user)
    page = client.get(reverse("refused"), {"code": "cannot_download"}).content.decode()
    assert "secret.pdf" in page
    assert "A site" not in page
    assert reverse("refused") + "?code=cannot_download" in client.get("/").content.decode()


def test_the_dashboard_says_that_a_reason_has_several_wordings(owner: Owned, log_in: LogIn) -> None:
    at_listing(owner, "A site")
    assert "And others like it." not in log_in(owner.user).get("/").content.decode()
    at_listing(owner, "A map")
    assert (
        "No export of A site. And others like it." in log_in(owner.user).get("/").content.decode()
    )


def test_nobody_else_sees_them(owner: Owned, teammate: Owned, log_in: LogIn) -> None:
    at_listing(owner, "A site")
    page = log_in(teammate.user).get(reverse("refused")).content.decode()
    assert "A site" not in page


def test_pages_follow_each_other_and_leave_none_out(
    owner: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused, "PAGE_ROWS", 2)
    wanted = [at_listing(owner, f"site {n}").pk for n in range(3)]
    wanted += [when_read(owner, f"file {n}").pk for n in range(4)]
    seen: list[int] = []
    after = ""
    for _ in range(4):
        rows, after = refused.page(owner.user, after)
        assert len(rows) <= 2
        seen += [row.file.pk for row in rows]
    assert after == ""
    assert seen == wanted


@pytest.mark.parametrize("after", ["x", "f", "v", "v-1", "f999999999999999999999"])
def test_a_made_up_place_does_no_harm(owner: Owned, log_in: LogIn, after: str) -> None:
    assert log_in(owner.user).get(reverse("refused"), {"after": after}).status_code == 200


def in_trash(owner: Owned, name: str, **fields: Any) -> File:
    given = {"problem": "in_trash", "problem_message": "In Google's trash.", **fields}
    file = baked.file(owner.source, f"id of {name}", owner.folder.remote_id, name, **given)
    file.trashed_at = timezone.now()
    file.save()
    return file


def test_what_is_stored_is_no_file_that_is_not_backed_up_once_it_lies_in_googles_trash(
    owner: Owned, log_in: LogIn
) -> None:
    at_listing(owner, "A site")
    never = in_trash(owner, "never stored.txt")
    baked.stored(in_trash(owner, "stored.txt"), owner.destinations)
    in_trash(owner, "A folder", content=Content.FOLDER)
    assert [row.file.name for row in refused.page(owner.user)[0]] == ["A site", never.name]
    reasons = queries.refusals(owner.user)
    assert [(r.code, r.files) for r in reasons] == [("not_exportable", 1), ("in_trash", 1)]
    page = log_in(owner.user).get("/").content.decode()
    assert "Refused by Google: 1 file" in page
    assert [t.path for t in troubles(owner.source, Kind.EXCLUDED)] == [
        "My Drive/Letters/never stored.txt"
    ]


def test_pages_and_commands_count_the_same_files_as_refused(owner: Owned) -> None:
    at_listing(owner, "A site")
    when_read(owner, "secret.pdf")
    in_trash(owner, "thrown away.txt")
    baked.file(owner.source, "e", owner.folder.remote_id, "(erased)", problem="erased")
    at_listing(owner, "gone").delete()
    facts = facts_of([owner.source], timezone.now())[owner.source.pk]
    reasons = queries.refusals(owner.user)
    assert sum(reason.files for reason in reasons if not reason.excluded) == 2
    assert refused_files(owner.source.pk) == 2
    assert facts.refused == 2
    assert len(list(troubles(owner.source, Kind.REFUSED))) == 2
    assert examine().sources[0].refused == 2


def test_a_files_page_tells_what_lies_in_googles_trash_and_whether_it_is_stored(
    owner: Owned, log_in: LogIn
) -> None:
    never, kept = in_trash(owner, "never stored.txt"), in_trash(owner, "stored.txt")
    baked.stored(kept, owner.destinations)
    client = log_in(owner.user)

    def page(file: File) -> str:
        return client.get(reverse("file", args=[owner.source.pk, file.pk])).content.decode()

    assert "In Google's trash" in html.unescape(page(never))
    assert "removed for good on" not in page(never)
    assert "In Google's trash" not in html.unescape(page(kept))
    assert "removed for good on" in page(kept)
    folder = {"folder": owner.folder.remote_id, "deleted": "1"}
    listing = client.get(reverse("source_files", args=[owner.source.pk]), folder).content.decode()
    assert listing.count("removed for good on") == 1
    assert "Gone from Drive since" in listing
