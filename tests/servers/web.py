"""The product's web server, as `make run` starts it, on a database of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from scripts import product
from tests.servers.process import START_TIMEOUT_S, DidNotStart, free_port, run_pid
from tests.servers.shared import locked

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.05  # a server tells nothing but by its answers
STOP_S = 12  # more than the grace that the web server gives to open streams
FIELD_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@dataclass(frozen=True)
class RunningWeb:
    """A started web server: where it is, with which environment, what it printed."""

    url: str
    env: dict[str, str]
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


def product_environment(folder: Path, **settings: str) -> dict[str, str]:
    """An environment in which every program of the product shares one fresh database."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO")}
    defaults = {
        "ENV_FILE": "",
        "SECRET_KEY": "test-" + "w" * 60,
        "FIELD_KEYS": FIELD_KEY,
        "DATA_DIR": str(folder / "data"),
        "ALLOW_PRIVATE_ENDPOINTS": "true",
        "LOG_LEVEL": "WARNING",
    }
    return {**inherited, **defaults, **settings}


def collect_static(env: Mapping[str, str]) -> None:
    """Static files, once a run, by one process: the whole checkout shares them."""
    run = run_pid()
    this_run = f"{run} {psutil.Process(run).create_time()}"
    stamp = ROOT / "var" / "collectstatic.run"
    stamp.parent.mkdir(exist_ok=True)
    with locked(stamp.with_suffix(".lock")):
        if not stamp.exists() or stamp.read_text() != this_run:
            product.manage(env, "collectstatic", "--no-input", "--verbosity", "0")
            stamp.write_text(this_run)


@contextmanager
def running_web(env: Mapping[str, str], log_path: Path, port: int = 0) -> Iterator[RunningWeb]:
    """Start it and wait until /healthz answers. The database must have been migrated, static
    files collected.

    Give a port if PUBLIC_URL has to be known before; 0 takes a free one.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    full_env = {"PUBLIC_URL": url, **env}
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            product.web(port, full_env).command,
            cwd=ROOT,
            env=full_env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(process, url, log_path)
        yield RunningWeb(url, full_env, process, log_path)
    finally:
        _stop(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if requests.get(f"{url}/healthz", timeout=5).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            pass
        time.sleep(POLL_S)
    raise DidNotStart(f"web server: {log_path.read_text(errors='replace')[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
