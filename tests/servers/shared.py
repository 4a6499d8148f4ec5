"""One server for all the processes of a test run (pytest-xdist), stopped by the last that used it.

A file lock guards a small state file beside the run's temporary folders. Should the run be killed,
the guard of each server (`guard.py`) stops it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.process import stop

Info = dict[str, str]


@dataclass
class Started:
    """What a start function hands over: how to reach the server, and what to stop."""

    info: Info
    pids: list[int] = field(default_factory=list)


def run_folder(basetemp: Path) -> Path:
    """The folder that all the processes of this run share."""
    return basetemp.parent if "PYTEST_XDIST_WORKER" in os.environ else basetemp


@contextmanager
def shared(name: str, folder: Path, start: Callable[[Path], Started]) -> Iterator[Info]:
    """The server `name`, started by whoever comes first; `start` gets a folder for its data."""
    state = folder / f"{name}.json"
    with locked(folder / f"{name}.lock"):
        known = json.loads(state.read_text()) if state.exists() else _begin(name, folder, start)
        known["users"] += 1
        state.write_text(json.dumps(known))
    try:
        yield known["info"]
    finally:
        with locked(folder / f"{name}.lock"):
            known = json.loads(state.read_text())
            known["users"] -= 1
            if known["users"]:
                state.write_text(json.dumps(known))
            else:
                stop(known["pids"])
                shutil.rmtree(folder / name, ignore_errors=True)
                state.unlink()


def _begin(name: str, folder: Path, start: Callable[[Path], Started]) -> dict[str, Any]:
    data = folder / name
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    started = start(data)
    return {"users": 0, "info": started.info, "pids": started.pids}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process of the run at a time."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
