"""`manage.py runworkers`: what it says where it can't begin."""

from __future__ import annotations

from pathlib import Path

from tests.backupproject.test_environment import GOOD, manage


def test_a_database_that_was_not_migrated_is_told_at_once(tmp_path: Path) -> None:
    done = manage("runworkers", **GOOD, DATA_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "manage.py migrate" in done.stderr
    assert "Traceback" not in done.stderr
