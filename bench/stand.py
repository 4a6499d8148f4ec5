"""The servers of a benchmark: the stand-in for Google and two S3 sinks, processes, all over TLS."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from bench import measure, world
from emulator.control import Control
from emulator.tls import Authority
from tests.servers import certificates
from tests.servers.process import free_port

ROOT = Path(__file__).resolve().parent.parent
START_S = 60.0
# A stand-in should cost as little as it can: whole parts in memory that is kept.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(64 * 1024**2)}
GOOGLE = "https://www.googleapis.com"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec nothing may be locked


def die_with_parent() -> None:
    """For a child between fork and exec: it must not outlive the thread that started it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(frozen=True)
class Server:
    """A started server."""

    name: str
    url: str
    process: subprocess.Popen[bytes]

    @property
    def cpu_s(self) -> float:
        """What it spent so far."""
        return measure.usage(self.process.pid).total


@dataclass(frozen=True)
class SinkServer(Server):
    """One S3 sink, and how to command it."""

    bucket: str = "bench"

    def control(self, method: str = "GET", **faults: Any) -> dict[str, Any]:
        """Counters; POST sets faults, DELETE starts counting anew."""
        data = json.dumps(faults).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self.url}/_control", data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            said: dict[str, Any] = json.load(answer)
            return said


@dataclass
class Stand:
    """Everything that runs for one benchmark."""

    folder: Path
    google: Server
    control: Control
    sinks: list[SinkServer]
    environment: dict[str, str] = field(default_factory=dict)

    def servers_cpu_s(self) -> float:
        """CPU seconds of all servers so far."""
        return sum(server.cpu_s for server in (self.google, *self.sinks))

    def google_requests(self) -> int:
        """Requests of files, bytes and changes that Google was asked since the last reset."""
        counted = self.control.counters()["requests"]
        return sum(n for kind, n in counted.items() if not kind.startswith(("oauth", "control")))

    def hash_everything(self) -> None:
        """Make the stand-in compute all hashes that it can be asked for: the real one has them,
        and nobody's time is to count a gigabyte's."""
        asked = {
            "fields": "nextPageToken,files(md5Checksum,sha1Checksum,sha256Checksum)",
            "pageSize": "1000",
        }
        with requests.Session() as session:
            session.trust_env = False
            session.verify = os.environ["SSL_CERT_FILE"]
            session.headers["Authorization"] = f"Bearer {self.control.token()['access_token']}"
            token: str | None = ""
            while token is not None:
                query = asked | ({"pageToken": token} if token else {})
                answer = session.get(f"{GOOGLE}/drive/v3/files", params=query, timeout=600)
                answer.raise_for_status()
                token = answer.json().get("nextPageToken")


@contextmanager
def running_stand(
    folder: Path, *, files: int, size: int | str, delay_ms: float = 0, **sink_flags: Any
) -> Iterator[Stand]:
    """Stand-in with a synthetic account and two sinks; `delay_ms` before every answer of each.

    Once per process: it furnishes the world with certificates of its own.
    """
    (folder / "google").mkdir()
    google_authority = Authority(folder / "google")
    made = certificates.make(folder)
    world.furnish(folder, [google_authority.ca_file, made.authority])
    with ExitStack() as stack:
        tls = str(google_authority.server_file)
        command = ["emulator", "--port", "443", "--account", "synthetic", "--files", str(files)]
        command += ["--file-size", str(size), "--units-per-minute", "0"]
        command += ["--tls-cert", tls, "--tls-key", tls]
        google = stack.enter_context(started("google", command, folder))
        sinks = [
            stack.enter_context(running_sink(f"sink-{name}", folder, made, delay_ms, sink_flags))
            for name in ("a", "b")
        ]
        # Its certificate names Google's hosts only.
        control = Control(GOOGLE)
        if delay_ms:
            control.add_fault("^/(drive|oauth2|token|v1)", delay_s=delay_ms / 1000)
        yield Stand(folder, google, control, sinks)


@contextmanager
def running_sink(
    name: str,
    folder: Path,
    made: certificates.Certificates,
    delay_ms: float,
    flags: dict[str, Any],
) -> Iterator[SinkServer]:
    """One sink over TLS; `flags` of `bench.sink` with their values, True for a bare flag."""
    command = ["bench.sink", "--port", str(free_port()), "--delay-ms", str(delay_ms)]
    command += ["--tls-cert", str(made.certificate), "--tls-key", str(made.key)]
    for flag, value in flags.items():
        command += [f"--{flag.replace('_', '-')}", *([] if value is True else [str(value)])]
    with started(name, command, folder) as server:
        yield SinkServer(server.name, server.url, server.process)


@contextmanager
def started(name: str, command: list[str], folder: Path) -> Iterator[Server]:
    """`python -m command` until it is ready; killed at the end."""
    ready, log_path = folder / f"{name}.ready", folder / f"{name}.log"
    ready.unlink(missing_ok=True)
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--ready-file", str(ready)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env=_MALLOC | {k: v for k, v in os.environ.items() if not k.startswith("DJANGO")},
            preexec_fn=die_with_parent,
        )
    try:
        deadline = time.monotonic() + START_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start: {log_path.read_text()[-2000:]}")
            time.sleep(0.02)
        yield Server(name, json.loads(ready.read_text())["url"], process)
    finally:
        process.kill()
        process.wait()
