"""Three people, a Google of their own, and somebody who clicks through its consent pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.socialaccount.providers.google import views as allauth_google
from django.core.cache import cache
from django.test import Client

from accounts.models import GoogleAccount, User
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from tests.accounts.consent import Browser
from tests.servers.emulator import RunningEmulator, running_emulator

PASSWORD = "correct horse battery"
Link = Callable[..., GoogleAccount]


@pytest.fixture(autouse=True)
def _fresh_throttle() -> None:
    cache.clear()


@pytest.fixture(scope="session")
def _identity_provider() -> Iterator[RunningEmulator]:
    with running_emulator() as running:
        yield running


@pytest.fixture
def idp(
    _identity_provider: RunningEmulator, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> RunningEmulator:
    """The stand-in as the product's Google; nothing else of the suite talks to this one."""
    url, control = _identity_provider.url, _identity_provider.control
    settings.GOOGLE_CLIENT_ID, settings.GOOGLE_CLIENT_SECRET = (
        DEFAULT_CLIENT_ID,
        DEFAULT_CLIENT_SECRET,
    )
    settings.GOOGLE_TOKEN_URL, settings.GOOGLE_REVOKE_URL = f"{url}/token", f"{url}/revoke"
    provider = settings.SOCIALACCOUNT_PROVIDERS["google"]
    app = {"client_id": DEFAULT_CLIENT_ID, "secret": DEFAULT_CLIENT_SECRET, "key": ""}
    settings.SOCIALACCOUNT_PROVIDERS = {"google": {**provider, "APPS": [app]}}
    # allauth reads the addresses once, at import (test_settings_reach_allauth proves that way).
    adapter = allauth_google.GoogleOAuth2Adapter
    monkeypatch.setattr(adapter, "authorize_url", f"{url}/o/oauth2/v2/auth")
    monkeypatch.setattr(adapter, "access_token_url", f"{url}/token")
    monkeypatch.setattr(adapter, "identity_url", f"{url}/oauth2/v2/userinfo")
    for account in control.accounts():
        control.revoke_tokens(account["email"])  # earlier consents would be granted along
        control.allow_refresh(account["email"])
    control.set_lifetimes(access_s=3599, refresh_s=None)
    control.clear_faults()
    control.reset_counters()
    return _identity_provider


def _person(name: str) -> User:
    return User.objects.create_user(name, f"{name}@backup.test", PASSWORD)


@pytest.fixture
def owner(db: None) -> User:
    return _person("owner")


@pytest.fixture
def teammate(db: None) -> User:
    """Somebody of the same installation, staff even: still no business with others' accounts."""
    user = _person("teammate")
    user.is_staff = True
    user.save()
    return user


@pytest.fixture
def outsider(db: None) -> User:
    return _person("outsider")


@pytest.fixture
def browser(idp: RunningEmulator) -> Callable[[User], Browser]:
    """A logged-in browser of a person."""
    return lambda user: Browser.of(user, idp.url)


@pytest.fixture
def linked(idp: RunningEmulator, owner: User, browser: Callable[[User], Browser]) -> GoogleAccount:
    """The owner's Google account, linked through the pages."""
    browser(owner).link()
    return GoogleAccount.objects.get(user=owner)


@pytest.fixture
def anonymous() -> Client:
    return Client(HTTP_HOST="127.0.0.1:8000")
