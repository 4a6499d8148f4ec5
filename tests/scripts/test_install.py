"""The installer acts only when it must, and says in one line what a person should do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from scripts import install
from scripts.reporting import Failure

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the installer needs, with this Python's own packages as its `.venv`."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in install.SETS:
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(install, "STAMP", tmp_path / ".venv" / "installed.json")
    return tmp_path


def stamp(checkout: Path, name: str) -> None:
    (checkout / ".venv" / "installed.json").write_text(json.dumps({name: install.digest(name)}))


def test_a_larger_set_counts_for_the_smaller_ones(checkout: Path) -> None:
    stamp(checkout, "requirements-demo.txt")

    assert install.is_installed("requirements.txt")
    assert install.is_installed("requirements-demo.txt")
    assert not install.is_installed("requirements-dev.txt")


@pytest.mark.parametrize("changed", ["requirements.txt", "requirements-demo.txt"])
def test_a_changed_file_means_installing_again(checkout: Path, changed: str) -> None:
    stamp(checkout, "requirements-demo.txt")
    with (checkout / changed).open("a") as file:
        file.write("another==1.0\n")

    assert not install.is_installed("requirements-demo.txt")


def test_a_python_that_is_gone_means_installing_again(checkout: Path) -> None:
    stamp(checkout, "requirements-dev.txt")
    (checkout / ".venv" / "bin" / "python").unlink()

    assert not install.is_installed("requirements.txt")


def test_no_network_is_one_line_that_says_so(checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/install.py", "requirements.txt"],
        cwd=checkout,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(checkout),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            # Nothing is to be found among this Python's own packages.
            "PIP_IGNORE_INSTALLED": "1",
        },
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr == (
        "error: can't reach the Python package index (no network?); connect, or set "
        "PIP_INDEX_URL to a mirror that you can reach, and run the same command again.\n"
    )
    assert not install.is_installed("requirements.txt")


@pytest.mark.parametrize(
    "error", [subprocess.CalledProcessError(1, ["ensurepip"]), ModuleNotFoundError("venv")]
)
def test_a_python_without_venv_is_told_with_the_package_that_has_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise error

    (checkout / ".venv" / "bin" / "python").unlink()
    monkeypatch.setattr(venv, "create", refuse)

    with pytest.raises(Failure, match=r"sudo apt-get install python3\.\d+-venv$"):
        install.make_venv()


def test_any_other_failure_shows_pips_own_reason() -> None:
    log = "Collecting x\nERROR: No matching distribution found for x==9\n"

    assert install.explain(log).startswith("pip failed: ERROR: No matching distribution")


def test_every_requirement_is_pinned_exactly() -> None:
    loose = [
        f"{name}: {line}"
        for name in install.SETS
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith(("#", "-r ")) and "==" not in line
    ]
    assert loose == []
