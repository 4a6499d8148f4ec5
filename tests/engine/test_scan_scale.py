"""A million files: found, found unchanged, changed, moved, gone; memory stays where it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.scan_at_scale import STEP
from tests.servers.emulator import ROOT, running_emulator

FILES = int(os.environ.get("SCALE_FILES", "1000000"))
MOST_MB = 300


@pytest.mark.slow
@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]
)
def test_scans_of_a_million_files_are_right_and_small(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else ""
    with running_emulator("synthetic", files=FILES, file_size=10, units_per_minute=0) as google:
        steps = steps_of(tmp_path, google.url, url)
    for name, step in steps.items():
        print(database, name, step)  # noqa: T201
    found = steps["discovery"]
    assert (found["seen"], found["new"], found["to_do"]) == (FILES, FILES, FILES)
    assert steps["store"]["stored"] == FILES
    same = steps["unchanged listing"]
    assert (same["seen"], same["to_do"]) == (FILES, 0)
    assert [same[k] for k in ("new", "changed", "vanished", "drift")] == [0, 0, 0, 0]
    assert steps["unchanged log"]["wall_s"] < 2
    changed = steps["changed log"]
    assert (changed["new"], changed["vanished"], changed["to_do"]) == (STEP, STEP, 2 * STEP)
    assert changed["changed"] == 3 * STEP
    look = steps["look"]
    assert (look["gone"], look["pending"], look["copies"]) == (STEP, 2 * STEP, 4 * STEP)
    assert look["due_to_move"] >= min(FILES // 20, 2 * STEP)
    last = steps["comparison"]
    assert [last[k] for k in ("new", "changed", "vanished", "drift")] == [0, 0, 0, 0]
    assert max(step["peak_mb"] for step in steps.values()) <= MOST_MB


def steps_of(folder: Path, emulator: str, database: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "tests.engine.scan_at_scale"]
    done = subprocess.run(
        [*command, str(folder), emulator, database, str(FILES)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return {step["step"]: step for step in map(json.loads, done.stdout.splitlines())}
