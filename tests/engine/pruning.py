"""Pruning a source that was backed up by hand, lane after lane."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from syncapp.engine import dispatch, runs
from syncapp.models import Lane, Policy, Run, Source, Version
from tests.engine.vault import Vault

NOW = timezone.now()


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def ended(source: Source, at: datetime = NOW, outcome: str = Run.Outcome.OK) -> Run:
    """A backup that ended then."""
    return Run.objects.create(
        source=source, stage=Run.Stage.DONE, outcome=outcome, created_at=at, ended_at=at
    )


def keep(vault: Vault, **wishes: Any) -> None:
    wishes = {"keep": "rules"} | wishes
    Policy.objects.update_or_create(owner=vault.source.owner, source=vault.source, defaults=wishes)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def lane(run: Run) -> None:
    dispatch.tick()
    for row in Lane.objects.filter(run=run, owner="", ended_at__isnull=True):
        dispatch.work(row.pk)
    run.refresh_from_db()


def prune(vault: Vault) -> Run:
    run, _ = runs.request_prune(vault.source)
    for _ in range(5):
        lane(run)
        if run.ended_at:
            break
    assert run.ended_at
    return run


def stored(vault: Vault) -> list[set[str]]:
    """The keys at each destination."""
    return [{info.key for info in vault.store(row).objects()} for row in vault.destinations]


def history(vault: Vault, *ages: float) -> list[Version]:
    """A file's versions, seen so many days ago, oldest first."""
    first, *later = ages
    made = [vault.file("report.txt", b"%f" % first, seen=ago(first))]
    made += [vault.version(made[0].file, b"%f" % age, seen=ago(age)) for age in later]
    return made


def left(versions: list[Version]) -> list[bool]:
    there = set(Version.objects.values_list("pk", flat=True))
    return [version.pk in there for version in versions]
