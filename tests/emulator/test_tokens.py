"""Lifetimes, limits and revocation of tokens, with a clock that the test turns."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.items import User
from emulator.tokens import (
    DEAD_TOKEN,
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    MAX_REFRESH_TOKENS,
    TESTING_LIFETIME_S,
    Client,
    OAuthError,
    TokenStore,
    canonical,
)

DRIVE = "https://www.googleapis.com/auth/drive.readonly"
CLIENT = Client(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> TokenStore:
    accounts: dict[str, Any] = {
        sub: User(sub, f"{sub}@example.org", sub.title()) for sub in ("ada", "bob")
    }
    return TokenStore(accounts, now=clock)


def refuse(store: TokenStore, refresh_token: str) -> str:
    with pytest.raises(OAuthError) as caught:
        store.refresh(CLIENT, refresh_token)
    assert caught.value.status == 400
    return f"{caught.value.error}: {caught.value.description}"


def test_an_access_token_stands_for_its_account_until_it_expires(
    store: TokenStore, clock: Clock
) -> None:
    token = store.issue("ada", [DRIVE])["access_token"]
    assert store.account_for(token) is store.accounts["ada"]
    assert store.scopes_for(token) == {DRIVE}
    clock.seconds += 3600
    assert store.account_for(token) is None
    assert store.scopes_for(token) == set()


def test_a_set_lifetime_holds_for_later_tokens_and_is_told_in_expires_in(
    store: TokenStore, clock: Clock
) -> None:
    before = store.issue("ada", [DRIVE])["access_token"]
    store.set_access_lifetime(5)
    after = store.issue("ada", [DRIVE])
    assert after["expires_in"] == 5
    clock.seconds += 6
    assert store.account_for(before) is not None
    assert store.account_for(after["access_token"]) is None


def test_a_refresh_token_in_testing_dies_after_seven_days(store: TokenStore, clock: Clock) -> None:
    store.set_refresh_lifetime(TESTING_LIFETIME_S)
    issued = store.issue("ada", [DRIVE])
    assert issued["refresh_token_expires_in"] == 604_800
    clock.seconds += TESTING_LIFETIME_S - 1
    assert store.refresh(CLIENT, issued["refresh_token"]).grant.sub == "ada"
    clock.seconds += 1
    assert refuse(store, issued["refresh_token"]) == f"invalid_grant: {DEAD_TOKEN}"


def test_the_hundred_and_first_refresh_token_ends_the_oldest_of_that_account_only(
    store: TokenStore,
) -> None:
    others = store.issue("bob", [DRIVE])["refresh_token"]
    tokens = [store.issue("ada", [DRIVE])["refresh_token"] for _ in range(MAX_REFRESH_TOKENS + 1)]
    assert refuse(store, tokens[0]) == f"invalid_grant: {DEAD_TOKEN}"
    assert store.refresh(CLIENT, tokens[1]).grant.sub == "ada"
    assert store.refresh(CLIENT, others).grant.sub == "bob"


def test_revoking_an_account_ends_its_tokens_and_no_one_elses(store: TokenStore) -> None:
    ada, bob = store.issue("ada", [DRIVE]), store.issue("bob", [DRIVE])
    assert store.revoke_account("ada") == 1
    assert store.account_for(ada["access_token"]) is None
    assert refuse(store, ada["refresh_token"]) == f"invalid_grant: {DEAD_TOKEN}"
    assert store.account_for(bob["access_token"]) is not None


def test_expiring_access_tokens_leaves_the_refresh_token(store: TokenStore) -> None:
    issued = store.issue("ada", [DRIVE])
    assert store.expire_access_tokens("ada") == 1
    assert store.account_for(issued["access_token"]) is None
    assert store.account_for(store.refresh(CLIENT, issued["refresh_token"]).value) is not None


def test_a_forced_refusal_carries_its_own_error_until_it_is_lifted(store: TokenStore) -> None:
    issued = store.issue("ada", [DRIVE])
    store.refuse_refresh("ada", "admin_policy_enforced", "Blocked by the admin.")
    assert refuse(store, issued["refresh_token"]) == "admin_policy_enforced: Blocked by the admin."
    store.allow_refresh("ada")
    assert store.refresh(CLIENT, issued["refresh_token"]).grant.sub == "ada"


def test_a_refresh_can_narrow_the_scopes_but_not_widen_them(store: TokenStore) -> None:
    issued = store.issue("ada", [DRIVE, "email"])
    assert store.refresh(CLIENT, issued["refresh_token"], DRIVE).scopes == {DRIVE}
    with pytest.raises(OAuthError, match="invalid_scope"):
        store.refresh(CLIENT, issued["refresh_token"], DRIVE + " https://other.example/scope")


def test_another_client_cannot_use_a_refresh_token(store: TokenStore) -> None:
    issued = store.issue("ada", [DRIVE])
    other = store.register_client("other.apps.googleusercontent.com", "secret")
    with pytest.raises(OAuthError, match="unauthorized_client"):
        store.refresh(other, issued["refresh_token"])


def test_issuing_for_an_unknown_account_is_an_error(store: TokenStore) -> None:
    with pytest.raises(KeyError):
        store.issue("nobody", [DRIVE])


@pytest.mark.parametrize("short", ["email", "profile", "openid"])
def test_identity_scopes_get_googles_long_names_and_bring_openid(short: str) -> None:
    names = canonical([short, DRIVE])
    assert {"openid", DRIVE} <= names
    assert not names & {"email", "profile"}
