"""A big file that is restored to another destination goes on after a kill."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncapp.destinations.local_upload import LocalUpload
from syncapp.engine import restore_uploads, restoring
from syncapp.models import RestorePart, RestoreUpload, Run
from syncapp.restore_targets import destination as destination_target
from syncapp.types import Part
from tests.engine.restores import one_lane, request, vault, work
from tests.engine.vault import Vault

__all__ = ["vault"]
DATA = os.urandom(4 * 8 * 1024**2 + 5)


def _killed(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A restore of one big file to a third folder, whose worker died after two parts."""
    monkeypatch.setattr(destination_target, "RESUMED_BYTES", 1024**2)
    vault.file("big.bin", DATA)
    elsewhere = vault.add_folder(tmp_path / "three", "three")
    run, real = request(vault, elsewhere), LocalUpload.send

    def send(self: LocalUpload, part: Part) -> str:
        if part.number > 2:
            raise KeyboardInterrupt
        return real(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(LocalUpload, "send", send)
        with pytest.raises(KeyboardInterrupt):
            one_lane(run)
    return run


def test_only_what_was_not_confirmed_is_sent_again(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _killed(vault, tmp_path, monkeypatch)
    assert RestorePart.objects.count() == 2
    row = vault.destinations[-1]
    assert restore_uploads.worth_keeping(row) == {RestoreUpload.objects.get().upload_id}
    real, sent = LocalUpload.send, []

    def send(self: LocalUpload, part: Part) -> str:
        sent.append(part.number)
        return real(self, part)

    monkeypatch.setattr(LocalUpload, "send", send)
    assert work(run).outcome == Run.Outcome.OK
    assert sent == [3, 4, 5]
    assert not RestoreUpload.objects.exists()
    assert (tmp_path / "three/restored/back/big.bin").read_bytes() == DATA


def test_a_cancelled_restore_leaves_no_upload_behind(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _killed(vault, tmp_path, monkeypatch)
    assert any((tmp_path / "three/.partial").iterdir())
    assert restoring.cancel(run)
    assert not any((tmp_path / "three/.partial").iterdir())
    assert not RestoreUpload.objects.exists()
