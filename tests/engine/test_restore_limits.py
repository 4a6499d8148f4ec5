"""Bandwidth limits of destinations, in restores and in what a dry run says of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from syncapp.engine.limits import Limit
from syncapp.engine.restore_estimate import estimate
from syncapp.models import Destination, Version
from tests.engine.restores import out, request, vault, work
from tests.engine.vault import Vault

__all__ = ["out", "vault"]


def test_every_byte_that_a_restore_reads_counts_for_its_destinations_limit(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: Counter[str] = Counter()
    monkeypatch.setattr(Limit, "take", lambda limit, units: taken.update({limit.key: int(units)}))
    first = vault.destinations[0].pk
    vault.file("big.bin", b"x" * 3_000_000)
    vault.file("a.txt", b"alpha")

    run = work(request(vault, out, prefer="named", origin=vault.destinations[0]))

    assert run.outcome == "ok"
    assert taken == {f"read:destination:{first}": 3_000_005}


@pytest.mark.parametrize(("limit", "seconds"), [("4M", 250), ("100M:2M", 500), ("2M:off", 0)])
def test_a_dry_run_reckons_with_the_limit_of_where_it_reads(
    vault: Vault, limit: str, seconds: int
) -> None:
    Version.objects.filter(pk=vault.file("a.bin").pk).update(size=1000 * 1024**2)
    Destination.objects.update(bwlimit=limit)
    told = estimate(vault.source).seconds
    assert told == pytest.approx(seconds, abs=20)


def test_a_dry_run_reckons_with_writing_to_another_destination(
    vault: Vault, tmp_path: Path
) -> None:
    Version.objects.filter(pk=vault.file("a.bin").pk).update(size=1000 * 1024**2)
    onto = vault.add_folder(tmp_path / "other", "other")
    onto.bwlimit = "4M:off"
    onto.save()
    assert estimate(vault.source).seconds < 50
    assert estimate(vault.source, onto=onto).seconds == pytest.approx(250, abs=20)
