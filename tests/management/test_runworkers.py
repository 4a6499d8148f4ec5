"""`manage.py runworkers`: what it says where it can't begin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.backupproject.test_environment import GOOD, ROOT, manage, own_environment
from tests.servers.workers import wait_until

START_S = 60.0


def test_a_database_that_was_not_migrated_is_told_at_once(tmp_path: Path) -> None:
    done = manage("runworkers", **GOOD, DATA_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "manage.py migrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_one_is_refused_until_the_first_has_died(tmp_path: Path) -> None:
    settings = {**GOOD, "DATA_DIR": str(tmp_path)}
    assert manage("migrate", "--verbosity", "0", **settings).returncode == 0

    with _started(settings, tmp_path / "first.log") as first:
        second = manage("runworkers", "--grace", "1", **settings)
        assert (second.returncode, first.poll()) == (1, None)
        assert str(tmp_path) in second.stderr
        assert "Traceback" not in second.stderr
        first.kill()
        first.wait()

        with _started(settings, tmp_path / "third.log") as third:
            assert third.poll() is None


@contextmanager
def _started(settings: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`runworkers` whose clusters have begun to start."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runworkers", "--grace", "1"],
            cwd=ROOT,
            env=own_environment(**settings),
            stdout=file,
            stderr=file,
        )
    try:
        wait_until(lambda: "Cluster" in log.read_text(), START_S, "a cluster's start")
        yield process
    finally:
        process.terminate()
        process.wait(30)
