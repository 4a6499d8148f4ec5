"""A throw-away PostgreSQL: own cluster in a temporary folder, a free loopback port.

It never waits for the disk; a commit is handed to the system, so it outlasts the server only.

The server refuses to run as root, so as root it runs as Debian's user `postgres`, or `nobody`.
It has no guard: killed outright it would leave shared memory behind, so `setpriv` sees to it that
the end of the test run reaches it as SIGQUIT ("immediate shutdown").
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.servers import programs
from tests.servers.process import free_port, wait_for_words

SUPERUSER = "backup"


@dataclass
class Postgres:
    """A running server."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on its folder and wait until it answers."""
        (self.folder / "log").unlink(missing_ok=True)
        self.process = _start(self, self.folder, _as_whom(self.folder))
        wait_for_words(self.process.pid, self.folder / "log", "ready to accept connections")

    def stop(self) -> None:
        """Stop it at once; what was committed stays (the machine goes on)."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()
            self.process = None

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as DATABASE_URL wants it."""
        return f"postgres://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def new_database(self, like: str = "") -> str:
        """An empty database, or a copy of one that nobody is connected to; its address."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        template = like.rpartition("/")[2] or "template1"
        with closing(psycopg.connect(self.url(), autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start one, and stop it for sure."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        as_whom = _as_whom(folder)
        initdb = [_program("initdb"), "-D", str(folder / "data"), "-U", SUPERUSER]
        initdb += ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run([*as_whom, *initdb], check=True, capture_output=True, cwd=folder)
        server = Postgres(free_port(), folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(server: Postgres, folder: Path, as_whom: list[str]) -> subprocess.Popen[bytes]:
    settings = {
        "port": server.port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
        "fsync": "off",
        "full_page_writes": "off",
    }
    command = [*as_whom, _program("postgres"), "-D", str(folder / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)


def _program(name: str) -> str:
    found = programs.find(name)
    assert found, f"{name} is not installed"
    return found


def _as_whom(folder: Path) -> list[str]:
    """The start of a command; as root it goes on as somebody else, to whom the folder is given."""
    start = [_program("setpriv"), "--pdeathsig", "QUIT"]
    if os.getuid() != 0:
        return start
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return [*start, f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server for all tests of a process; the test is marked `needs("postgresql")`."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """An empty database of one's own, as a DATABASE_URL."""
    return postgres_server.new_database()
