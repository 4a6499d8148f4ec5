"""Upkeep: what comes by itself, when, and once whoever looks."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from syncapp.engine import upkeep
from syncapp.models import Policy, Run, Source, Upkeep
from tests.engine.pruning import NOW, Killed, ended
from tests.engine.vault import Vault

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Vault.make(tmp_path).source


def begun(source: Source) -> list[str]:
    return sorted(source.runs.filter(ended_at__isnull=True).values_list("kind", flat=True))


def killed(*_: object) -> None:
    raise Killed


def test_nothing_comes_before_a_first_good_backup(source: Source) -> None:
    ended(source, outcome=Run.Outcome.FAILED)
    upkeep.look(NOW)
    assert not source.upkeep.exists()

    ended(source)
    upkeep.look(NOW)
    assert {row.kind for row in source.upkeep.all()} == set(upkeep.WORK)
    assert begun(source) == []


def test_each_comes_once_however_often_is_looked_and_again_a_period_later(source: Source) -> None:
    ended(source)
    upkeep.look(NOW)
    for later in (2 * DAY, 2 * DAY, 2 * DAY + timedelta(minutes=1)):
        upkeep.look(NOW + later)
    assert begun(source).count("prune") == begun(source).count("verify") == 1

    # While one is under way no other begins; afterwards at once.
    assert upkeep.look(NOW + 4 * DAY) == 0
    source.runs.filter(ended_at__isnull=True).update(ended_at=NOW, stage=Run.Stage.DONE)
    upkeep.look(NOW + 4 * DAY)
    assert begun(source).count("prune") == 1
    row = source.upkeep.get(kind=Upkeep.Kind.PRUNE)
    assert row.next_at == NOW + 5 * DAY


def test_a_paused_source_and_one_that_is_kept_nowhere_wait(source: Source) -> None:
    ended(source)
    upkeep.look(NOW)
    Source.objects.update(paused=True)
    assert upkeep.look(NOW + 9 * DAY) == 0
    Source.objects.update(paused=False)
    kept = list(source.destinations.all())
    source.destinations.clear()
    assert upkeep.look(NOW + 9 * DAY) == 0
    source.destinations.set(kept)
    assert upkeep.look(NOW + 9 * DAY) == len(upkeep.WORK)


def test_what_was_set_too_far_ahead_comes_within_a_period(source: Source) -> None:
    ended(source)
    upkeep.look(NOW)
    Upkeep.objects.update(next_at=NOW + 400 * DAY)

    upkeep.look(NOW)

    assert upkeep.next_at(source, Upkeep.Kind.PRUNE) == NOW + DAY


def test_what_a_killed_supervisor_was_about_to_begin_comes_all_the_same(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(source)
    upkeep.look(NOW)
    with monkeypatch.context() as patch:
        patch.setattr("syncapp.engine.runs._request", killed)
        with pytest.raises(Killed):
            upkeep.look(NOW + 2 * DAY)
    upkeep.look(NOW + 2 * DAY)
    assert begun(source) == ["drill", "prune", "verify"]


def test_a_host_that_was_slower_begins_nothing(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(source)
    upkeep.look(NOW)
    rows = list(upkeep._free())
    upkeep.look(NOW + 2 * DAY)
    source.runs.filter(ended_at__isnull=True).update(ended_at=NOW, stage=Run.Stage.DONE)

    assert not any(upkeep._begin(row, NOW + 2 * DAY) for row in rows)
    assert not Policy.objects.exists()
