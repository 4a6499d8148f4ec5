"""A report that is forgotten: in no backup of the database, nor in the database's own file."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from syncapp.destinations.local import LocalDestination
from syncapp.engine import database_backup, erasure_report, segment_store
from syncapp.engine.database_backup import BackupsRemain
from syncapp.engine.erasure_report import ForgetRefused
from syncapp.errors import ObjectLocked
from syncapp.models import DatabaseBackup, Destination, ErasedObject, Erasure, Event
from tests.engine.pruning import NOW
from tests.engine.test_erase import carry_out
from tests.engine.vault import Vault

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "Budget-of-the-house.xlsx"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.make(tmp_path)


@pytest.fixture
def erasure(vault: Vault) -> Erasure:
    """A file was erased; then the database was backed up, as it is soon."""
    erasure = carry_out(vault, vault.file(NAME, b"1,000").file)
    ErasedObject.objects.filter(erasure=erasure).update(object_key=f"drive/files/{NAME}")
    assert erasure.proven_at is not None
    send_all(vault)
    assert all(name_in(row) for row in vault.destinations)
    return erasure


def send_all(vault: Vault) -> list[DatabaseBackup]:
    return database_backup.send([row.pk for row in vault.destinations])


def lying(destination: Destination) -> list[Path]:
    return sorted(Path(destination.options["path"], ".catalog", "database").glob("*"))


def unpacked(path: Path) -> bytes:
    if path.name.endswith(".gz"):
        return gzip.decompress(path.read_bytes())
    program = shutil.which("pg_restore") or ""
    return subprocess.run([program, "-f", "-", path], capture_output=True, check=True).stdout


def name_in(destination: Destination) -> list[Path]:
    return [path for path in lying(destination) if NAME.encode() in unpacked(path)]


def during_send(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """The dump is made; before it comes to the store, once, something happens."""
    send, acts = segment_store.send, [act]

    def slowly(*args: Any, **more: Any) -> int:
        if acts:
            acts.pop()()
        return send(*args, **more)

    monkeypatch.setattr(segment_store, "send", slowly)


def test_a_forgotten_report_is_in_no_backup_of_the_database(vault: Vault, erasure: Erasure) -> None:
    before = timezone.now()

    erasure_report.forget(erasure)

    assert not Erasure.objects.exists()
    assert [lying(row) for row in vault.destinations] == [[], []]
    # The next one comes soon, and is without it.
    assert all(before <= row.next_at <= timezone.now() for row in DatabaseBackup.objects.all())
    send_all(vault)
    assert [len(lying(row)) for row in vault.destinations] == [1, 1]
    assert [name_in(row) for row in vault.destinations] == [[], []]


def test_a_forgotten_report_is_not_in_the_database_s_files(erasure: Erasure) -> None:
    if connection.vendor != "sqlite":
        return  # which has no files of its own here
    live = Path(settings.DATABASES["default"]["NAME"])
    files = [live, live.with_name(f"{live.name}-wal")]
    assert any(NAME.encode() in path.read_bytes() for path in files if path.exists())

    erasure_report.forget(erasure)

    assert [path for path in files if path.exists() and NAME.encode() in path.read_bytes()] == []


def test_a_backup_under_way_when_a_report_is_forgotten_is_discarded_and_made_anew(
    vault: Vault, erasure: Erasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_send(monkeypatch, lambda: erasure_report.forget(erasure))

    rows = send_all(vault)

    assert [row.error_code for row in rows] == ["erased", "erased"]
    assert all(row.next_at <= timezone.now() for row in rows)
    assert not Event.objects.filter(code="database_backup_failed").exists()
    assert [lying(row) for row in vault.destinations] == [[], []]
    assert [row.error_code for row in send_all(vault)] == ["", ""]
    assert [name_in(row) for row in vault.destinations] == [[], []]


def test_a_backup_made_after_the_others_were_removed_goes_too_before_a_report_does(
    vault: Vault, erasure: Erasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_all, rounds = database_backup._remove_all, []

    def and_another() -> list[str]:
        told = remove_all()
        rounds.append(told)
        if len(rounds) == 1:
            send_all(vault)
        return told

    monkeypatch.setattr(database_backup, "_remove_all", and_another)

    erasure_report.forget(erasure)

    assert len(rounds) == 2
    assert [lying(row) for row in vault.destinations] == [[], []]


@pytest.mark.parametrize("end", ["killed before", "killed after"])
def test_what_a_killed_sender_left_of_a_forgotten_report_goes_with_the_next_backup(
    vault: Vault, erasure: Erasure, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The report is forgotten while it sends, or after its death: it has told where it sends to."""
    send = segment_store.send

    def killed(*args: Any, **more: Any) -> int:
        if end == "killed after":
            erasure_report.forget(erasure)
        send(*args, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(segment_store, "send", killed)
    with suppress(KeyboardInterrupt):
        send_all(vault)
    monkeypatch.setattr(segment_store, "send", send)
    assert len(name_in(vault.destinations[0])) >= 1
    if end == "killed before":
        erasure_report.forget(erasure)
        assert lying(vault.destinations[0]) == []

    send_all(vault)

    assert [name_in(row) for row in vault.destinations] == [[], []]
    assert [len(lying(row)) for row in vault.destinations] == [1, 1]


def test_a_report_stays_while_a_destination_with_a_backup_can_t_be_reached(
    vault: Vault, erasure: Erasure, tmp_path: Path
) -> None:
    (tmp_path / "two").rename(tmp_path / "away")

    with pytest.raises(BackupsRemain, match=r"two: .*so it stays; forget it again afterwards"):
        erasure_report.forget(erasure)

    assert ErasedObject.objects.filter(erasure=erasure).count() == 2
    (tmp_path / "away").rename(tmp_path / "two")
    erasure_report.forget(erasure)
    assert [lying(row) for row in vault.destinations] == [[], []]


def test_a_report_stays_while_a_lock_protects_a_backup_of_the_database(
    erasure: Erasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise ObjectLocked("“.catalog/database/1” is protected until 2030-01-01.", until=NOW)

    monkeypatch.setattr(LocalDestination, "purge", locked)

    with pytest.raises(BackupsRemain, match=r"one: .*2030-01-01.* two: .*so it stays"):
        erasure_report.forget(erasure)

    assert Erasure.objects.get().what == NAME


def test_what_was_decided_and_is_not_proven_may_not_be_forgotten(
    vault: Vault, erasure: Erasure
) -> None:
    Erasure.objects.update(proven_at=None, marked_at=NOW)
    erasure.refresh_from_db()

    with pytest.raises(ForgetRefused, match="resume it first"):
        erasure_report.forget(erasure)

    assert all(name_in(row) for row in vault.destinations)
    assert ErasedObject.objects.exists()


def test_one_that_was_refused_may_be_forgotten_for_nothing_was_erased(erasure: Erasure) -> None:
    Erasure.objects.update(proven_at=None, marked_at=None)
    erasure.refresh_from_db()

    erasure_report.forget(erasure)

    assert not Erasure.objects.exists()
