"""What pages say of bandwidth limits, and of what is not reachable just now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from syncapp.models import Breaker, Destination
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]


@pytest.fixture
def admin(db: None) -> User:
    return baked.person("root", is_superuser=True, is_staff=True)


def the_form(folder: Path, limit: str) -> dict[str, str]:
    options = {"option_path": str(folder), "option_prefix": ""}
    return {"name": "Attic", "bwlimit": limit, **options}


def test_a_limit_is_saved_and_shown(admin: User, log_in: LogIn, tmp_path: Path) -> None:
    client = log_in(admin)
    form = the_form(tmp_path / "kept", " 08:00,512k  23:00,off ")
    answer = client.post(reverse("destination_add", args=["local"]), form)
    assert Destination.objects.get().bwlimit == "08:00,512k 23:00,off"
    assert "08:00,512k 23:00,off" in client.get(answer["Location"]).content.decode()


def test_the_form_says_that_downloads_do_not_keep_to_a_limit(admin: User, log_in: LogIn) -> None:
    page = log_in(admin).get(reverse("destination_add", args=["local"])).content.decode()
    assert "downloads and previews in the browser, which somebody waits for, do not" in page


def test_a_limit_that_is_none_is_refused_with_the_reason(
    admin: User, log_in: LogIn, tmp_path: Path
) -> None:
    form = the_form(tmp_path / "kept", "8 o'clock")
    page = log_in(admin).post(reverse("destination_add", args=["local"]), form).content.decode()
    assert "is no entry of a timetable" in page
    assert not Destination.objects.exists()


def test_what_is_not_reachable_is_told_with_the_next_try(owner: Owned, log_in: LogIn) -> None:
    retry_at = timezone.now() + timedelta(minutes=2)
    told = {"error_code": "unavailable", "error_message": "The disk does not answer."}
    Breaker.objects.create(
        key=f"destination:{owner.destinations[0].pk}", state="open", retry_at=retry_at, **told
    )
    client = log_in(owner.user)
    at = f"{timezone.localtime(retry_at):%H:%M:%S}"
    for address in (
        reverse("dashboard"),
        reverse("destination", args=[owner.destinations[0].pk]),
    ):
        page = client.get(address).content.decode()
        assert f"The disk does not answer. The next try is at {at}." in page
        assert "Not reachable" in page
