"""Many threads of many processes want a token at once: Google is asked one time."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import GoogleAccount, User
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from tests.accounts.consent import ADA
from tests.servers.emulator import ROOT, RunningEmulator
from tests.servers.workers import environment

PROCESSES, THREADS = 4, 4


@pytest.fixture
def account(transactional_db: None, idp: RunningEmulator) -> GoogleAccount:
    """Linked, with a token that Google no longer takes."""
    now = timezone.now()
    return GoogleAccount.objects.create(
        user=User.objects.create_user("owner"),
        uid="1",
        email=ADA,
        access_token="rejected",
        refresh_token=idp.control.token(ADA)["refresh_token"],
        refreshed_at=now,
        expires_at=now + timedelta(hours=1),
    )


def _stampede(account: GoogleAccount, folder: Path) -> list[str]:
    """What every thread got; all processes start on one signal."""
    client = {
        "GOOGLE_CLIENT_ID": DEFAULT_CLIENT_ID,
        "GOOGLE_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
    }
    command = [sys.executable, "-m", "tests.accounts.refresher", str(account.pk), str(THREADS)]
    workers = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(folder, LOG_LEVEL="ERROR", **client),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return [token for worker in workers for token in json.loads(worker.communicate(timeout=60)[0])]


def test_sixteen_threads_of_four_processes_refresh_once(
    idp: RunningEmulator, account: GoogleAccount, tmp_path: Path
) -> None:
    idp.control.add_fault("^/token", delay_s=0.5)  # long enough for everybody to come in
    got = _stampede(account, tmp_path)
    assert len(got) == PROCESSES * THREADS
    assert len(set(got)) == 1
    assert got[0].startswith("ya29.")
    assert idp.control.counters()["requests"]["oauth.refresh"] == 1
    account.refresh_from_db()
    assert (account.state, account.token_version) == ("connected", 1)
    assert account.refreshing_until is None


def test_a_dead_consent_is_found_out_once_and_told_to_all(
    idp: RunningEmulator, account: GoogleAccount, tmp_path: Path
) -> None:
    idp.control.revoke_tokens(ADA)
    idp.control.add_fault("^/token", delay_s=0.5)
    got = _stampede(account, tmp_path)
    assert len(got) == PROCESSES * THREADS
    assert all(answer.startswith("ReconnectRequired: Google no longer") for answer in got)
    assert idp.control.counters()["requests"]["oauth.refresh"] == 1


def test_a_failing_google_is_not_asked_by_one_waiting_worker_after_the_other(
    idp: RunningEmulator, account: GoogleAccount, tmp_path: Path
) -> None:
    idp.control.add_fault("^/token", delay_s=1, status=503)
    got = _stampede(account, tmp_path)
    assert all(answer.startswith("Unavailable: ") for answer in got)
    asked = [answer for answer in got if "another worker" not in answer]
    assert len(asked) <= 2  # two, if a process comes in more than a second late
