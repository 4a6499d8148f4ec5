"""`manage.py erase`: chosen by path, told before, carried out, reported, forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import database_backup
from syncapp.management.commands.erase import Command
from syncapp.models import Copy, Erased, ErasedObject, Erasure, File, Run, Source, Worker
from tests.engine.vault import Vault
from tests.management.conftest import Shell
from tests.management.test_backup import take_lanes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    Worker.objects.create(host="here", pid=1, heartbeat_at=timezone.now())
    monkeypatch.setattr(Command, "pause", staticmethod(lambda _: take_lanes()))
    return Vault.make(tmp_path)


def test_without_yes_it_only_tells(shell: Shell, vault: Vault) -> None:
    version = vault.file("report.txt", parent=vault.folder("work").remote_id)

    answer = shell("erase", "drive", "--folder", "work")

    assert answer.code == 0
    assert "2 files and folders, 2 stored objects" in answer.out
    assert not Erasure.objects.exists()
    assert Copy.objects.filter(version=version).count() == 2


def test_a_file_is_erased_and_the_report_has_every_object(shell: Shell, vault: Vault) -> None:
    vault.file("report.txt", parent=vault.folder("work").remote_id)

    answer = shell("erase", "drive", "--file", "work/report.txt", "--yes", "--wait", "--json")

    erasure = answer.document["erasures"][0]
    assert answer.code == 0
    assert (erasure["files_erased"], erasure["objects"], erasure["absent"]) == (1, 2, 2)
    assert [file.name for file in File.objects.all()] == ["work"]
    report = shell("erase", "report", str(erasure["id"])).out
    assert "work/report.txt" in report
    assert report.count("absent 20") == 2
    assert "erased" in shell("erase", "list").out
    assert shell("erase", "resume", str(erasure["id"])).code == 2
    database_backup.send([row.pk for row in vault.destinations])
    forgotten = shell("erase", "forget", str(erasure["id"]))
    assert forgotten.code == 0
    assert "all backups of the database" in forgotten.out
    assert not ErasedObject.objects.exists()
    for row in vault.destinations:
        assert database_backup.names(vault.store(row)) == []


def test_a_report_that_can_t_be_forgotten_stays_and_the_reason_is_told(
    shell: Shell, vault: Vault
) -> None:
    vault.file("one.txt")
    shell("erase", "drive", "--file", "one.txt", "--yes", "--wait")
    number = str(Erasure.objects.get().pk)
    database_backup.send([row.pk for row in vault.destinations])
    place = Path(vault.destinations[0].options["path"])
    place.rename(place.with_name("away"))

    answer = shell("erase", "forget", number)

    assert answer.code == 1
    assert "Backups of the database remain. one: " in answer.err
    Erasure.objects.update(proven_at=None)
    assert shell("erase", "forget", number).code == 2
    assert ErasedObject.objects.exists()


def test_an_account_goes_with_its_source(shell: Shell, vault: Vault) -> None:
    vault.file("one.txt")

    answer = shell("erase", "drive", "--account", "--yes", "--wait")

    assert answer.code == 0, answer.err
    assert "2 objects asked for once more and found absent" in answer.out
    assert not Source.objects.exists()


def test_a_run_that_goes_with_its_source_while_it_is_waited_for_is_no_error(
    shell: Shell, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("one.txt")
    refresh = Erasure.refresh_from_db

    def refresh_just_before_the_end(erasure: Erasure, *args: Any, **more: Any) -> None:
        refresh(erasure, *args, **more)
        take_lanes()

    monkeypatch.setattr(Erasure, "refresh_from_db", refresh_just_before_the_end)

    answer = shell("erase", "drive", "--account", "--yes", "--wait")

    assert answer.code == 0, answer.err
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--account", "--file", "one.txt"],
        ["--file", "nowhere.txt"],
        ["--folder", "one.txt"],
        ["--file", "id:99999"],
    ],
)
def test_what_is_not_clear_is_not_erased(shell: Shell, vault: Vault, wrong: list[str]) -> None:
    vault.file("one.txt")

    assert shell("erase", "drive", *wrong, "--yes").code == 2
    assert not Erasure.objects.exists()
    assert shell("erase", "report", "7").code == 2


def test_an_erasure_that_stopped_is_seen_in_the_status_until_it_is_resumed_or_forgotten(
    shell: Shell, vault: Vault
) -> None:
    vault.file("one.txt")
    Run.objects.create(
        source=vault.source, stage=Run.Stage.DONE, outcome=Run.Outcome.OK, ended_at=timezone.now()
    )
    place = Path(vault.destinations[0].options["path"])
    place.rename(place.with_name("away"))
    assert shell("erase", "drive", "--file", "one.txt", "--yes", "--wait").code == 1
    number = Erasure.objects.get().pk

    answer = shell("status")

    assert answer.code == 5, answer.out
    assert f"Erasure {number} of “Drive” was refused. " in answer.out
    assert f"`erase resume {number}`; to let it be: `erase forget {number}`." in answer.out
    Erasure.objects.update(marked_at=timezone.now())
    assert f"Erasure {number} of “Drive” is not at its end. " in shell("status").out
    Erasure.objects.update(marked_at=None)
    place.with_name("away").rename(place)
    assert shell("erase", "forget", str(number)).code == 0
    assert not Erased.objects.exists()
    assert "Erasure" not in shell("status").out


def test_a_lost_destination_is_given_up_only_on_yes_and_once_it_is_disabled(
    shell: Shell, vault: Vault
) -> None:
    vault.file("one.txt")
    shutil.rmtree(vault.destinations[0].options["path"])
    assert shell("erase", "drive", "--file", "one.txt", "--yes", "--wait").code == 1
    number = str(Erasure.objects.get().pk)
    asked = ["erase", "resume", number, "--give-up", "one", "--wait"]

    refused = shell(*asked, "--yes")
    assert (refused.code, "Disable it first" in refused.err) == (2, True)
    shell("destination", "disable", "one")
    assert "Would go on without one: nothing is erased there" in shell(*asked).out
    assert Erasure.objects.get().given_up == []
    answer = shell(*asked, "--yes")

    assert answer.code == 0, answer.err
    assert "NOT ERASED in one: given up by " in answer.out
    assert "erased, but for what was given up" in shell("erase", "list").out
    assert "NOT ERASED, given up" in shell("erase", "report", number).out
    document = shell("erase", "list", "--json").document["erasures"][0]
    assert document["given_up"][0]["place"] == "one"
