"""Refreshing tokens: when, what is stored, what each of Google's answers becomes."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import requests
from django.db import connection
from django.utils import timezone
from google.auth.transport.requests import AuthorizedSession

from accounts import google, tokens
from accounts.linking import Consent, keep_consent, unlink
from accounts.models import GoogleAccount
from accounts.scopes import DRIVE
from accounts.tokens import credentials, fresh_access_token, require_reconnect
from syncapp.errors import ConfigurationError, RateLimited, ReconnectRequired, Unavailable
from tests.accounts.consent import ADA

pytestmark = pytest.mark.django_db
ABOUT = "/drive/v3/about?fields=user"


def _refreshes(idp) -> int:
    return idp.control.counters()["requests"].get("oauth.refresh", 0)


def _age(account: GoogleAccount, **columns) -> None:
    GoogleAccount.objects.filter(pk=account.pk).update(**columns)
    account.refresh_from_db()


def _expire_soon(account: GoogleAccount) -> None:
    now = timezone.now()
    _age(account, expires_at=now + timedelta(seconds=50), refreshed_at=now - timedelta(hours=1))


def test_a_good_token_is_used_without_asking_google(linked, idp):
    assert fresh_access_token(linked.pk).value == linked.access_token
    assert _refreshes(idp) == 0


def test_a_token_is_refreshed_a_minute_ahead_of_its_end(linked, idp):
    _expire_soon(linked)
    fresh = fresh_access_token(linked.pk)
    assert fresh.value != linked.access_token
    linked.refresh_from_db()
    assert linked.access_token == fresh.value
    assert linked.expires_at - timezone.now() > timedelta(minutes=58)
    assert linked.refreshing_until is None
    assert _refreshes(idp) == 1


def test_a_rejected_token_is_replaced_once_and_the_newer_one_shared(linked, idp):
    rejected = linked.access_token
    first = fresh_access_token(linked.pk, rejected=rejected)
    assert fresh_access_token(linked.pk, rejected=rejected).value == first.value != rejected
    assert _refreshes(idp) == 1


def test_a_token_that_lives_for_seconds_is_still_found_good(linked, idp):
    idp.control.set_lifetimes(access_s=30)
    first = fresh_access_token(linked.pk, rejected=linked.access_token)
    assert fresh_access_token(linked.pk).value == first.value
    assert _refreshes(idp) == 1


def test_credentials_serve_googles_own_client(linked, idp):
    session = AuthorizedSession(credentials(linked.pk))
    assert session.get(idp.url + ABOUT).json()["user"]["emailAddress"] == ADA
    idp.control.expire_tokens(ADA)
    assert session.get(idp.url + ABOUT).status_code == 200
    assert _refreshes(idp) == 1


def test_shared_credentials_do_not_refresh_for_a_token_that_is_already_replaced(linked, idp):
    shared = credentials(linked.pk)
    headers: dict[str, str] = {}
    shared.apply(headers)
    assert headers["authorization"] == f"Bearer {linked.access_token}"
    # Another thread meanwhile replaced what this one has sent and had rejected.
    shared._take(fresh_access_token(linked.pk, rejected=linked.access_token))
    shared.refresh(None)
    assert _refreshes(idp) == 1


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_took_a_newer_token_keeps_no_connection_to_the_database(linked, idp):
    shared, kept = credentials(linked.pk), []

    def reading() -> None:
        shared.apply({})
        shared.refresh(None)
        kept.append(connection.connection)

    thread = threading.Thread(target=reading)
    thread.start()
    thread.join()
    assert kept == [None]
    assert _refreshes(idp) == 1


def test_credentials_know_when_they_are_valid(linked):
    held = credentials(linked.pk)
    assert held.valid
    assert not held.expired
    _expire_soon(linked)
    soon = credentials(linked.pk)
    assert soon.expired
    assert not soon.valid
    assert linked.access_token not in repr(soon)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503}, Unavailable),
        ({"status": 500}, Unavailable),
        ({"status": 429, "retry_after": "7"}, RateLimited),
        ({"cut_after": 5}, Unavailable),
    ],
)
def test_a_fault_at_google_is_waited_out_and_frees_the_claim(linked, idp, fault, error):
    idp.control.add_fault("^/token", count=1, **fault)
    with pytest.raises(error) as caught:
        fresh_access_token(linked.pk, rejected=linked.access_token)
    if error is RateLimited:
        assert caught.value.retry_after_s == 7
    linked.refresh_from_db()
    assert linked.refreshing_until is None
    assert linked.state == GoogleAccount.State.CONNECTED
    assert fresh_access_token(linked.pk, rejected=linked.access_token)


def test_a_silent_google_is_unavailable_after_the_time_out(linked, idp, monkeypatch):
    monkeypatch.setattr(google, "READ_TIMEOUT_S", 0.1)
    idp.control.add_fault("^/token", delay_s=0.5, status=503, count=1)
    with pytest.raises(Unavailable, match="could not be reached"):
        fresh_access_token(linked.pk, rejected=linked.access_token)


def test_an_unreachable_google_is_unavailable(linked, settings):
    settings.GOOGLE_TOKEN_URL = "http://127.0.0.1:9/token"
    with pytest.raises(Unavailable):
        fresh_access_token(linked.pk, rejected=linked.access_token)


def test_a_wrong_client_names_the_settings_and_blames_no_account(linked, settings):
    settings.GOOGLE_CLIENT_SECRET = "wrong"
    with pytest.raises(ConfigurationError, match="GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET"):
        fresh_access_token(linked.pk, rejected=linked.access_token)
    linked.refresh_from_db()
    assert linked.state == GoogleAccount.State.CONNECTED


def test_a_revoked_consent_asks_for_a_reconnect_and_google_is_asked_once(linked, idp):
    idp.control.revoke_tokens(ADA)
    for _ in range(2):
        with pytest.raises(ReconnectRequired, match="Likely cause: the permission was removed"):
            fresh_access_token(linked.pk, rejected=linked.access_token)
    linked.refresh_from_db()
    assert linked.state == GoogleAccount.State.RECONNECT
    assert "Press Reconnect" in linked.state_reason
    assert linked.access_token == ""
    assert _refreshes(idp) == 1


def test_a_consent_that_died_after_seven_days_names_testing(linked, idp):
    idp.control.revoke_tokens(ADA)
    week_ago = timezone.now() - timedelta(days=7)
    _age(linked, linked_at=week_ago, refreshed_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(ReconnectRequired, match="“Testing”"):
        fresh_access_token(linked.pk, rejected=linked.access_token)


def test_an_administrators_policy_is_named(linked, idp):
    idp.control.refuse_refresh(ADA, "admin_policy_enforced")
    with pytest.raises(ReconnectRequired, match="Workspace administrator"):
        fresh_access_token(linked.pk, rejected=linked.access_token)


def test_an_account_that_waits_for_its_owner_asks_google_nothing(linked, idp):
    require_reconnect(linked.pk, "Say so.")
    with pytest.raises(ReconnectRequired, match=r"Say so\."):
        credentials(linked.pk)
    assert _refreshes(idp) == 0


def test_an_account_without_refresh_token_asks_for_a_reconnect(linked):
    _age(linked, refresh_token="")
    with pytest.raises(ReconnectRequired, match="no lasting permission"):
        fresh_access_token(linked.pk, rejected=linked.access_token)


def test_a_missing_account_asks_to_be_linked(db):
    with pytest.raises(ReconnectRequired, match="no longer linked"):
        fresh_access_token(404)


def test_the_claim_of_a_dead_worker_runs_out(linked, idp):
    _age(linked, refreshing_until=timezone.now() + timedelta(seconds=0.3))
    assert fresh_access_token(linked.pk, rejected=linked.access_token)
    assert timezone.now() > linked.refreshing_until
    assert _refreshes(idp) == 1


def test_who_waited_for_a_refresh_that_failed_does_not_ask_again(linked, idp, monkeypatch):
    _age(linked, refreshing_until=timezone.now() + timedelta(minutes=1))
    # The other worker gives its claim back while this one waits.
    monkeypatch.setattr(tokens.time, "sleep", lambda _: tokens._release(linked))
    with pytest.raises(Unavailable, match="another worker"):
        fresh_access_token(linked.pk, rejected=linked.access_token)
    assert _refreshes(idp) == 0


def test_who_comes_to_claim_after_a_refresh_takes_its_token(linked, idp, monkeypatch):
    claim, others = tokens._claim, []

    def claim_after_another_worker(account: GoogleAccount) -> bool:
        if not others:
            others.append("")  # the other worker's own claim goes straight through
            others.append(fresh_access_token(linked.pk, rejected=linked.access_token).value)
        return claim(account)

    monkeypatch.setattr(tokens, "_claim", claim_after_another_worker)
    assert fresh_access_token(linked.pk, rejected=linked.access_token).value == others[1]
    assert _refreshes(idp) == 1


def _meanwhile(monkeypatch, happens) -> None:
    """Let something happen between Google's answer and the storing of it."""
    ask = google.refresh

    def slow(refresh_token: str) -> google.Refreshed:
        fresh = ask(refresh_token)
        happens()
        return fresh

    monkeypatch.setattr(google, "refresh", slow)


