"""Worker processes of the product on the test's own database, and ways to kill them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Workers:
    """A running `manage.py runworkers`: the supervisor, the cluster below it, its processes."""

    supervisor: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Everything below the supervisor."""
        try:
            return psutil.Process(self.supervisor.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def queue_workers(self, *, busy: bool = False) -> list[psutil.Process]:
        """The processes that run lanes (`busy`: at this moment)."""
        states = ("processing",) if busy else ("idle", "processing")
        found = []
        for process in self.processes():
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if title.startswith("qcluster Process-") and any(state in title for state in states):
                found.append(process)
        return found

    def kill_one(self, chance: random.Random, *, anything: bool = False, busy: bool = False) -> str:
        """kill -9 one lane's process (`busy`: one at work; `anything`: any below); its title."""
        candidates = self.processes() if anything else self.queue_workers(busy=busy)
        if not candidates:
            return ""
        victim = chance.choice(candidates)
        try:
            title = " ".join(victim.cmdline())
            victim.send_signal(signal.SIGKILL)
        except psutil.Error:
            return ""
        return title or "?"


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """The product's settings for a process that shares the test's database."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO")}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "backupproject.settings",
        "ENV_FILE": "",
        "SECRET_KEY": settings.SECRET_KEY,
        "FIELD_KEYS": ",".join(settings.FIELD_KEYS),
        "DATA_DIR": str(folder / "data"),
        "DATABASE_URL": _database_url(),
        "ALLOW_PRIVATE_ENDPOINTS": "true",
        "GOOGLE_TOKEN_URL": settings.GOOGLE_TOKEN_URL,
        "GOOGLE_UNITS_PER_MINUTE": "0",
        "GOOGLE_UNITS_PER_MINUTE_PROJECT": "0",
        "GOOGLE_WRITES_PER_SECOND": "0",
        "GOOGLE_DRIVE_URL": settings.GOOGLE_DRIVE_URL,
        "GOOGLE_FORMS_URL": settings.GOOGLE_FORMS_URL,
        "SPOOL_DIR": str(folder / "spool"),
        "LEASE_SECONDS": "4",
        "WORKERS": "2",
        "LOG_LEVEL": "INFO",
        **changes,
    }


def _database_url() -> str:
    """The address of the database that this test uses."""
    about = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{about['NAME']}"
    return f"postgres://{about['USER']}@{about['HOST']}:{about['PORT']}/{about['NAME']}"


@contextmanager
def running_workers(folder: Path, **changes: str) -> Iterator[Workers]:
    """Start the workers on the test's own database."""
    with workers_in(environment(folder, **changes), folder / "workers.log") as workers:
        yield workers


@contextmanager
def workers_in(env: Mapping[str, str], log_path: Path, grace_s: int = 20) -> Iterator[Workers]:
    """Start the workers; at the end ask them to drain, then make sure."""
    with log_path.open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "manage.py", "runworkers", "--grace", str(grace_s)],
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=log,
        )
    workers = Workers(supervisor, log_path)
    try:
        yield workers
    finally:
        below = workers.processes()
        supervisor.terminate()
        try:
            supervisor.wait(40)
        finally:
            for process in [*below, *([supervisor] if supervisor.poll() is None else [])]:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue


def wait_until(condition: object, seconds: float, what: str) -> None:
    """Poll a condition of another process's making; AssertionError names what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
