"""The database itself at its destinations: whole, without sessions, the last seven."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.utils import timezone

from accounts.models import GoogleAccount, User
from syncapp.engine import database_backup
from syncapp.engine.adapters import destination_for
from syncapp.models import DatabaseBackup, Destination, Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shelf(tmp_path: Path, settings: object) -> Destination:
    settings.SPOOL_DIR = tmp_path / "spool"  # type: ignore[attr-defined]
    owner = User.objects.create_superuser("ada", "ada@example.org", "correct horse battery")
    return make(owner, tmp_path / "shelf")


def make(owner: User, folder: Path) -> Destination:
    row = Destination.objects.create(
        owner=owner, name=folder.name, kind="local", options={"path": str(folder)}
    )
    destination_for(row).prepare()  # type: ignore[attr-defined]
    return row


def stored(destination: Destination) -> list[Path]:
    return sorted(Path(destination.options["path"], ".catalog", "database").glob("2*"))


def test_a_backup_can_be_opened_and_holds_no_session_and_no_secret(
    shelf: Destination, tmp_path: Path
) -> None:
    GoogleAccount.objects.create(
        user=shelf.owner, uid="1", email="a@example.org", refresh_token="a very secret token"
    )
    session = SessionStore()
    session["who"] = "ada"
    session.create()
    (row,) = database_backup.send([shelf.pk])
    assert (row.error_code, row.size) == ("", stored(shelf)[0].stat().st_size)
    if connection.vendor == "postgresql":
        listed = subprocess.run(
            [shutil.which("pg_restore") or "", "-f", "-", stored(shelf)[0]],
            capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        assert "a@example.org" in listed
        assert str(session.session_key) not in listed
        assert "a very secret token" not in listed
        return
    data = gzip.decompress(stored(shelf)[0].read_bytes())
    assert str(session.session_key).encode() not in data
    assert b"a very secret token" not in data
    copy = tmp_path / "copy.sqlite3"
    copy.write_bytes(data)
    with closing(sqlite3.connect(copy)) as opened:
        assert opened.execute("SELECT email FROM accounts_googleaccount").fetchall() == [
            ("a@example.org",)
        ]


def test_the_last_seven_stay(shelf: Destination) -> None:
    folder = Path(shelf.options["path"], ".catalog", "database")
    folder.mkdir(parents=True)
    for day in range(1, 10):
        (folder / f"2020010{day}T000000Z.sqlite3.gz").write_bytes(b"old")
    (folder / "notes.txt").write_text("somebody's own")
    database_backup.send([shelf.pk])
    names = [path.name for path in stored(shelf)]
    assert len(names) == 7
    assert names[0] == "20200104T000000Z.sqlite3.gz"
    assert (folder / "notes.txt").exists()


def test_it_comes_once_a_day_and_to_administrators_only(
    shelf: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make(User.objects.create_user("bob"), tmp_path / "other")
    asked: list[list[int]] = []
    monkeypatch.setattr(database_backup, "async_task", lambda _, ids, **__: asked.append(ids))
    now = timezone.now()
    database_backup.care(now)
    database_backup.care(now + timedelta(hours=23))
    assert asked == [[shelf.pk]]
    database_backup.care(now + timedelta(hours=25))
    assert asked == [[shelf.pk]] * 2
    assert database_backup.send([other.pk]) == []


def test_a_failure_is_told_once(shelf: Destination) -> None:
    shutil.rmtree(shelf.options["path"])
    for _ in range(2):
        (row,) = database_backup.send([shelf.pk])
        assert row.error_code == "not_mounted"
    assert Event.objects.filter(code="database_backup_failed", level="alert").count() == 1
    destination_for(shelf).prepare()  # type: ignore[attr-defined]
    database_backup.send([shelf.pk])
    assert DatabaseBackup.objects.get().error_code == ""
    assert not Event.objects.filter(level="alert", acknowledged_at=None).exists()