def test_a_slow_refresh_does_not_overwrite_a_newer_consent(linked, owner, idp, monkeypatch):
    newer = idp.control.token(ADA, [DRIVE])
    consent = Consent(
        uid=linked.uid,
        email=ADA,
        name="",
        scopes=(DRIVE,),
        expires_at=timezone.now() + timedelta(hours=1),
        access_token=newer["access_token"],
        refresh_token=newer["refresh_token"],
    )
    _meanwhile(monkeypatch, lambda: keep_consent(owner, consent))
    fresh = fresh_access_token(linked.pk, rejected=linked.access_token)
    linked.refresh_from_db()
    assert fresh.value == linked.access_token == newer["access_token"]
    assert linked.refresh_token == newer["refresh_token"]


def test_a_slow_refresh_does_not_bring_an_unlinked_account_back(linked, monkeypatch):
    _meanwhile(monkeypatch, lambda: unlink(linked))
    with pytest.raises(ReconnectRequired, match="no longer linked"):
        fresh_access_token(linked.pk, rejected=linked.access_token)
    assert not GoogleAccount.objects.exists()


def test_a_refusal_of_the_old_consent_does_not_stop_the_new_one(linked, idp, monkeypatch):
    newer = idp.control.token(ADA, [DRIVE])["access_token"]

    def refused(refresh_token: str) -> google.Refreshed:
        version = linked.token_version + 1
        _age(linked, token_version=version, access_token=newer, refreshing_until=None)
        raise google.GrantRefused("invalid_grant")

    monkeypatch.setattr(google, "refresh", refused)
    assert fresh_access_token(linked.pk, rejected=linked.access_token).value == newer
    linked.refresh_from_db()
    assert linked.state == GoogleAccount.State.CONNECTED


def test_unlinking_revokes_at_google(linked, idp):
    outcome = unlink(linked)
    assert outcome.problem == ""
    answer = requests.get(
        idp.url + ABOUT, headers={"Authorization": f"Bearer {linked.access_token}"}, timeout=10
    )
    assert answer.status_code == 401
    with pytest.raises(google.GrantRefused):
        google.refresh(linked.refresh_token)


def test_unlinking_what_google_has_already_ended_is_no_problem(linked, idp):
    idp.control.revoke_tokens(ADA)
    assert unlink(linked).problem == ""


def test_unlinking_tells_when_google_could_not_be_told(linked, settings):
    settings.GOOGLE_REVOKE_URL = "http://127.0.0.1:9/revoke"
    assert "could not be reached" in unlink(linked).problem
    assert not GoogleAccount.objects.exists()
