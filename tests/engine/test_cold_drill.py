"""A drill from cold storage: only what was allowed is retrieved, awaited, compared and priced."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from syncapp.destinations.local import LocalDestination
from syncapp.engine import cold_drill, dispatch, runs
from syncapp.engine.readback import ARCHIVED
from syncapp.errors import PermanentError
from syncapp.models import Copy, Destination, Lane, Policy, Restore, RestoreItem, Run, Source
from tests.engine.vault import Vault


class Glacier:
    """Folders of this machine that give nothing back before it was retrieved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.there: set[str] = set()
        real, glacier = LocalDestination.read, self

        def read(store: LocalDestination, key: str, **more: Any) -> Any:
            if key not in glacier.there:
                raise PermanentError("It must be thawed first.", code=ARCHIVED)
            return real(store, key, **more)

        def thaw(_: LocalDestination, key: str, **__: Any) -> None:
            glacier.asked.append(key)

        monkeypatch.setattr(LocalDestination, "read", read)
        monkeypatch.setattr(LocalDestination, "thaw", thaw)
        monkeypatch.setattr(cold_drill, "LocalDestination", SimpleNamespace(kind="none"))

    def give(self) -> None:
        self.there |= set(self.asked)
        RestoreItem.objects.filter(state="thawing").update(due_at=timezone.now())


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path, settings: Any) -> Vault:
    settings.DATA_DIR = tmp_path / "data"
    made = Vault.make(tmp_path, "one")
    for n in range(8):
        made.file(f"{n}.txt", b"content %d" % n)
    row = made.destinations[0]
    Destination.objects.filter(pk=row.pk).update(options={**row.options, "provider": "aws"})
    Copy.objects.update(error_code=ARCHIVED)
    return made


@pytest.fixture
def glacier(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Glacier:
    return Glacier(monkeypatch)


def step(run: Run) -> Run:
    """What the workers would do now."""
    dispatch.tick()
    for lane in Lane.objects.filter(run=run, owner="", ended_at__isnull=True):
        dispatch.work(lane.pk)
    run.refresh_from_db()
    return run


def allow(vault: Vault, cents: int) -> None:
    Policy.objects.update_or_create(
        owner=vault.source.owner, source=None, defaults={"drill_cold_cents": cents}
    )


def test_without_a_wish_nothing_is_retrieved(vault: Vault, glacier: Glacier) -> None:
    run = step(runs.request_drill(vault.source)[0])
    assert (run.outcome, glacier.asked) == (Run.Outcome.WARNINGS, [])
    assert Source.objects.get().proven_at is None


def test_what_a_person_asks_for_is_retrieved_waited_for_and_proven(
    vault: Vault, glacier: Glacier
) -> None:
    assert "0.01 USD at most" in cold_drill.stated(vault.source)
    run = step(runs.request_drill(vault.source, cold=True)[0])
    assert (run.ended_at, len(set(glacier.asked))) == (None, cold_drill.FILES)
    assert Source.objects.get().proven_at is None
    assert not Lane.objects.filter(run=step(run), ended_at=None).exists(), "no lane only waits"
    glacier.give()
    run = step(run)
    assert (run.outcome, run.files_done, run.files_failed) == (Run.Outcome.OK, 3, 0)
    assert Source.objects.get().proven_at is not None
    assert cold_drill.spent(vault.source) == {"USD": 1}


def test_wrong_bytes_from_cold_storage_fail_the_drill(vault: Vault, glacier: Glacier) -> None:
    for path in Path(vault.destinations[0].options["path"]).rglob("drive/files/*"):
        path.write_bytes(path.read_bytes()[::-1])
    run = step(runs.request_drill(vault.source, cold=True)[0])
    glacier.give()
    run = step(run)
    assert (run.outcome, run.files_failed) == (Run.Outcome.FAILED, 3)
    assert Source.objects.get().proven_at is None


def test_what_never_comes_back_fails_the_drill(vault: Vault, glacier: Glacier) -> None:
    run = step(runs.request_drill(vault.source, cold=True)[0])
    Run.objects.update(created_at=timezone.now() - cold_drill.PATIENCE - timedelta(hours=1))
    RestoreItem.objects.update(due_at=timezone.now())
    run = step(run)
    assert (run.outcome, run.files_failed) == (Run.Outcome.FAILED, 3)
    assert len(glacier.asked) == cold_drill.FILES


def test_by_itself_a_drill_spends_no_more_than_the_month_allows(
    vault: Vault, glacier: Glacier
) -> None:
    allow(vault, 1)
    run = step(runs.request_drill(vault.source)[0])
    assert len(glacier.asked) == cold_drill.FILES
    glacier.give()
    assert step(run).outcome == Run.Outcome.OK
    run = step(runs.request_drill(vault.source)[0])
    assert (run.outcome, run.files_total) == (Run.Outcome.WARNINGS, 0), "the month's cent is spent"
    Run.objects.update(created_at=timezone.now() - timedelta(days=40))
    run = step(runs.request_drill(vault.source)[0])
    assert run.ended_at is None


def test_where_prices_are_not_known_only_a_person_may_ask(vault: Vault, glacier: Glacier) -> None:
    for row in vault.destinations:
        Destination.objects.filter(pk=row.pk).update(options=row.options)
    allow(vault, 1000)
    assert step(runs.request_drill(vault.source)[0]).outcome == Run.Outcome.WARNINGS
    assert "not known" in cold_drill.stated(vault.source)
    step(runs.request_drill(vault.source, cold=True)[0])
    assert len(glacier.asked) == cold_drill.FILES
    assert Restore.objects.latest("pk").options[cold_drill.CENTS] == {}


def test_a_destination_with_anything_readable_costs_nothing_by_itself(
    vault: Vault, glacier: Glacier
) -> None:
    allow(vault, 1000)
    warm = Copy.objects.latest("pk")
    Copy.objects.filter(pk=warm.pk).update(error_code="")
    glacier.there.add(warm.object_key)
    run = step(runs.request_drill(vault.source)[0])
    assert (run.outcome, run.files_done, glacier.asked) == (Run.Outcome.OK, 1, [])
