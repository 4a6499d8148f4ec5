"""Large damaged copies are sent again part by part, beside a backup, and go on after a kill."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncapp.destinations.local_upload import LocalUpload
from syncapp.engine import dispatch, mending, runs, uploads
from syncapp.models import Copy, Finding, Lane, PartialUpload, Run, UploadedPart, Version
from syncapp.types import Part
from tests.engine.test_verify import work
from tests.engine.vault import Vault

PARTS = 5
DATA = os.urandom((PARTS - 1) * 8 * 1024**2 + 5)


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setattr(mending, "RECORDED", 1024**2)
    return Vault.make(tmp_path, "one", "two")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the parts that were sent; what raises at the third is a killed process."""
    numbers: list[int] = []
    real = LocalUpload.send

    def send(self: LocalUpload, part: Part) -> str:
        numbers.append(part.number)
        return real(self, part)

    monkeypatch.setattr(LocalUpload, "send", send)
    return numbers


def _damaged(vault: Vault) -> tuple[Version, Run]:
    """A large file that one destination has lost; its verification is about to send it again."""
    version = vault.file("a.bin", DATA)
    vault.path(version, vault.destinations[0]).unlink()
    run, _ = runs.request_verify(vault.source)
    dispatch.top_up(run.pk)
    dispatch.work(Lane.objects.get(run=run).pk)
    run.refresh_from_db()
    return version, run


def _killed_after(monkeypatch: pytest.MonkeyPatch, run: Run, parts: int) -> None:
    """A lane that dies when so many parts are written down."""
    real = LocalUpload.send

    def send(self: LocalUpload, part: Part) -> str:
        if part.number > parts:
            raise KeyboardInterrupt
        return real(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(LocalUpload, "send", send)
        with pytest.raises(KeyboardInterrupt):
            dispatch.work(Lane.objects.get(run=run, ended_at=None).pk)


def test_only_parts_that_were_not_sent_before_a_kill_are_sent_again(
    vault: Vault, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    version, run = _damaged(vault)
    assert run.stage == Run.Stage.REMAKE
    dispatch.top_up(run.pk)
    _killed_after(monkeypatch, run, 3)
    assert UploadedPart.objects.count() == 3
    sent.clear()
    assert work(run).outcome == Run.Outcome.WARNINGS
    assert sorted(sent) == [4, 5]
    assert vault.path(version, vault.destinations[0]).read_bytes() == DATA
    assert Finding.objects.get().healed_from == "two"
    assert not PartialUpload.objects.exists()
    assert not any((Path(vault.destinations[0].options["path"]) / ".partial").iterdir())


def test_a_backup_gets_hands_while_a_large_copy_is_sent(vault: Vault) -> None:
    version, run = _damaged(vault)
    backup = Run.objects.create(source=vault.source, stage=Run.Stage.TRANSFER)
    Version.objects.filter(pk=version.pk).update(state=Version.State.PENDING)
    assert Lane.objects.filter(run=run, stage=Run.Stage.REMAKE, ended_at=None).exists()
    assert dispatch.top_up(backup.pk) == 1, "nobody is kept out of anything"
    dispatch.work(Lane.objects.get(run=run, ended_at=None).pk)
    run.refresh_from_db()
    assert run.stage == Run.Stage.HEAL
    assert not vault.path(version, vault.destinations[0]).exists(), "nothing has appeared yet"
    assert PartialUpload.objects.get().whole_from == "two"


def test_what_is_sent_whole_is_completed_without_being_read(vault: Vault, sent: list[int]) -> None:
    version, run = _damaged(vault)
    sent.clear()
    dispatch.top_up(run.pk)
    dispatch.work(Lane.objects.get(run=run, ended_at=None).pk)
    assert sorted(sent) == [1, 2, 3, 4, 5]
    vault.path(version, vault.destinations[1]).unlink()
    Lane.objects.filter(ended_at=None).update(owner="")
    assert work(run).outcome == Run.Outcome.WARNINGS
    assert len(sent) == PARTS
    assert vault.path(version, vault.destinations[0]).read_bytes() == DATA


def test_wrong_bytes_of_the_other_destination_are_never_completed(vault: Vault) -> None:
    version, run = _damaged(vault)
    other = vault.path(version, vault.destinations[1])
    with other.open("r+b") as file:
        file.write(b"wrong")
    dispatch.top_up(run.pk)
    assert work(run).outcome == Run.Outcome.FAILED
    assert not vault.path(version, vault.destinations[0]).exists()
    assert not PartialUpload.objects.exists()
    assert set(Copy.objects.values_list("state", flat=True)) == {Copy.State.DAMAGED}


def test_an_old_versions_unfinished_upload_outlives_the_sweep(vault: Vault) -> None:
    version, _ = _damaged(vault)
    vault.version(version.file, b"newer")
    copy = version.copies.get(destination=vault.destinations[0])
    PartialUpload.objects.create(
        copy=copy, object_key=copy.object_key, upload_id="u", part_bytes=8 * 1024**2
    )
    assert uploads.worth_keeping(vault.destinations[0]) == {"u"}
    Copy.objects.filter(pk=copy.pk).update(state=Copy.State.STORED)
    assert uploads.worth_keeping(vault.destinations[0]) == set()
