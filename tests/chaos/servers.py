"""What a seed runs against: the stand-in for Google, two stores of different make, a database.

Store "disk" is rclone's S3 server over a folder: killed outright and started again, and compared
by reading the folder. Store "sink" is our own (bench/sink.py): it answers wrong bytes when told
to, and goes away and comes back with its data.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote

from bench.stand import die_with_parent
from tests.servers.emulator import ROOT, RunningEmulator, running_emulator
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.process import free_port, wait_for_port
from tests.servers.rclone_s3 import ACCESS_KEY, SECRET_KEY, binary

BUCKET = "backup"
BIG_BYTES = 24 * 1024**2


class Store(Protocol):
    """A place that can be read without the product."""

    def read(self, key: str) -> bytes | None:
        """An object's bytes; None if there is none."""


class DiskStore:
    """`rclone serve s3` over a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "data" / BUCKET).mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on its data."""
        command = [binary(), "serve", "s3", "--addr", f"127.0.0.1:{self.port}"]
        command += ["--vfs-cache-mode", "off", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
        command += ["--config", str(self.folder / "none"), str(self.folder / "data")]
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, preexec_fn=die_with_parent
            )
        wait_for_port(self._process.pid, log, self.port)

    def stop(self) -> None:
        """kill -9; what it was writing may be half written."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def digests(self) -> set[str]:
        """SHA-256 of everything that lies there."""
        files = (path for path in self.folder.joinpath("data").rglob("*") if path.is_file())
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def read(self, key: str) -> bytes | None:
        """An object's bytes as they lie there; None if there is none."""
        path = self.folder / "data" / BUCKET / key
        return path.read_bytes() if path.is_file() else None


class SinkStore:
    """`bench.sink`, its data in its memory."""

    def __init__(self, folder: Path, name: str = "sink", delay_ms: float = 0) -> None:
        ready = folder / f"{name}.ready"
        command = [sys.executable, "-m", "bench.sink", "--port", str(free_port())]
        command += ["--delay-ms", str(delay_ms)]
        with (folder / f"{name}.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--ready-file", str(ready)],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,
            )
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert time.monotonic() < deadline, "the sink did not start"
            time.sleep(0.02)
        self.url: str = json.loads(ready.read_text())["url"]

    def start(self) -> None:
        """Be reachable again, which is so when it answers."""
        self._process.send_signal(signal.SIGUSR2)
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError, http.client.HTTPException):
                self.fired()
                return
            assert time.monotonic() < deadline, "the sink does not come back"
            time.sleep(0.02)

    def stop(self) -> None:
        """Be unreachable: connections cut, nobody listens."""
        self._process.send_signal(signal.SIGUSR1)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def faults(self, **wanted: Any) -> None:
        """Put these faults in force and no others."""
        data = json.dumps(wanted).encode()
        urllib.request.urlopen(f"{self.url}/_control", data, timeout=30).close()

    def fired(self) -> dict[str, int]:
        """How often each fault has struck."""
        told: dict[str, int] = self._told()["fired"]
        return told

    def rotted(self) -> set[str]:
        """SHA-256 of everything that was stored with other bytes behind an ETag that hides it."""
        return set(self._told()["rotted"])

    def _told(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_control", timeout=30) as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    def all_keys(self) -> list[str]:
        """Every object's key."""
        found: list[str] = []
        while True:
            after = f"&start-after={quote(found[-1])}" if found else ""
            url = f"{self.url}/{BUCKET}?list-type=2&encoding-type=url{after}"
            with urllib.request.urlopen(url, timeout=60) as answer:
                page = re.findall(r"<Key>(.*?)</Key>", answer.read().decode())
            if not page:
                return found
            found += map(unquote, page)

    def read(self, key: str) -> bytes | None:
        """An object's bytes; None if there is none."""
        try:
            with urllib.request.urlopen(f"{self.url}/{BUCKET}/{quote(key)}", timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None


@dataclass
class Servers:
    """All of them, running."""

    folder: Path
    google: RunningEmulator
    disk: DiskStore
    sink: SinkStore
    postgres: Postgres | None

    def database_url(self) -> str:
        """The address of an empty database."""
        if self.postgres is None:
            return f"sqlite:///{self.folder / 'chaos.sqlite3'}"
        return self.postgres.new_database()


@contextmanager
def running_servers(folder: Path, files: int, *, on_postgres: bool) -> Iterator[Servers]:
    """Start them; whatever happens, none is left."""
    # Proxies of the caller's would be asked for loopback too.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    with ExitStack() as stack:
        google = stack.enter_context(
            running_emulator(
                "synthetic",
                files=files,
                file_size=6_000,
                big_file=BIG_BYTES,
                units_per_minute=0,
            )
        )
        disk = DiskStore(folder / "disk")
        disk.start()
        stack.callback(disk.stop)
        sink = SinkStore(folder)
        stack.callback(sink.close)
        postgres = stack.enter_context(running_postgres()) if on_postgres else None
        yield Servers(folder, google, disk, sink, postgres)
