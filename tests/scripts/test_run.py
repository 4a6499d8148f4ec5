"""`make run`: keys are made once, everything starts, and everything stops."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import environ
import psutil
import pytest
import requests

from backupproject import environment
from scripts import ports
from scripts.run import write_env

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180  # other tests keep the processors busy


def test_the_settings_file_has_fresh_keys_that_only_its_owner_can_read(tmp_path: Path) -> None:
    write_env(tmp_path / "one")
    write_env(tmp_path / "two")

    one, two = ((tmp_path / name).read_text() for name in ("one", "two"))
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    keys = [re.findall(r"^(?:SECRET_KEY|FIELD_KEYS)=(.+)$", text, re.M) for text in (one, two)]
    assert [len(found) for found in keys] == [2, 2]
    assert not set(keys[0]) & set(keys[1])


def test_the_program_accepts_what_was_written(tmp_path: Path) -> None:
    write_env(tmp_path / "settings")
    pairs = re.findall(r"^(\w+)=(.*)$", (tmp_path / "settings").read_text(), re.M)
    env = environ.Env()
    env.ENVIRON = dict(pairs)

    assert environment.read(env)["FIELD_KEYS"] == [dict(pairs)["FIELD_KEYS"]]


def test_settings_that_are_there_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("SECRET_KEY=mine\n")

    with pytest.raises(FileExistsError):
        write_env(tmp_path / "settings")
    assert (tmp_path / "settings").read_text() == "SECRET_KEY=mine\n"


class Running:
    """`make run` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = ports.first_free(21_000 + os.getpid() % 20_000)
        self.log = folder / "log"
        own = {variable.name for variable in environment.VARIABLES}
        env = {k: v for k, v in os.environ.items() if k not in own and k[:6] != "DJANGO"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.run", "--port", str(self.port)],
                cwd=ROOT,
                env={**env, "ENV_FILE": str(folder / ".env"), "DATA_DIR": str(folder / "var")},
                stdout=log,
                stderr=log,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.said)):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        return found

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path)
    yield started
    started.process.terminate()
    started.process.wait(PATIENCE_S)


@pytest.mark.long
def test_it_starts_offers_the_set_up_link_and_stops_everything(
    running: Running, tmp_path: Path
) -> None:
    link = running.wait_for(r"first administrator .*: (http://\S+)")[1]
    running.wait_for(r"Running at http://127\.0\.0\.1:\d+ until Ctrl-C")

    page = requests.get(link, timeout=10)
    assert page.status_code == 200
    assert 'name="password1"' in page.text
    assert (tmp_path / ".env").exists()
    children = running.children()
    assert {"gunicorn", "runworkers"} <= {
        word for child in children for word in ("gunicorn", "runworkers") if word in _title(child)
    }

    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE_S) == 0
    assert running.said.endswith("Stopped.\n")
    assert psutil.wait_procs(children, timeout=5)[1] == []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_bad_setting_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET_KEY=short\n")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.run", "--port", str(ports.first_free(22_000))],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENV_FILE": str(tmp_path / ".env")},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "SECRET_KEY: its value is not allowed" in done.stderr
