"""The product as a benchmark runs it: its own database and settings, real workers, real commands.

Only one per process, because Django's settings are read once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import psutil
from cryptography.fernet import Fernet
from django.core.management import call_command

from bench import measure
from bench.stand import ROOT, Stand, die_with_parent
from emulator.control import Control
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET

if TYPE_CHECKING:
    from accounts.models import GoogleAccount, User
    from syncapp.models import Destination, Run, Source

WORKERS = 2


def configure(folder: Path, **changes: str) -> None:
    """Point Django at an empty database in `folder` and make its tables."""
    os.environ.update(
        {
            "DJANGO_SETTINGS_MODULE": "backupproject.settings",
            "ENV_FILE": "",
            "SECRET_KEY": "bench-" * 10,
            "FIELD_KEYS": Fernet.generate_key().decode(),
            "DATA_DIR": str(folder / "data"),
            "ALLOW_PRIVATE_ENDPOINTS": "true",
            "GOOGLE_CLIENT_ID": DEFAULT_CLIENT_ID,
            "GOOGLE_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
            "LOG_LEVEL": "WARNING",
            # rclone is not held to Google's quota either, and the stand-in has none here.
            "GOOGLE_UNITS_PER_MINUTE": "0",
            "GOOGLE_UNITS_PER_MINUTE_PROJECT": "0",
            "WORKERS": str(WORKERS),
            **changes,
        }
    )
    (folder / "data").mkdir(exist_ok=True)
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)


def link(stand: Stand) -> Source:
    """An owner, the linked account, a source, and one destination, tested, for each sink."""
    source = link_source(stand.control)
    secrets = {"access_key_id": "bench", "secret_access_key": "bench-secret"}
    for sink in stand.sinks:
        options = {"provider": "other", "endpoint": sink.url, "bucket": sink.bucket}
        destination = source.destinations.create(
            owner=source.owner,
            name=sink.name,
            kind="s3",
            options={**options, "prefix": "ours"},
            secrets=json.dumps(secrets),
        )
        _find_out(destination)
    return source


def _find_out(destination: Destination) -> None:
    """What the test of a destination finds out of its store. Not all of the test: a sink that
    forgets big bodies can't be read back."""
    from syncapp.destinations.s3 import S3Destination
    from syncapp.destinations.s3_crc32c import check_crc32c
    from syncapp.engine.adapters import origin_for

    store = origin_for(destination)
    assert isinstance(store, S3Destination)
    line = check_crc32c(store, ".probe")
    if not line.proves:
        raise RuntimeError(line.message)
    for info in list(store.objects(".probe/")):
        store.delete(info.key)
    destination.options[line.proves] = "1"
    destination.save(update_fields=["options"])


def link_source(control: Control) -> Source:
    """An owner, the linked account and a source without destinations."""
    from accounts.models import User
    from syncapp.models import Source

    owner = User.objects.create_superuser("owner", "owner@example.org", "a long passphrase")
    return Source.objects.create(
        owner=owner,
        account=link_account(owner, control),
        name="Drive",
        slug="drive",
        mode="manual",
    )


def link_account(owner: User, control: Control) -> GoogleAccount:
    """The stand-in's first account as linking leaves it, without the browser."""
    from django.utils import timezone

    from accounts.models import GoogleAccount

    token, account = control.token(), control.accounts()[0]
    return GoogleAccount.objects.create(
        user=owner,
        uid=account["sub"],
        email=account["email"],
        scopes=token["scope"].split(),
        access_token=token["access_token"],
        refresh_token=token["refresh_token"],
        expires_at=timezone.now() + timedelta(hours=1),
    )


@dataclass(frozen=True)
class Ran:
    """One run of the product."""

    run: Run
    wall_s: float
    cpu_s: float
    peaks_mb: list[float]

    @property
    def worker_peak_mb(self) -> float:
        """The largest process."""
        return self.peaks_mb[0] if self.peaks_mb else 0.0


class Workers:
    """A running `manage.py runworkers`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def run(self, ask: Any, *, limit_s: float = 3600) -> Ran:
        """Ask for a run (`ask()` gives it) and wait for its end."""
        before, began = measure.usage(self.process.pid), time.monotonic()
        run: Run = ask()
        while True:
            run.refresh_from_db()
            if run.ended_at is not None:
                break
            if time.monotonic() - began > limit_s or self.process.poll() is not None:
                raise RuntimeError(f"{run} did not end: {self.log.read_text()[-3000:]}")
            time.sleep(0.25)  # the times are the run's own
        cpu_s = measure.usage(self.process.pid).since(before)
        wall_s = (run.ended_at - run.created_at).total_seconds()
        return Ran(run, wall_s, cpu_s, measure.peaks_mb(self.process.pid))

    def write_catalog(self, source: Source, *, limit_s: float = 1800) -> dict[str, float]:
        """Wait until the catalog's segments and a backup of the database are at all
        destinations: what follows a first backup, and would share the cores with the next run."""
        from syncapp.engine import segment_turns
        from syncapp.models import DatabaseBackup, SegmentTurn

        before, began = measure.usage(self.process.pid), time.monotonic()
        busy = SegmentTurn.objects.filter(source=source).exclude(owner="")
        backed_up = DatabaseBackup.objects.exclude(object_key="")
        while (
            segment_turns.something_to_write(source.pk)
            or busy.exists()
            or backed_up.count() < source.destinations.count()
        ):
            if time.monotonic() - began > limit_s or self.process.poll() is not None:
                raise RuntimeError(f"no segments: {self.log.read_text()[-3000:]}")
            time.sleep(0.5)
        cpu_s = measure.usage(self.process.pid).since(before)
        peak = max(measure.peaks_mb(self.process.pid), default=0.0)
        return {"wall_s": time.monotonic() - began, "cpu_s": cpu_s, "peak_mb": peak}

    def backup(self, source: Source, **how: Any) -> Ran:
        """A backup run."""
        from syncapp.engine import runs

        return self.run(lambda: runs.request_backup(source, **how)[0])


@contextmanager
def running_workers(folder: Path, **changes: str) -> Iterator[Workers]:
    """Start them and wait until all hands are there."""
    from syncapp.engine import runs

    log_path = folder / "workers.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runworkers", "--grace", "20"],
            cwd=ROOT,
            env={**os.environ, **changes},
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
    try:
        while not runs.worker_alive() or not _ready(process.pid):
            if process.poll() is not None:
                raise RuntimeError(f"workers did not start: {log_path.read_text()[-2000:]}")
            time.sleep(0.1)
        yield Workers(process, log_path)
    finally:
        process.terminate()
        process.wait(60)


def _ready(pid: int) -> bool:
    """Whether the queue's processes are all there and idle."""
    titles = []
    for process in measure.tree(pid):
        try:
            titles.append(" ".join(process.cmdline()))
        except (OSError, psutil.Error):  # it has just ended
            continue
    return sum("idle" in title for title in titles) >= 1
