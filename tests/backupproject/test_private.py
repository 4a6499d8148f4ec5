"""Other users of the machine read neither the database nor the data folder."""

from __future__ import annotations

import stat
from pathlib import Path

from backupproject import private
from tests.backupproject.test_environment import GOOD, manage


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_database_and_its_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    held = "from django.db import connection as c; c.ensure_connection(); " + (
        "c.cursor().execute('CREATE TABLE one (n)'); import os, django.conf as d; "
        "print(sorted(oct(f.stat().st_mode & 0o777) for f in os.scandir(d.settings.DATA_DIR)))"
    )

    done = manage("shell", "--no-imports", "-c", held, **GOOD, DATA_DIR=str(data))

    assert done.stdout.strip() == str(["0o600"] * 3), done.stderr
    assert mode(data) == 0o700


def test_what_was_open_to_others_is_closed_at_the_next_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    files = [data / f"backup.sqlite3{end}" for end in ("", "-wal", "-shm")]
    for file in files:
        file.touch(0o644)

    private.make_folder(data, tmp_path / "program")
    private.make_database(str(files[0]))

    assert [mode(path) for path in (data, *files)] == [0o700, 0o600, 0o600, 0o600]


def test_a_folder_that_others_need_stays_open_to_them(tmp_path: Path) -> None:
    around, shared = tmp_path / "around", tmp_path / "shared"
    for folder, wanted in ((around, 0o755), (shared, 0o1777)):
        folder.mkdir()
        folder.chmod(wanted)
        private.make_folder(folder, around / "program")
        assert mode(folder) == wanted


def test_a_database_that_cannot_be_made_is_told_by_whoever_opens_it(tmp_path: Path) -> None:
    private.make_database(str(tmp_path / "nowhere" / "backup.sqlite3"))
    private.make_database(private.IN_MEMORY)

    assert list(tmp_path.iterdir()) == []
