"""A whole setting: the stand-in for Google, a real S3 server, a folder, and runs in this process.

Runs go through the product's own lanes; only the queue between them is left out (the tests with
worker processes have it).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from bench.product import link_account
from emulator.control import Control
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from syncapp.engine import dispatch, runs
from syncapp.engine.adapters import destination_for
from syncapp.engine.planning import DESTINATION_BLOCKED
from syncapp.models import Copy, Destination, Lane, Run, Source, Version
from syncapp.sources.google_client import GoogleClient
from tests.servers import rclone_s3
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.servers.shared import Info, run_folder, shared


@dataclass
class Setting:
    """One source with two destinations, and the truth about it."""

    google: RunningEmulator
    source: Source
    folder: Destination
    bucket: Destination

    @property
    def control(self) -> Control:
        return self.google.control

    def back_up(self, *, full: bool = False) -> Run:
        run, _ = runs.request_backup(self.source, full=full)
        return self.work(run)

    def work(self, run: Run) -> Run:
        """Lane after lane until the run has ended; retries that are due later are due now."""
        for _ in range(40):
            run.refresh_from_db()
            if run.ended_at:
                return run
            Run.objects.filter(pk=run.pk).update(retry_at=None)
            Version.objects.filter(source=self.source, lease_owner="").exclude(
                error_code=DESTINATION_BLOCKED
            ).update(due_at=timezone.now())
            dispatch.tick()
            for lane in Lane.objects.filter(run=run, owner="", ended_at__isnull=True):
                dispatch.work(lane.pk)
        raise AssertionError(f"the run did not end: {run.stage} {run.error_message}")

    def verify(self) -> Run:
        run, _ = runs.request_verify(self.source, everything=True)
        return self.work(run)

    def stored_bytes(self, copy: Copy) -> bytes:
        with destination_for(copy.destination).read(copy.object_key) as chunks:
            return b"".join(chunks)

    def truth(self) -> dict[str, dict[str, Any]]:
        return {entry["id"]: entry for entry in self.control.manifest()}


@pytest.fixture(autouse=True)
def _quick(settings: Any, tmp_path: Path) -> None:
    """No queue, quick leases, a spool of the test's own."""
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.LEASE_SECONDS = 20


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes are asked for as rows; the test is the one that claims them."""
    monkeypatch.setattr(dispatch, "async_task", lambda *_, **__: None)


@pytest.fixture(autouse=True)
def _no_waiting_for_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come due when `work` says so; waits inside a call are short."""
    monkeypatch.setattr("syncapp.pacing.call_delay_s", lambda *_: 0.01)
    real = GoogleClient.__init__

    def quick(self: GoogleClient, *args: Any, **more: Any) -> None:
        real(self, *args, **{**more, "pause": lambda _: None})

    monkeypatch.setattr(GoogleClient, "__init__", quick)
    monkeypatch.setattr("syncapp.engine.lane.LINGER", timedelta(0))
    monkeypatch.setattr("syncapp.engine.breakers.FIRST_PAUSE_S", 0.3)
    monkeypatch.setattr("syncapp.engine.breakers.LOOK_S", 0.1)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Info]:
    folder = run_folder(tmp_path_factory.getbasetemp())
    with shared("engine-s3", folder, rclone_s3.start) as info:
        yield info


def make_setting(google: RunningEmulator, s3: Info, folder: Path, settings: Any) -> Setting:
    settings.GOOGLE_CLIENT_ID, settings.GOOGLE_CLIENT_SECRET = (
        DEFAULT_CLIENT_ID,
        DEFAULT_CLIENT_SECRET,
    )
    settings.GOOGLE_TOKEN_URL = f"{google.url}/token"
    settings.GOOGLE_DRIVE_URL = f"{google.url}/drive/v3/"
    settings.GOOGLE_FORMS_URL = f"{google.url}/"
    owner = User.objects.create_user("owner", "owner@example.org", "a long passphrase")
    linked = link_account(owner, google.control)
    source = Source.objects.create(
        mode="manual", owner=owner, account=linked, name="Drive", slug="drive", kind="google_drive"
    )
    (folder / "disk").mkdir()
    local = Destination.objects.create(
        owner=owner, name="Folder", kind="local", options={"path": str(folder / "disk")}
    )
    destination_for(local).prepare()  # type: ignore[attr-defined]
    secrets = {"access_key_id": s3["access_key"], "secret_access_key": s3["secret_key"]}
    bucket = Destination.objects.create(
        owner=owner,
        name="Bucket",
        kind="s3",
        options={
            "provider": "other",
            "endpoint": s3["endpoint"],
            "bucket": s3["bucket"],
            "prefix": f"e-{uuid.uuid4().hex[:10]}",
        },
        secrets=json.dumps(secrets),
    )
    source.destinations.set([local, bucket])
    return Setting(google, source, local, bucket)


@pytest.fixture
def sample(
    transactional_db: None, google: RunningEmulator, s3_server: Info, tmp_path: Path, settings: Any
) -> Setting:
    """The sample account; tests that change it use `changing`."""
    return make_setting(google, s3_server, tmp_path, settings)


@pytest.fixture
def few(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    """A synthetic account of 40 small files that the test may change."""
    with running_emulator("synthetic", files=40, file_size=5000) as google:
        yield make_setting(google, s3_server, tmp_path, settings)
