"""Allowing to restore to Drive: a consent of its own, beside which reading goes on untouched."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from accounts.models import GoogleAccount
from accounts.scopes import DRIVE, DRIVE_FILE, may_write
from accounts.tokens import fresh_access_token, withdraw_writing, writing_credentials
from syncapp.errors import ConfigurationError
from tests.accounts.consent import ADA, GRACE, Browser

pytestmark = pytest.mark.django_db


def allow(person: Browser, account: GoogleAccount, **choices: Any) -> Any:
    """The whole way of the button; our answer to the callback."""
    return person.client.get(person.answer_google(_start(person, account), **choices))


def _start(person: Browser, account: GoogleAccount, **form: str) -> str:
    answer = person.client.post(f"/accounts/google/{account.pk}/write/", form)
    assert answer.status_code == 302
    return str(answer["Location"])


def _status(token: str, idp: Any, method: str) -> int:
    return requests.request(
        method,
        f"{idp.url}/drive/v3/files",
        json={"name": "x"} if method == "POST" else None,
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    ).status_code


def test_linking_asks_for_no_permission_to_write(linked, idp):
    assert not may_write(linked)
    assert _status(linked.access_token, idp, "POST") == 403
    with pytest.raises(ConfigurationError, match="Allow restoring to Drive") as refused:
        writing_credentials(linked.pk)
    assert refused.value.code == "write_not_granted"


def test_the_button_asks_for_one_scope_beside_what_was_granted(linked, browser, owner):
    asked = parse_qs(urlsplit(_start(browser(owner), linked)).query)
    assert set(asked["scope"][0].split()) == {"openid", "email", "profile", DRIVE_FILE}
    assert asked["include_granted_scopes"] == ["true"]
    assert asked["login_hint"] == [ADA]


def test_an_allowed_account_is_written_to_and_read_as_before(linked, browser, owner, idp):
    person = browser(owner)
    answer = allow(person, linked)
    linked.refresh_from_db()
    assert answer["Location"] == "/accounts/google/"
    page = person.client.get("/accounts/google/").content.decode()
    assert f"Files can now be restored to the Drive of {ADA}." in page
    assert {DRIVE, DRIVE_FILE} <= set(linked.scopes)
    assert linked.state == GoogleAccount.State.CONNECTED
    idp.control.expire_tokens(ADA)  # a refreshed one is as good
    token = fresh_access_token(linked.pk, rejected=linked.access_token).value
    assert (_status(token, idp, "GET"), _status(token, idp, "POST")) == (200, 200)
    writing_credentials(linked.pk)


def test_a_later_reconnect_keeps_the_permission_to_write(linked, browser, owner):
    person = browser(owner)
    allow(person, linked)
    person.link(account=linked.pk)
    linked.refresh_from_db()
    assert may_write(linked)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"untick": ("scope-drive-file",)}, "You unticked"),
        ({"press": "cancel"}, ""),
    ],
)
def test_refusing_leaves_reading_as_it_was(linked, browser, owner, choices, words):
    person = browser(owner)
    before = GoogleAccount.objects.values().get(pk=linked.pk)
    allow(person, linked, **choices)
    assert GoogleAccount.objects.values().get(pk=linked.pk) == before
    assert words in person.client.get("/accounts/google/").content.decode()


def test_another_account_chosen_at_google_is_neither_linked_nor_used(linked, browser, owner):
    person = browser(owner)
    address = _start(person, linked).replace("login_hint=ada", "login_hint=grace-not")
    back = person.answer_google(address, email=GRACE)
    person.client.get(back)
    assert list(GoogleAccount.objects.values_list("email", flat=True)) == [ADA]
    assert "You chose another account" in person.client.get("/accounts/google/").content.decode()


def test_an_answer_that_lacks_reading_is_not_kept(linked, browser, owner, idp):
    person = browser(owner)
    address = _start(person, linked).replace("include_granted_scopes=true", "x=y")
    person.client.get(person.answer_google(address))
    before = linked.refresh_token
    linked.refresh_from_db()
    assert (linked.refresh_token, may_write(linked)) == (before, False)
    assert "Press Reconnect" in person.client.get("/accounts/google/").content.decode()


@pytest.mark.parametrize(
    ("asked", "after"),
    [("/sources/", "/sources/"), ("https://evil.example/", "/accounts/google/")],
)
def test_the_person_comes_back_to_a_page_of_ours(linked, browser, owner, asked, after):
    person = browser(owner)
    back = person.answer_google(_start(person, linked, next=asked))
    assert person.client.get(back)["Location"] == after


def test_only_the_accounts_owner_may_ask(linked, browser, teammate, outsider):
    for person in (teammate, outsider):
        client = browser(person).client
        assert client.post(f"/accounts/google/{linked.pk}/write/").status_code == 404


def test_an_account_that_needs_reconnecting_does_that_first(linked, browser, owner):
    GoogleAccount.objects.filter(pk=linked.pk).update(state=GoogleAccount.State.RECONNECT)
    assert _start(browser(owner), linked) == "/accounts/google/"


def test_what_google_withdraws_can_be_allowed_again(linked, browser, owner):
    allow(browser(owner), linked)
    withdraw_writing(linked.pk)
    linked.refresh_from_db()
    assert not may_write(linked)
    assert DRIVE in linked.scopes
    page = browser(owner).client.get("/accounts/google/").content.decode()
    assert "Allow restoring to Drive" in page
