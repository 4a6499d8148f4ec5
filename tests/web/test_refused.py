"""The list of what Google does not hand out: complete, one's own, page by page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from model_bakery import baker

from accounts.models import User
from syncapp.models import File, Version
from syncapp.types import Content
from syncapp.web import refused
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
