"""A command whose output is read in part only, as by `head`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backupproject.test_environment import GOOD, ROOT, manage

SHELL = ("shell", "--no-imports", "-c")


def to_nobody(
    folder: Path, *arguments: str, unbuffered: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it with an output that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    own = {"ENV_FILE": "", "DATA_DIR": str(folder), **GOOD}
    own["PYTHONUNBUFFERED"] = unbuffered
    own["DJANGO_SETTINGS_MODULE"] = "backupproject.settings"
    try:
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env={**os.environ, **own},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [("help",), (*SHELL, "print('line\\n' * 100_000)")],
    ids=["short", "long"],
)
def test_output_that_nobody_reads_on_ends_a_command_quietly(
    tmp_path: Path, arguments: tuple[str, ...], unbuffered: str
) -> None:
    done = to_nobody(tmp_path, *arguments, unbuffered=unbuffered)

    assert (done.returncode, done.stderr) == (141, "")


def test_another_pipe_that_breaks_is_not_taken_for_the_output(tmp_path: Path) -> None:
    done = manage(*SHELL, "raise BrokenPipeError('of a store')", **GOOD, DATA_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "of a store" in done.stderr
