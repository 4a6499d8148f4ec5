"""What the database adds up of a restore is what a walk through the catalog comes to."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from syncapp.engine import restore_sums
from syncapp.engine.restore_estimate import estimate
from syncapp.engine.restore_sums import Scope
from syncapp.models import Copy, File, Span, Version
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


def test_a_past_moment_comes_to_the_same_both_ways(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = _fill(vault, tmp_path)
    moments = [SEEN + timedelta(days=days) for days in (1, 3, 5, 7)]
    moved = vault.file("moved", b"moved", folders[0].remote_id)
    vault.version(moved.file, b"moved, and larger", seen=moments[1])
    vault.leave(moved.file, moments[2])
    back = vault.file("back", b"back", folders[1].remote_id)
    vault.version(back.file, b"another", seen=moments[0])
    Span.objects.create(version=back, from_at=SEEN, until_at=moments[0])
    back.file.versions.filter(current=True).update(current=False, replaced_at=moments[2])
    Version.objects.filter(pk=back.pk).update(
        current=True, returned_at=moments[2], replaced_at=None
    )
    for files in ([], [folders[0].pk]):
        for at in (SEEN - timedelta(days=1), *(m + timedelta(hours=1) for m in moments)):
            added = asdict(estimate(vault.source, files=files, at=at))
            with monkeypatch.context() as patch:
                patch.setattr(Scope, "fits", False)
                walked = asdict(estimate(vault.source, files=files, at=at))
            assert added.pop("seconds") == pytest.approx(walked.pop("seconds"), rel=0.01)
            assert added == walked


def test_stretches_come_to_the_same_as_one(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = _fill(vault, tmp_path)
    for files in ([], [folders[0].pk]):
        at_once = estimate(vault.source, files=files)
        with monkeypatch.context() as patch:
            patch.setattr(restore_sums, "STRETCH", 3)
            patch.setattr(restore_sums, "_FOLDERS", 1)
            in_stretches = estimate(vault.source, files=files)
        assert in_stretches.seconds == pytest.approx(at_once.seconds)
        assert replace(in_stretches, seconds=0.0) == replace(at_once, seconds=0.0)


def test_what_had_gone_is_walked_through(vault: Vault) -> None:
    folder = vault.folder("gone")
    version = vault.file("a.txt", b"alpha", folder.remote_id)
    for file in (folder, version.file):
        vault.leave(file, SEEN + timedelta(days=1))
    assert not Scope(vault.source.pk, [folder.pk], None, []).fits
    assert estimate(vault.source, files=[folder.pk]).files == 1
    assert estimate(vault.source).files == 0
    assert estimate(vault.source, at=SEEN + timedelta(hours=1)).files == 1


@pytest.mark.parametrize("walked", [False, True])
def test_without_time_for_the_rest_it_says_at_least(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, walked: bool
) -> None:
    for name in ("a.txt", "b.txt"):
        vault.file(name, b"alpha")
    if walked:
        monkeypatch.setattr(Scope, "fits", False)
    found = estimate(vault.source, within_s=-1)
    assert (found.partial, found.files) == (True, 0)
    assert estimate(vault.source, within_s=60) == estimate(vault.source)


def test_a_stretch_that_takes_too_long_is_cut_off_and_those_before_count(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt"):
        vault.file(name, b"alpha")
    monkeypatch.setattr(restore_sums, "STRETCH", 1)
    real, seen = Scope.sums, list[restore_sums.Query]()

    def slow(scope: Scope, stretch: restore_sums.Query) -> list[restore_sums.Sum]:
        if seen:
            with connection.cursor() as cursor:
                cursor.execute(_ENDLESS)
        seen.append(stretch)
        return real(scope, stretch)

    monkeypatch.setattr(Scope, "sums", slow)
    found = estimate(vault.source, within_s=0.3)
    assert (found.partial, found.files) == (True, 1)
    assert Version.objects.count() == 2  # the connection is as it was


_ENDLESS = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
    SELECT count(*) FROM n
"""
