"""What holds for every page: no inline code, strict policy, errors in the same clothes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import OperationalError
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from django.views.defaults import server_error

from accounts.models import User
from syncapp.engine import runs
from syncapp.models import Destination
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]
ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_inline_code_or_style(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text, re.IGNORECASE)
    text = re.sub(r"<a href=\"https://(console\.cloud|drive)\.google\.com", '<a href="', text)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)


def test_pages_carry_the_strict_policy(owner: Owned, log_in: LogIn) -> None:
    policy = log_in(owner.user).get(reverse("dashboard"))["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy


@override_settings(DEBUG=False)
def test_what_is_not_there_is_told_in_our_own_page(owner: Owned, log_in: LogIn) -> None:
    answer = log_in(owner.user).get("/nothing/here/")
    assert answer.status_code == 404
    assert "Not found" in answer.content.decode()
    assert "navbar" in answer.content.decode()


def test_the_page_of_a_fault_needs_no_database_and_no_request_context() -> None:
    answer = server_error(RequestFactory().get("/"))
    assert answer.status_code == 500
    assert "Something went wrong" in answer.content.decode()


@override_settings(DEBUG=False)
def test_secrets_that_no_key_opens_are_told_on_the_page(
    owner: Owned, log_in: LogIn, settings: Any
) -> None:
    client = log_in(owner.user)
    client.raise_request_exception = False
    Destination.objects.create(owner=owner.user, name="B", kind="s3", secrets="credentials")
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    answer = client.get(reverse("dashboard"))
    assert answer.status_code == 500
    assert "keys forget" in answer.content.decode()


def test_every_page_can_be_used_by_keyboard(owner: Owned, log_in: LogIn) -> None:
    page = log_in(owner.user).get(reverse("dashboard")).content.decode()
    assert page.index('class="skip-link" href="#main"') < page.index("<nav")
    assert 'id="main"' in page
    assert not re.search(r'tabindex="[1-9]', page)


def test_health_is_told_to_anybody_without_details(client: Client, db: None) -> None:
    answer = client.get(reverse("healthz"))
    assert (answer.status_code, answer.json()) == (200, {"database": True, "worker": False})
    assert client.get(reverse("healthz_worker")).status_code == 503
    baked.worker()
    assert client.get(reverse("healthz")).json() == {"database": True, "worker": True}
    assert client.get(reverse("healthz_worker")).status_code == 200


def test_health_without_a_database_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> bool:
        raise OperationalError("password of the database")

    monkeypatch.setattr(runs, "worker_alive", away)
    answer = client.get(reverse("healthz"))
    assert (answer.status_code, answer.json()) == (503, {"database": False, "worker": False})
    assert client.get(reverse("healthz_worker")).status_code == 503
