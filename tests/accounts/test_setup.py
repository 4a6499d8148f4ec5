"""The first administrator: the printed link, the form for scripts, and that it works once."""

from __future__ import annotations

import io
import time
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import setup
from accounts.models import User

pytestmark = pytest.mark.django_db
FORM = {
    "username": "root",
    "email": "root@backup.test",
    "password1": "correct horse battery",
    "password2": "correct horse battery",
}


def _link() -> str:
    out = io.StringIO()
    call_command("setup_admin", stdout=out, stderr=io.StringIO())
    return urlsplit(out.getvalue().strip()).path


def test_the_printed_link_is_at_the_public_address(settings):
    out = io.StringIO()
    call_command("setup_admin", stdout=out, stderr=io.StringIO())
    assert out.getvalue().startswith(settings.PUBLIC_URL + "/accounts/setup/")


def test_the_link_makes_an_administrator_and_logs_in():
    client = Client()
    answer = client.post(_link(), FORM)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    root = User.objects.get()
    assert root.is_superuser
    assert root.is_staff
    assert root.check_password(FORM["password1"])
    assert client.session["_auth_user_id"] == str(root.pk)


def test_the_link_works_once():
    link = _link()
    Client().post(link, FORM)
    again = Client().post(link, FORM | {"username": "second"})
    assert again.status_code == 403
    assert not User.objects.filter(username="second").exists()
    assert Client().get(link).status_code == 403


def test_the_link_ends_after_a_day(monkeypatch):
    link = _link()
    now = time.time()
    monkeypatch.setattr(signing.time, "time", lambda: now + setup.LINK_LIFE_S - 60)
    assert Client().get(link).status_code == 200
    monkeypatch.setattr(signing.time, "time", lambda: now + setup.LINK_LIFE_S + 60)
    assert Client().get(link).status_code == 403


def test_a_forged_link_is_refused():
    assert Client().get("/accounts/setup/forged:token:here/").status_code == 403


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password2": "something else"}, "match"),
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"username": "not allowed!"}, "valid username"),
    ],
)
def test_mistakes_are_told_and_make_nobody(change, words):
    answer = Client().post(_link(), FORM | change)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not User.objects.exists()


def _from_script(monkeypatch, password: str, **options: str) -> str:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    call_command("setup_admin", stdout=out, **options)
    return out.getvalue()


def test_a_script_makes_the_administrator_with_a_password_from_standard_input(monkeypatch):
    printed = _from_script(monkeypatch, FORM["password1"], username="root")
    assert User.objects.get(is_superuser=True).check_password(FORM["password1"])
    assert FORM["password1"] not in printed


def test_a_weak_password_from_a_script_is_refused(monkeypatch):
    with pytest.raises(CommandError, match="too short"):
        _from_script(monkeypatch, "short", username="root")
    assert not User.objects.exists()


def test_a_taken_name_is_refused(monkeypatch, owner):
    with pytest.raises(CommandError, match="already exists"):
        _from_script(monkeypatch, FORM["password1"], username="owner")


def test_with_an_administrator_the_command_says_who_and_how_to_go_on(monkeypatch):
    _from_script(monkeypatch, FORM["password1"], username="root")
    with pytest.raises(CommandError, match="changepassword root"):
        call_command("setup_admin")
