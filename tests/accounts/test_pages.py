"""Pages of logging in and of Google accounts: what they say, to whom, and what does not exist."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.utils import timezone

from accounts.models import GoogleAccount
from accounts.tokens import require_reconnect
from syncapp.models import Source
from tests.accounts.conftest import PASSWORD
from tests.accounts.consent import ADA, UNTICK_FORMS

pytestmark = pytest.mark.django_db
LIST = "/accounts/google/"


def _as(user) -> Client:
    client = Client(HTTP_HOST="127.0.0.1:8000")
    client.force_login(user)
    return client


def _text(html: bytes) -> str:
    """What a person reads, more or less."""
    return " ".join(re.sub(r"<[^>]+>", " ", html.decode()).split())


@pytest.fixture
def account(owner) -> GoogleAccount:
    SocialAccount.objects.create(user=owner, provider="google", uid="1")
    return GoogleAccount.objects.create(user=owner, uid="1", email=ADA)


@pytest.mark.parametrize("who", ["teammate", "outsider"])
def test_only_the_owner_sees_unlinks_or_reconnects_an_account(account, owner, who, request):
    other = _as(request.getfixturevalue(who))
    unlink = f"{LIST}{account.pk}/unlink/"
    assert ADA not in other.get(LIST).content.decode()
    assert other.get(unlink).status_code == 404
    assert other.post(unlink).status_code == 404
    reconnect = other.post("/accounts/google/login/", {"account": account.pk})
    assert reconnect.status_code == 404
    assert ADA in _as(owner).get(LIST).content.decode()
    assert _as(owner).get(unlink).status_code == 200


@pytest.mark.parametrize("path", [LIST, f"{LIST}1/unlink/", "/accounts/password/change/"])
def test_who_is_not_logged_in_is_asked_to(path, anonymous):
    answer = anonymous.get(path)
    assert answer["Location"].startswith("/accounts/login/?next=")


def test_without_an_account_the_page_offers_to_link_one(owner):
    html = _as(owner).get(LIST).content.decode()
    assert "Link a Google account" in html
    assert '<form method="post" action="/accounts/google/login/?process=connect">' in html


def test_without_a_client_the_page_tells_how_to_get_one(owner, settings):
    settings.GOOGLE_CLIENT_ID = ""
    text = _text(_as(owner).get(LIST).content)
    assert f"{settings.PUBLIC_URL}/accounts/google/login/callback/" in text
    assert "GOOGLE_CLIENT_ID" in text
    assert "Google Drive API" in text
    assert "Link a Google account" not in text


def test_the_page_warns_who_comes_by_an_address_that_google_does_not_know(owner):
    client = Client(HTTP_HOST="localhost:8000")
    client.force_login(owner)
    assert "another address than http://127.0.0.1:8000" in _text(client.get(LIST).content)
    assert "another address" not in _text(_as(owner).get(LIST).content)


def test_the_page_says_in_words_what_is_granted_and_what_is_missing(browser, owner):
    browser(owner).link(untick=(UNTICK_FORMS,))
    text = _text(_as(owner).get(LIST).content)
    assert "Connected" in text
    assert "Granted: See and download all your Google Drive files" in text
    assert "Not granted (optional): See all responses to your Google Forms forms" in text


def test_an_account_that_needs_its_owner_says_why(account, owner):
    require_reconnect(account.pk, "Because of that.")
    text = _text(_as(owner).get(LIST).content)
    assert "Reconnect needed" in text
    assert "Because of that." in text


def test_the_list_takes_as_many_queries_for_ten_accounts_as_for_one(
    account, owner, django_assert_max_num_queries
):
    client = _as(owner)
    GoogleAccount.objects.bulk_create(
        GoogleAccount(user=owner, uid=str(n), email=f"{n}@example.com") for n in range(2, 12)
    )
    client.get(LIST)
    with django_assert_max_num_queries(4):
        client.get(LIST)


def test_after_linking_comes_the_set_up_of_a_source(browser, owner):
    answer = browser(owner).link()
    account = GoogleAccount.objects.get(user=owner)
    assert answer["Location"] == f"/sources/setup/{account.pk}/"


def test_after_reconnecting_an_account_in_use_comes_the_list(linked, browser, owner):
    Source.objects.create(owner=owner, account=linked, name="Drive", slug="drive")
    assert browser(owner).link(account=linked.pk)["Location"] == LIST


def test_unlinking_without_sources_deletes_the_account(linked, owner):
    client = _as(owner)
    page = client.get(f"{LIST}{linked.pk}/unlink/").content.decode()
    assert "Sources read this account" not in page
    answer = client.post(f"{LIST}{linked.pk}/unlink/", follow=True)
    assert "is unlinked and its tokens are erased" in answer.content.decode()
    assert not GoogleAccount.objects.exists()
    assert not SocialAccount.objects.exists()


def test_unlinking_with_sources_keeps_them_and_erases_the_tokens(linked, owner, browser):
    Source.objects.create(owner=owner, account=linked, name="Drive", slug="drive")
    client = _as(owner)
    assert "their backups stay" in client.get(f"{LIST}{linked.pk}/unlink/").content.decode()
    client.post(f"{LIST}{linked.pk}/unlink/")
    linked.refresh_from_db()
    assert linked.state == GoogleAccount.State.RECONNECT
    assert "You unlinked this account" in linked.state_reason
    assert (linked.access_token, linked.refresh_token) == ("", "")
    assert not SocialAccount.objects.exists()
    browser(owner).link()
    linked.refresh_from_db()
    assert linked.state == GoogleAccount.State.CONNECTED


def test_a_revocation_that_failed_is_told(linked, owner, settings):
    settings.GOOGLE_REVOKE_URL = "http://127.0.0.1:9/revoke"
    answer = _as(owner).post(f"{LIST}{linked.pk}/unlink/", follow=True)
    assert "Google could not be told" in answer.content.decode()
    assert not GoogleAccount.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        "signup/",
        "3rdparty/signup/",
        "email/",
        "confirm-email/",
        "password/reset/",
        "password/set/",
        "login/code/confirm/",
        "google/login/token/",
        "social/signup/",
    ],
)
def test_pages_that_this_product_does_not_have_do_not_exist(path, anonymous, owner):
    for client in (anonymous, _as(owner)):
        assert client.get(f"/accounts/{path}").status_code == 404
        assert client.post(f"/accounts/{path}", {"username": "x"}).status_code == 404


def test_logging_in_and_out_by_name_or_email(owner, anonymous):
    page = anonymous.get("/accounts/login/").content.decode()
    assert "<title>Log in" in page
    assert ">User name or email</label>" in page
    for login in ("owner", "owner@backup.test"):
        form = {"login": login, "password": PASSWORD}
        assert anonymous.post("/accounts/login/", form)["Location"] == "/"
        assert "_auth_user_id" in anonymous.session
        anonymous.post("/accounts/logout/")
        assert "_auth_user_id" not in anonymous.session


def test_a_wrong_password_is_told(owner, anonymous):
    page = anonymous.post("/accounts/login/", {"login": "owner", "password": "wrong"})
    assert 'role="alert"' in page.content.decode()
    assert "not correct" in page.content.decode()


def test_after_five_wrong_passwords_even_the_right_one_waits(owner, anonymous):
    for _ in range(5):
        anonymous.post("/accounts/login/", {"login": "owner", "password": "wrong"})
    page = anonymous.post("/accounts/login/", {"login": "owner", "password": PASSWORD})
    assert "Too many failed login attempts" in page.content.decode()
    assert "_auth_user_id" not in anonymous.session


def test_the_administration_has_no_log_in_page_that_is_not_throttled(owner, anonymous):
    form = {"username": "owner", "password": PASSWORD, "next": "/admin/"}
    answer = anonymous.post("/admin/login/", form)
    assert answer["Location"].startswith("/accounts/login/")
    assert "_auth_user_id" not in anonymous.session


def test_the_throttle_counts_for_all_processes(settings):
    assert settings.CACHES["default"]["BACKEND"].endswith(("FileBasedCache", "RedisCache"))


def test_the_log_in_page_tells_how_to_make_the_first_administrator(owner, anonymous):
    assert "manage.py setup_admin" in anonymous.get("/accounts/login/").content.decode()
    owner.is_superuser = True
    owner.save()
    assert "manage.py setup_admin" not in anonymous.get("/accounts/login/").content.decode()


def test_a_password_is_changed_with_the_old_one(owner):
    client = _as(owner)
    form = {
        "oldpassword": PASSWORD,
        "password1": "another good one",
        "password2": "another good one",
    }
    client.post("/accounts/password/change/", form)
    owner.refresh_from_db()
    assert owner.check_password("another good one")


def test_no_page_needs_an_inline_script_or_style(account, owner, anonymous, settings):
    client = _as(owner)
    pages = [client.get(path) for path in (LIST, f"{LIST}{account.pk}/unlink/")]
    pages += [client.get(f"/accounts/{name}/") for name in ("logout", "password/change")]
    pages += [client.get("/accounts/reauthenticate/"), anonymous.get("/accounts/login/")]
    pages += [client.get("/accounts/3rdparty/login/cancelled/")]
    settings.GOOGLE_CLIENT_ID = ""
    pages += [client.get(LIST)]
    for page in pages:
        html = page.content.decode()
        assert page.status_code == 200
        assert "script-src 'self'" in page["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", html)


def test_times_are_shown_in_words_and_exactly(account, owner):
    account.linked_at = timezone.now() - timedelta(days=3)
    account.save()
    html = _as(owner).get(LIST).content.decode()
    assert "3 days ago" in html.replace("\xa0", " ")
    assert f'datetime="{account.linked_at.isoformat()[:10]}' in html
