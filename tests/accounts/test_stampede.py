"""Many threads of many processes want a token at once: Google is asked one time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from tests.accounts.consent import ADA
from tests.servers.emulator import ROOT, RunningEmulator

PROCESSES, THREADS = 4, 4
SEED = """
import sys, django; django.setup()
from datetime import timedelta
from django.utils import timezone
from accounts.models import GoogleAccount, User
now = timezone.now()
account = GoogleAccount.objects.create(
    user=User.objects.create_user("owner"), uid="1", email="ada@example.com",
    access_token="rejected", refresh_token=sys.argv[1], refreshed_at=now,
    expires_at=now + timedelta(hours=1),
)
print(account.pk)
"""
READ = """
import sys, django; django.setup()
from accounts.models import GoogleAccount
account = GoogleAccount.objects.get()
print(account.state, account.token_version, account.refreshing_until)
"""


def _environment(folder: Path) -> dict[str, str]:
    """A product of its own: a database file, a key."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "backupproject.settings",
        "ENV_FILE": "",
        "DATA_DIR": str(folder),
        "DATABASE_URL": "",
        "SECRET_KEY": "stampede-" + "k" * 60,
        "LOG_LEVEL": "ERROR",
    }


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, made once."""
    folder = tmp_path_factory.mktemp("migrated")
    _python(_environment(folder), "manage.py", "migrate", "--verbosity=0")
    return folder / "backup.sqlite3"


@pytest.fixture
def environment(idp: RunningEmulator, migrated: Path, tmp_path: Path) -> dict[str, str]:
    """The product, with the stand-in as its Google."""
    shutil.copy(migrated, tmp_path)
    return {
        **_environment(tmp_path),
        "GOOGLE_CLIENT_ID": DEFAULT_CLIENT_ID,
        "GOOGLE_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
        "GOOGLE_TOKEN_URL": f"{idp.url}/token",
    }


def _python(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _stampede(environment: dict[str, str], account: str) -> list[str]:
    """What every thread got; all processes start on one signal."""
    command = [sys.executable, "-m", "tests.accounts.refresher", account, str(THREADS)]
    workers = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
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


def test_sixteen_threads_of_four_processes_refresh_once(idp, environment):
    account = _python(environment, "-c", SEED, idp.control.token(ADA)["refresh_token"])
    idp.control.add_fault("^/token", delay_s=0.5)  # long enough for everybody to come in
    got = _stampede(environment, account)
    assert len(got) == PROCESSES * THREADS
    assert len(set(got)) == 1
    assert got[0].startswith("ya29.")
    assert idp.control.counters()["requests"]["oauth.refresh"] == 1
    assert _python(environment, "-c", READ) == "connected 1 None"


def test_a_dead_consent_is_found_out_once_and_told_to_all(idp, environment):
    account = _python(environment, "-c", SEED, idp.control.token(ADA)["refresh_token"])
    idp.control.revoke_tokens(ADA)
    idp.control.add_fault("^/token", delay_s=0.5)
    got = _stampede(environment, account)
    assert len(got) == PROCESSES * THREADS
    assert all(answer.startswith("ReconnectRequired: Google no longer") for answer in got)
    assert idp.control.counters()["requests"]["oauth.refresh"] == 1


def test_a_failing_google_is_not_asked_by_one_waiting_worker_after_the_other(idp, environment):
    account = _python(environment, "-c", SEED, idp.control.token(ADA)["refresh_token"])
    idp.control.add_fault("^/token", delay_s=1, status=503)
    got = _stampede(environment, account)
    assert all(answer.startswith("Unavailable: ") for answer in got)
    asked = [answer for answer in got if "another worker" not in answer]
    assert len(asked) <= 2  # two, if a process comes in more than a second late
