"""Linking through allauth and Google's pages: what is kept, for whom, and what never leaks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.sessions.models import Session

from accounts.models import GoogleAccount, User
from accounts.scopes import DRIVE, FORMS_RESPONSES, granted, missing_scopes
from accounts.tokens import fresh_access_token
from tests.accounts.conftest import PASSWORD
from tests.accounts.consent import ADA, GRACE, UNTICK_DRIVE, UNTICK_FORMS

pytestmark = pytest.mark.django_db


def _works(token: str, idp) -> bool:
    answer = requests.get(
        f"{idp.url}/drive/v3/about",
        params={"fields": "user"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    return answer.status_code == 200


def test_linking_keeps_working_tokens_and_the_granted_scopes(linked, idp):
    assert linked.email == ADA
    assert linked.name == "Ada Lovelace"
    assert linked.state == GoogleAccount.State.CONNECTED
    assert {DRIVE, FORMS_RESPONSES} <= granted(linked)
    assert not missing_scopes(linked)
    assert linked.refresh_token
    assert _works(linked.access_token, idp)


def test_linking_asks_for_offline_access_with_pkce_and_consent(browser, owner):
    asked = parse_qs(urlsplit(browser(owner).start()).query)
    assert asked["access_type"] == ["offline"]
    assert asked["prompt"] == ["consent select_account"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://127.0.0.1:8000/accounts/google/login/callback/"]
    assert DRIVE in asked["scope"][0]


def test_scopes_and_parameters_in_the_address_are_not_passed_on(browser, owner):
    answer = browser(owner).client.post(
        "/accounts/google/login/?scope=https://www.googleapis.com/auth/drive&auth_params=hd%3Dx.test"
    )
    asked = parse_qs(urlsplit(answer["Location"]).query)
    assert "https://www.googleapis.com/auth/drive" not in asked["scope"][0].split()
    assert "hd" not in asked


def test_allauth_keeps_no_token(linked):
    assert not SocialToken.objects.exists()
    assert linked.access_token not in str(SocialAccount.objects.get().__dict__)


def test_two_google_accounts_of_one_person_are_two_rows(linked, browser, owner):
    browser(owner).link(email=GRACE)
    assert set(owner.google_accounts.values_list("email", flat=True)) == {ADA, GRACE}


def test_unticking_drive_leaves_an_account_that_asks_to_reconnect(browser, owner):
    answer = browser(owner).link(untick=(UNTICK_DRIVE,))
    account = GoogleAccount.objects.get(user=owner)
    assert account.state == GoogleAccount.State.RECONNECT
    assert "You unticked “See and download all your Google Drive files”" in account.state_reason
    assert answer["Location"] == "/accounts/google/"


def test_unticking_the_forms_answers_is_allowed(browser, owner):
    browser(owner).link(untick=(UNTICK_FORMS,))
    account = GoogleAccount.objects.get(user=owner)
    assert account.state == GoogleAccount.State.CONNECTED
    assert missing_scopes(account) == {FORMS_RESPONSES}


def test_reconnecting_goes_straight_to_the_account_and_heals_it(browser, owner):
    person = browser(owner)
    person.link(untick=(UNTICK_DRIVE,))
    account = GoogleAccount.objects.get(user=owner)
    asked = parse_qs(urlsplit(person.start(account=account.pk)).query)
    assert asked["login_hint"] == [ADA]
    person.link(account=account.pk)
    account.refresh_from_db()
    assert (account.state, account.state_reason) == (GoogleAccount.State.CONNECTED, "")


def test_a_consent_without_refresh_token_keeps_the_old_one(linked, browser, owner, settings):
    provider = settings.SOCIALACCOUNT_PROVIDERS["google"]
    online = {**provider, "AUTH_PARAMS": {"access_type": "online", "prompt": "select_account"}}
    settings.SOCIALACCOUNT_PROVIDERS = {"google": online}
    person, before = browser(owner), (linked.refresh_token, linked.linked_at)
    page = _chosen_without_consent(person)
    person.client.get(page)
    old_access = linked.access_token
    linked.refresh_from_db()
    assert (linked.refresh_token, linked.linked_at) == before
    assert linked.access_token != old_access


def _chosen_without_consent(person) -> str:
    """Consent was given before, so Google asks only for the account."""
    from tests.emulator.consent_pages import Page

    page = Page(requests.get(person.start(), timeout=10).text)
    button = page.controls["account-1"]
    answer = person._submit(page, [(button["name"], button["value"])])
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


@pytest.mark.parametrize("who", ["teammate", "outsider"])
def test_another_person_linking_the_same_account_changes_nothing(
    linked, browser, owner, who, request
):
    other = request.getfixturevalue(who)
    before = GoogleAccount.objects.values().get(pk=linked.pk)
    answer = browser(other).link()
    assert GoogleAccount.objects.values().get(pk=linked.pk) == before
    assert not other.google_accounts.exists()
    assert answer["Location"] == "/accounts/google/"
    page = browser(other).client
    page.cookies = answer.client.cookies
    assert "already linked by somebody else" in page.get("/accounts/google/").content.decode()


def test_cancelling_links_nothing_and_says_so(browser, owner):
    person = browser(owner)
    answer = person.client.get(person.answer_google(person.start(), press="cancel"), follow=True)
    assert "Nothing was linked" in answer.content.decode()
    assert not GoogleAccount.objects.exists()


def test_a_forged_callback_is_refused(browser, owner):
    answer = browser(owner).client.get("/accounts/google/login/callback/?code=4/0A&state=forged")
    assert answer.status_code == 401
    assert not GoogleAccount.objects.exists()


def test_a_callback_can_not_be_used_by_another_session(browser, owner, outsider):
    person = browser(owner)
    path = person.answer_google(person.start())
    assert browser(outsider).client.get(path).status_code == 401
    assert not GoogleAccount.objects.exists()


def test_whose_session_ended_on_the_way_is_sent_to_log_in(browser, owner, anonymous):
    person = browser(owner)
    answer = anonymous.get(person.answer_google(person.start()), follow=True)
    assert answer.redirect_chain[-1][0] == "/accounts/login/?next=/accounts/google/"


def test_a_wrong_client_secret_is_told_to_the_administrator(browser, owner, settings):
    app = {**settings.SOCIALACCOUNT_PROVIDERS["google"]["APPS"][0], "secret": "wrong"}
    provider = {**settings.SOCIALACCOUNT_PROVIDERS["google"], "APPS": [app]}
    settings.SOCIALACCOUNT_PROVIDERS = {"google": provider}
    answer = browser(owner).link()
    assert answer.status_code == 401
    assert "GOOGLE_CLIENT_SECRET" in answer.content.decode()


def test_linking_starts_by_post_only(browser, owner):
    assert browser(owner).client.get("/accounts/google/login/").status_code == 405


def test_linking_without_a_client_says_what_is_missing(browser, owner, settings):
    settings.GOOGLE_CLIENT_ID = ""
    answer = browser(owner).client.post("/accounts/google/login/", follow=True)
    assert "Set GOOGLE_CLIENT_ID" in answer.content.decode()


def test_nobody_can_log_in_with_google(linked, anonymous):
    answer = anonymous.post("/accounts/google/login/?process=login")
    assert answer["Location"].startswith("/accounts/login/")


def test_the_stash_of_a_password_check_holds_no_token(browser, owner, settings, idp):
    settings.SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True
    person = browser(owner)
    answer = person.link()
    assert answer["Location"] == "/accounts/reauthenticate/"
    stash = str(Session.objects.get(pk=person.client.session.session_key).get_decoded())
    assert "access_token" not in stash
    assert "ya29." not in stash
    assert "1//0" not in stash
    assert not GoogleAccount.objects.exists()
    person.client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    account = GoogleAccount.objects.get(user=owner)
    assert _works(account.access_token, idp)
    assert DRIVE in granted(account)


def test_the_stash_of_an_attempt_at_anothers_account_holds_nothing_of_its_owner(
    linked, browser, owner, outsider, settings
):
    settings.SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True
    person = browser(outsider)
    assert person.link()["Location"] == "/accounts/reauthenticate/"
    stash = str(Session.objects.get(pk=person.client.session.session_key).get_decoded())
    assert linked.uid in stash
    assert owner.password not in stash
    answer = person.client.post("/accounts/reauthenticate/", {"password": PASSWORD}, follow=True)
    assert "already linked by somebody else" in answer.content.decode()
    assert not outsider.google_accounts.exists()


def test_no_token_reaches_log_page_repr_or_session(browser, owner, idp, caplog):
    caplog.set_level(logging.DEBUG)
    person = browser(owner)
    person.link()
    account = GoogleAccount.objects.get(user=owner)
    secrets = {account.access_token, account.refresh_token}
    secrets.add(fresh_access_token(account.pk, rejected=account.access_token).value)
    account.refresh_from_db()
    pages = person.client.get("/accounts/google/").content.decode()
    pages += person.client.get(f"/accounts/google/{account.pk}/unlink/").content.decode()
    sessions = str([session.get_decoded() for session in Session.objects.all()])
    person.client.post(f"/accounts/google/{account.pk}/unlink/")
    seen = caplog.text + pages + sessions + repr(account) + str(account)
    assert "google account linked" in caplog.text
    assert "POST /token" in caplog.text
    assert not [secret for secret in secrets if secret in seen]


def test_settings_reach_allauth_which_reads_them_at_import():
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "GOOGLE_AUTHORIZE_URL": "http://127.0.0.1:1/auth",
        "GOOGLE_TOKEN_URL": "http://127.0.0.1:1/token",
        "GOOGLE_IDENTITY_URL": "http://127.0.0.1:1/who",
        "GOOGLE_ID_TOKEN_ISSUER": "http://127.0.0.1:1",
    }
    script = (
        "import django; django.setup()\n"
        "from accounts.adapters import GoogleAdapter as g\n"
        "print(g.authorize_url, g.access_token_url, g.identity_url, g.id_token_issuer)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [environment[name] for name in list(environment)[-4:]]


def test_a_deleted_person_takes_the_account_along(linked, owner):
    User.objects.get(pk=owner.pk).delete()
    assert not GoogleAccount.objects.exists()
