"""The stand-in for Google as a process of its own, which answers as the demo's and the bench's."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.control import Control
from tests.servers import stand_ins

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30
POLL_S = 0.02  # a process tells nothing but by its ready file


@dataclass(frozen=True)
class RunningEmulator:
    """A started emulator: where it is, how to command it, what it printed."""

    url: str
    control: Control
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def access_token(self, account: str = "", *scopes: str) -> str:
        """A bearer token of an account (an e-mail; "" is the first)."""
        return str(self.control.token(account, scopes)["access_token"])


@contextmanager
def running_emulator(account: str = "sample", **options: object) -> Iterator[RunningEmulator]:
    """What `python -m emulator` does; `options` are its flags (`files=1000`, `big_file=2**30`)."""
    with tempfile.TemporaryDirectory(prefix="emulator-") as name:
        folder = Path(name)
        ready, log_path = folder / "ready.json", folder / "log"
        words = ["--account", account, "--ready-file", str(ready)]
        for flag, value in options.items():
            words += [f"--{flag.replace('_', '-')}", str(value)]
        log_path.touch()
        started = stand_ins.start(words, log_path)
        try:
            url = _wait_until_ready(started, ready, log_path)
            yield RunningEmulator(url, Control(url), log_path)
        finally:
            started.kill()


def _wait_until_ready(started: stand_ins.StandIn, ready: Path, log_path: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready.exists():
        if started.ended(POLL_S) or time.monotonic() > deadline:
            raise RuntimeError(f"the emulator did not start:\n{log_path.read_text()}")
    return str(json.loads(ready.read_text())["url"])


@pytest.fixture(scope="session")
def _emulator_process() -> Iterator[RunningEmulator]:
    with running_emulator("sample", units_per_minute=0) as running:
        yield running


@pytest.fixture
def google(_emulator_process: RunningEmulator) -> Iterator[RunningEmulator]:
    """A shared emulator with the sample account: no faults, counters at zero.

    Tests that change files or revoke tokens start their own with `running_emulator`.
    """
    _emulator_process.control.reset_counters()
    yield _emulator_process
    _emulator_process.control.clear_faults()
    _emulator_process.control.set_quota(0)
