"""What can't come back is refused before a restore begins, with the reason."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from syncapp.engine import restorable
from syncapp.errors import ConfigurationError
from syncapp.models import Run
from tests.engine.restores import out, request, tree, vault, work
from tests.engine.vault import SEEN, Vault

__all__ = ["out", "vault"]
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (SEEN - 9 * DAY, "first looked at on 2026-01-01"),
        (SEEN + 5 * DAY, "there was nothing in “Drive”"),
        (datetime.max.replace(tzinfo=SEEN.tzinfo) - 9 * DAY, "lies in the future"),
    ],
)
def test_a_moment_at_which_there_was_nothing_is_refused(
    vault: Vault, out: Path, at: datetime, says: str
) -> None:
    vault.leave(vault.file("a.txt").file, SEEN + 3 * DAY)
    with pytest.raises(ConfigurationError, match=says):
        request(vault, out, at=at)
    assert not Run.objects.exists()
    assert work(request(vault, out, at=SEEN + DAY)).outcome == "ok"


def test_a_source_that_was_never_backed_up_is_not_restored(vault: Vault, out: Path) -> None:
    with pytest.raises(ConfigurationError, match="was not backed up yet"):
        request(vault, out)


def test_the_time_that_a_refusal_names_is_one_that_is_taken(vault: Vault, out: Path) -> None:
    vault.file("a.txt", seen=SEEN + timedelta(seconds=5))
    with pytest.raises(ConfigurationError, match=r"2026-01-01 \d\d:01"):
        request(vault, out, at=SEEN)
    assert request(vault, out, at=SEEN + timedelta(minutes=1))


def test_a_clock_that_is_a_little_ahead_is_no_future(vault: Vault, out: Path) -> None:
    vault.file("a.txt")
    assert request(vault, out, at=timezone.now() + timedelta(seconds=2))


def test_a_file_without_a_content_of_then_is_refused_but_not_among_others(
    vault: Vault, out: Path
) -> None:
    lost, good = vault.file("lost.txt", at=[]).file, vault.file("good.txt").file
    with pytest.raises(ConfigurationError, match=r"“lost.txt”: No content .* stored by then"):
        request(vault, out, lost)
    assert request(vault, out, lost, good)


def test_a_folder_that_nobody_knew_by_then_is_refused(vault: Vault, out: Path) -> None:
    folder = vault.folder("Later", seen=SEEN + 9 * DAY)
    vault.file("a.txt", parent=folder.remote_id, seen=SEEN + 9 * DAY)
    with pytest.raises(ConfigurationError, match="“Later” was first seen on 2026-01-10"):
        request(vault, out, folder, at=SEEN + DAY)


def test_empty_folders_alone_are_restored(vault: Vault, out: Path) -> None:
    folder = vault.folder("Empty")
    assert work(request(vault, out, folder)).outcome == "ok"
    assert tree(out) == {"Empty": None}


def test_what_retention_has_removed_is_not_called_never_stored(vault: Vault, out: Path) -> None:
    file = vault.file("a.txt", b"first").file
    vault.version(file, b"second", seen=SEEN + 9 * DAY)
    first = file.versions.get(current=False)
    first.copies.all().delete()
    first.delete()
    vault.file("b.txt")
    run = work(request(vault, out, at=SEEN + DAY))
    item = run.restore.items.get(path="a.txt")
    assert "retention has removed it" in item.error_message
    assert (run.outcome, tree(out)) == ("warnings", {"b.txt": b"hello"})
    with pytest.raises(ConfigurationError, match="retention has removed it"):
        request(vault, out, file, at=SEEN + DAY)


def test_what_was_seen_but_not_stored_is_not_called_removed(vault: Vault) -> None:
    file = vault.file("a.txt", b"first", at=[]).file
    vault.version(file, b"second", seen=SEEN + 9 * DAY)
    assert "stored by then" in restorable.reasons([file.pk], SEEN + DAY)[file.pk]
