"""A Drive source of the stand-in's sample account."""

from __future__ import annotations

import pytest
from google.oauth2.credentials import Credentials

from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from syncapp.sources.google_client import GoogleEndpoints, Pause
from syncapp.sources.google_drive import GoogleDriveSource
from tests.servers.emulator import RunningEmulator


def drive_source(
    running: RunningEmulator, account: str = "", pause: Pause = lambda _: None
) -> GoogleDriveSource:
    """A source with a token of its own; it does not really wait between tries."""
    grant = running.control.token(account)
    credentials = Credentials(
        token=grant["access_token"],
        refresh_token=grant["refresh_token"],
        token_uri=f"{running.url}/token",
        client_id=DEFAULT_CLIENT_ID,
        client_secret=DEFAULT_CLIENT_SECRET,
    )
    endpoints = GoogleEndpoints(f"{running.url}/drive/v3/", f"{running.url}/")
    scopes = frozenset(grant["scope"].split())
    return GoogleDriveSource(credentials, endpoints, scopes=scopes, pause=pause)


@pytest.fixture
def source(google: RunningEmulator) -> GoogleDriveSource:
    """The sample account; nothing may be changed in it."""
    return drive_source(google)
