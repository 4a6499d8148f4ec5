"""There and back: everything nasty is backed up, and restored into the Drive of another account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import GoogleAccount, User
from accounts.scopes import DRIVE, DRIVE_FILE
from syncapp.engine import restoring
from syncapp.models import DriveId, RestoreItem
from syncapp.restore_targets.drive import CONVERTED
from tests.engine.conftest import make_setting
from tests.engine.restores import work
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.servers.shared import Info

GRACE = "grace.hopper@example.com"
REFUSED = 7
Entry = dict[str, Any]


def blobs(entries: Iterable[Entry]) -> Counter[tuple[str, str, int]]:
    """Name, bytes and time of what is stored as it is, and was given to us."""
    kept = (e for e in entries if e["kind"] == "blob" and not e["refused"] and not e["trashed"])
    return Counter((e["name"], e["sha256"], e["modified_ms"]) for e in kept)


def documents(entries: Iterable[Entry]) -> Counter[tuple[str, str]]:
    """Docs, Sheets and Slides by name and type."""
    kept = (e for e in entries if e["mime_type"] in CONVERTED and not e["refused"])
    return Counter((e["name"], e["mime_type"]) for e in kept)


def allowed(owner: User, google: RunningEmulator) -> GoogleAccount:
    """Grace's account, which may be restored to."""
    grant = google.control.token(GRACE, [DRIVE, DRIVE_FILE])
    return GoogleAccount.objects.create(
        user=owner,
        uid="grace",
        email=GRACE,
        scopes=grant["scope"].split(),
        access_token=grant["access_token"],
        refresh_token=grant["refresh_token"],
        expires_at=timezone.now() + timedelta(hours=1),
    )


@pytest.mark.slow
def test_a_nasty_account_comes_back_in_another_ones_drive(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> None:
    with running_emulator("sample", units_per_minute=0) as google:
        setting = make_setting(google, s3_server, tmp_path, settings)
        setting.source.destinations.set([setting.folder])
        assert setting.back_up().files_failed == 0
        wish = {"account": allowed(setting.source.owner, google).pk}
        run = restoring.request_restore(
            setting.source, target="drive", options=wish, convert=True, permissions=True
        )
        work(run)
        top = DriveId.objects.exclude(key__startswith="item:").order_by("pk")[0].remote_id
        there = [e for e in google.control.manifest(GRACE) if top in e["path"]]
        before = list(google.control.manifest())

    # What failed was never given to us, so that no content of it is stored.
    failed = RestoreItem.objects.filter(restore=run.restore, state="failed")
    assert set(failed.values_list("error_code", flat=True)) == {"not_stored"}
    assert failed.count() == REFUSED
    assert not blobs(before) - blobs(there)
    # Kept in a type other than Google's own: shortcuts, forms, drawings, scripts, a film.
    extra = {name.partition(".")[2] for name, *_ in blobs(there) - blobs(before)}
    assert extra == {"shortcut.json", "json", "pdf", "mp4"}
    assert documents(there) == documents(before)
