"""Healing and verifying go on after a kill, store only right bytes, and keep out of others' way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import dispatch, readback, runs
from syncapp.models import Copy, Finding, Lane, Run, Version
from tests.engine.test_verify import verify, work
from tests.engine.vault import Vault


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path) -> Vault:
    return Vault.make(tmp_path, "one", "two")


def test_healing_and_a_backups_writing_never_meet(vault: Vault) -> None:
    version = vault.file("a.txt", b"content")
    vault.path(version, vault.destinations[0]).unlink()
    backup = Run.objects.create(source=vault.source, stage=Run.Stage.TRANSFER)
    run, _ = runs.request_verify(vault.source)
    dispatch.top_up(run.pk)
    dispatch.work(Lane.objects.get(run=run).pk)
    run.refresh_from_db()
    assert run.stage == Run.Stage.HEAL
    assert dispatch.top_up(run.pk) == 0, "a backup goes first"
    Run.objects.filter(pk=backup.pk).update(stage=Run.Stage.SCAN)
    assert dispatch.top_up(run.pk) == 1
    Run.objects.filter(pk=backup.pk).update(stage=Run.Stage.TRANSFER)
    Version.objects.filter(pk=version.pk).update(state=Version.State.PENDING)
    assert dispatch.top_up(backup.pk) == 0, "what is begun is ended before"
    dispatch.work(Lane.objects.get(run=run, ended_at=None).pk)
    run.refresh_from_db()
    assert run.outcome == Run.Outcome.WARNINGS
    assert dispatch.top_up(backup.pk) == 1


def test_large_objects_are_healed_in_parts_and_never_from_wrong_bytes(
    vault: Vault, tmp_path: Path
) -> None:
    three = vault.add_folder(tmp_path / "three", "three")
    data = os.urandom(17 * 1024**2 + 5)
    version = vault.file("a.bin", data)
    one, two = (vault.path(version, row) for row in vault.destinations[:2])
    one.unlink()
    was = two.stat()
    with two.open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"bad")
    os.utime(two, ns=(was.st_atime_ns, was.st_mtime_ns))
    Copy.objects.filter(version=version).exclude(destination=three).update(
        stored_at=timezone.now(), verified_at=timezone.now()
    )
    run = verify(vault)
    assert run.outcome == Run.Outcome.WARNINGS, run.error_message
    assert vault.path(version, vault.destinations[0]).read_bytes() == data
    assert Finding.objects.get(kind="missing").healed_at
    verify(vault)
    assert two.read_bytes() == data
    assert not Finding.objects.filter(healed_at=None).exists()
    assert not any((tmp_path / "one" / ".partial").iterdir())


def test_healing_goes_on_after_a_kill_between_the_store_and_the_catalog(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [vault.file(f"{n}.txt", b"content") for n in range(3)]
    for version in versions:
        vault.path(version, vault.destinations[0]).unlink()
    run, _ = runs.request_verify(vault.source)
    dispatch.top_up(run.pk)
    dispatch.work(Lane.objects.get(run=run).pk)
    dispatch.top_up(run.pk)
    with monkeypatch.context() as killed:
        killed.setattr("syncapp.engine.findings.healed", _killed)
        with pytest.raises(KeyboardInterrupt):
            dispatch.work(Lane.objects.get(run=run, ended_at=None).pk)
    assert Copy.objects.filter(state=Copy.State.DAMAGED).count() == 3, "nothing is claimed"
    assert work(run).outcome == Run.Outcome.WARNINGS
    assert Finding.objects.filter(healed_from="two").count() == 3


def test_a_verification_goes_on_after_a_kill_without_reading_twice(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(70):
        vault.file(f"{n}.txt", b"content")
    run, _ = runs.request_verify(vault.source, everything=True)
    dispatch.top_up(run.pk)
    real, calls = readback.settle, 0

    def killed(*args: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(readback, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            dispatch.work(Lane.objects.get(run=run).pk)
    assert Copy.objects.filter(state=Copy.State.VERIFIED).count() == 64
    work(run)
    assert (run.outcome, run.files_done, run.files_total, run.files_seen) == ("ok", 140, 140, 140)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
