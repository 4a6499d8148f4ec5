"""A destination that is lost for good: the erasure goes on without it, and says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.utils import timezone

from syncapp.engine import database_backup, erasure_given_up, erasure_report, segments
from syncapp.engine.erase import request_erasure
from syncapp.engine.erasure_given_up import GiveUpRefused
from syncapp.models import Copy, Destination, ErasedObject, Erasure, Event, File, Run, Source
from tests.engine.test_erase import carry_out, lying, work
from tests.engine.vault import Vault

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.make(tmp_path)


def lose(vault: Vault) -> Destination:
    """The first destination, with all that is in it."""
    database_backup.care(timezone.now())
    segments.write(vault.source.pk)
    database_backup.send([row.pk for row in vault.destinations])
    shutil.rmtree(vault.destinations[0].options["path"])
    return vault.destinations.pop(0)


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("account", [False, True])
def test_an_erasure_goes_on_without_a_destination_given_up_and_its_report_says_so(
    vault: Vault, decided: bool, account: bool
) -> None:
    file = vault.file("secret.txt").file
    lost = lose(vault)
    erasure = carry_out(vault, *([] if account else [file]), account=account)
    assert "`erase resume" in Run.objects.get().error_message
    if decided:
        Erasure.objects.update(marked_at=timezone.now())
        erasure.refresh_from_db()
    with pytest.raises(GiveUpRefused, match="Disable it first"):
        erasure_given_up.give_up(erasure, lost, "owner")
    Destination.objects.filter(pk=lost.pk).update(enabled=False)
    lost.refresh_from_db()

    erasure_given_up.give_up(erasure, lost, "owner")
    run = work(request_erasure(vault.source, erasure))

    erasure.refresh_from_db()
    assert erasure.proven_at is not None, run.error_message
    assert not File.objects.exists()
    assert not Copy.objects.exists()
    assert lying(vault) == set()
    assert Source.objects.exists() != account
    if not account:
        assert run.outcome == Run.Outcome.WARNINGS
        assert Event.objects.filter(
            message__contains="NOT ERASED in one: given up by owner"
        ).exists()
    report = "\n".join(erasure_report.lines(erasure))
    assert "NOT ERASED in one: given up by owner, 20" in report
    lines = report.splitlines()
    assert [line for line in lines if line.startswith("NOT ERASED, given up")]
    assert not [line for line in lines if line.startswith("absent") and "\tone\t" in line]
    assert "NOT PROVEN" not in report
    lost.delete()
    assert "NOT ERASED, given up" in "\n".join(erasure_report.lines(erasure))
    assert ErasedObject.objects.filter(absent_at__isnull=False).count() == 1


def test_somebody_else_s_destination_can_t_be_given_up(vault: Vault, tmp_path: Path) -> None:
    file = vault.file("secret.txt").file
    theirs = Vault.make(tmp_path / "theirs", "three", owner="other").destinations[0]
    lose(vault)
    erasure = carry_out(vault, file)

    with pytest.raises(GiveUpRefused, match="somebody else"):
        erasure_given_up.give_up(erasure, theirs, "owner")
