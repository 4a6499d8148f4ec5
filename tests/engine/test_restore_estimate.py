"""What the database adds up of a restore is what a walk through the catalog comes to."""

from __future__ import annotations

import random
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from syncapp.engine import restore_estimate
from syncapp.engine.restore_estimate import estimate
from syncapp.engine.restore_sums import Scope
from syncapp.models import Copy, File, Version
from tests.engine.restores import vault
from tests.engine.vault import SEEN, Vault

__all__ = ["vault"]


def _fill(vault: Vault, tmp_path: Path) -> list[File]:
    """A tree with everything that may count: gone, old, waiting, lost, and empty ones."""
    chance = random.Random(3)
    vault.add_folder(tmp_path / "three", "three")
    folders = [vault.folder("top")]
    for n in range(8):
        folders.append(vault.folder(f"f{n}", chance.choice(folders).remote_id))
    for n in range(40):
        parent = chance.choice([*folders, None])
        at = chance.sample(vault.destinations, chance.randrange(4))
        version = vault.file(f"{n}", b"x" * n, parent.remote_id if parent else "", at=at)
        Version.objects.filter(pk=version.pk).update(size=chance.choice([0, 10**5, 10**8, 10**9]))
        if n % 5 == 0:  # an older content is all that is stored
            vault.version(version.file, b"newer", at=[])
        if n % 7 == 0:
            File.objects.filter(pk=version.file_id).update(trashed_at=SEEN)
    Copy.objects.filter(version__file__name="1").update(state=Copy.State.DAMAGED)
    return folders


@pytest.mark.parametrize("chosen", ["all", "folder", "several"])
def test_both_ways_come_to_the_same(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    folders = _fill(vault, tmp_path)
    loose = File.objects.filter(parent_id="", trashed_at=None).exclude(content="folder")
    files = {"all": [], "folder": [folders[0].pk], "several": [folders[0].pk, loose[0].pk]}[chosen]
    added = asdict(estimate(vault.source, files=files))
    monkeypatch.setattr(Scope, "fits", False)
    walked = asdict(estimate(vault.source, files=files))
    assert walked["files"]
    assert walked["missing"]
    assert added.pop("seconds") == pytest.approx(walked.pop("seconds"), rel=0.01)
    assert added == walked


def test_what_had_gone_or_an_earlier_moment_is_walked_through(vault: Vault) -> None:
    folder = vault.folder("gone")
    version = vault.file("a.txt", b"alpha", folder.remote_id)
    for file in (folder, version.file):
        vault.leave(file, SEEN + timedelta(days=1))
    assert not Scope(vault.source.pk, [folder.pk]).fits
    assert estimate(vault.source, files=[folder.pk]).files == 1
    assert estimate(vault.source).files == 0
    assert estimate(vault.source, at=SEEN + timedelta(hours=1)).files == 1


def test_without_time_for_the_rest_it_says_at_least(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_estimate, "_AT_ONCE", 1)
    for name in ("a.txt", "b.txt"):
        vault.version(vault.file(name, b"alpha").file, b"newer", at=[])
    found = estimate(vault.source, within_s=-1)
    assert (found.partial, found.files) == (True, 1)
    assert estimate(vault.source).files == 2
