"""What tests of restores to Google Drive share: a Drive to fill, and a consent for that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import GoogleAccount
from accounts.scopes import DRIVE, DRIVE_FILE
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from syncapp.sources import google_upload
from tests.servers.emulator import RunningEmulator, running_emulator

ADA = "ada.lovelace@example.com"


@pytest.fixture(scope="module")
def drive_process() -> Iterator[RunningEmulator]:
    with running_emulator("sample", units_per_minute=0) as running:
        yield running


@pytest.fixture
def drive(
    drive_process: RunningEmulator, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningEmulator]:
    """A Google of this file's own, as the product's; uploads are cut into small pieces."""
    settings.GOOGLE_CLIENT_ID = DEFAULT_CLIENT_ID
    settings.GOOGLE_CLIENT_SECRET = DEFAULT_CLIENT_SECRET
    settings.GOOGLE_TOKEN_URL = f"{drive_process.url}/token"
    settings.GOOGLE_DRIVE_URL = f"{drive_process.url}/drive/v3/"
    monkeypatch.setattr(google_upload, "SMALL_BYTES", 50_000)
    monkeypatch.setattr(google_upload, "PIECE_BYTES", 256 * 1024)
    monkeypatch.setattr("syncapp.sources.google_client.call_delay_s", lambda *_: 0.01)
    drive_process.control.reset_counters()
    yield drive_process
    drive_process.control.clear_faults()
    drive_process.control.set_storage(None, account=ADA)


def allow_writing(account: GoogleAccount, drive: RunningEmulator) -> None:
    """Make it Ada's account, with both consents."""
    grant = drive.control.token(ADA, [DRIVE, DRIVE_FILE])
    GoogleAccount.objects.filter(pk=account.pk).update(
        email=ADA,
        scopes=grant["scope"].split(),
        access_token=grant["access_token"],
        refresh_token=grant["refresh_token"],
        expires_at=timezone.now() + timedelta(hours=1),
    )
    account.refresh_from_db()


def below(drive: RunningEmulator, top: str) -> dict[str, dict[str, Any]]:
    """What lies below a folder of Ada's, itself included, by id."""
    return {e["id"]: e for e in drive.control.manifest(ADA) if top in e["path"]}


def paths(entries: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """The names from the top folder down, of all but folders."""
    return sorted(
        tuple(entries[i]["name"] for i in entry["path"] if i in entries)[1:]
        for entry in entries.values()
        if entry["kind"] != "folder"
    )
