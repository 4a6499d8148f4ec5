"""`manage.py restore` over the real engine; the worker is played whenever the command waits."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from syncapp.engine import dispatch
from syncapp.management.commands.restore import Command
from syncapp.models import DriveId, Lane, RestoreItem, Run, Worker
from tests.engine.drives import ADA, allow_writing, below, drive, drive_process, paths
from tests.engine.vault import SEEN, Vault
from tests.management.conftest import Shell
from tests.servers.emulator import RunningEmulator

__all__ = ["drive", "drive_process"]


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path) -> Vault:
    return Vault.make(tmp_path)


@pytest.fixture
def at_work(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes what there is whenever the command waits."""
    Worker.objects.create(host="here", pid=1)

    def turn(_seconds: float) -> None:
        Worker.objects.update(heartbeat_at=timezone.now())
        RestoreItem.objects.update(due_at=timezone.now())
        dispatch.tick()
        for lane in Lane.objects.filter(owner="", ended_at__isnull=True):
            dispatch.work(lane.pk)

    monkeypatch.setattr(Command, "pause", staticmethod(turn))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def reports(vault: Vault) -> Vault:
    """My Drive/Reports with two files, and a file that was deleted."""
    top = vault.folder("My Drive")
    deep = vault.folder("Reports", top.remote_id)
    vault.file("one.txt", b"one", deep.remote_id)
    vault.file("two.txt", b"two", deep.remote_id)
    gone = vault.file("gone.txt", b"gone", top.remote_id).file
    gone.vanished_at = timezone.now()
    gone.save()
    return vault


def test_a_folder_is_restored_by_its_path(
    shell: Shell, reports: Vault, at_work: None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answer = shell("restore", "drive", "My Drive/Reports", "--to", str(out), "--wait")

    assert answer.code == 0, answer.err
    assert files(out) == {"Reports/one.txt": b"one", "Reports/two.txt": b"two"}
    assert "Complete" in answer.out


def test_a_relative_folder_is_one_below_the_terminals(
    shell: Shell, reports: Vault, at_work: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shell("restore", "drive", "My Drive/Reports", "--to", "out", "--wait").code == 0
    assert len(files(tmp_path / "out")) == 2


def test_a_folder_is_restored_to_the_drive_of_an_account(
    shell: Shell, reports: Vault, at_work: None, drive: RunningEmulator
) -> None:
    allow_writing(reports.source.account, drive)
    wanted = ("My Drive/Reports", "--to-drive", "--account", ADA, "--folder", "From a command")
    answer = shell("restore", "drive", *wanted, "--convert", "--permissions", "--wait")

    assert answer.code == 0, answer.err
    top = DriveId.objects.exclude(key__startswith="item:").order_by("pk")[0]
    made = below(drive, top.remote_id)
    assert made[top.remote_id]["name"] == "From a command"
    assert paths(made) == [("Reports", "one.txt"), ("Reports", "two.txt")]


def test_without_a_consent_the_command_says_what_to_press(
    shell: Shell, reports: Vault, at_work: None
) -> None:
    answer = shell("restore", "drive", "My Drive/Reports", "--to-drive", "--wait")
    assert answer.code == 5  # configuration
    assert "Allow restoring to Drive" in answer.err


def test_a_deleted_file_is_found_by_its_old_path_and_a_top_folder_may_be_left_out(
    shell: Shell, reports: Vault, at_work: None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answer = shell("restore", "drive", "gone.txt", "Reports/one.txt", "--to", str(out), "--wait")

    assert answer.code == 0, answer.err
    assert files(out) == {"gone.txt": b"gone", "one.txt": b"one"}


def test_an_earlier_moment_is_restored(
    shell: Shell, vault: Vault, at_work: None, tmp_path: Path
) -> None:
    file = vault.file("a.txt", b"first").file
    vault.version(file, b"second", seen=SEEN + timedelta(days=9))
    out = tmp_path / "out"

    answer = shell("restore", "drive", "--at", "2026-01-05", "--to", str(out), "--wait", "--json")

    assert (answer.code, files(out)) == (0, {"a.txt": b"first"})
    restore = answer.document["restores"][0]
    assert (restore["outcome"], restore["files_done"], restore["bytes_done"]) == ("ok", 1, 5)


def test_a_moment_without_anything_is_refused_by_a_dry_run_too(
    shell: Shell, vault: Vault, tmp_path: Path
) -> None:
    vault.file("a.txt")
    for more in (("--dry-run",), ("--to", str(tmp_path / "out"))):
        answer = shell("restore", "drive", "--at", "1999-01-01", *more)
        assert answer.code == 5
        assert "first looked at on 2026-01-01" in answer.err
    assert not Run.objects.exists()


def test_the_date_of_today_is_now(shell: Shell, vault: Vault) -> None:
    vault.file("a.txt")
    today = f"{timezone.localdate():%Y-%m-%d}"
    answer = shell("restore", "drive", "--at", today, "--dry-run")
    assert (answer.code, answer.out.splitlines()[0]) == (0, "1 file, 5 Bytes")


def test_what_could_not_be_restored_ends_with_1_and_is_listed(
    shell: Shell, reports: Vault, at_work: None, tmp_path: Path
) -> None:
    lost = reports.file("lost.txt", b"lost")
    for destination in reports.destinations:
        reports.path(lost, destination).unlink()

    answer = shell("restore", "drive", "--to", str(tmp_path / "out"), "--wait")

    assert answer.code == 1
    assert "lost.txt [not_stored]" in answer.out
    report = shell("restore", "report", str(Run.objects.get().pk), "--json")
    assert {item["path"] for item in report.document["items"]} >= {"lost.txt"}


def test_a_restore_that_needs_a_person_ends_with_5_and_goes_on_after_that(
    shell: Shell, reports: Vault, at_work: None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.write_text("in the way")

    answer = shell("restore", "drive", "--to", str(out), "--wait")
    run = Run.objects.get()

    assert answer.code == 5
    assert "is not a folder" in answer.err
    assert f"restore resume {run.pk}" in answer.err
    assert "Paused" in shell("restore", "list").out
    assert "waits for you" in shell("status").out
    out.unlink()
    assert shell("restore", "resume", str(run.pk)).code == 0
    Command.pause(0)
    run.refresh_from_db()
    assert run.outcome == "ok"


def test_restores_are_paused_and_cancelled(shell: Shell, reports: Vault, tmp_path: Path) -> None:
    shell("restore", "drive", "--to", str(tmp_path / "out"))
    run = Run.objects.get()

    assert "is paused" in shell("restore", "pause", str(run.pk)).out
    assert "unchanged" in shell("restore", "pause", str(run.pk)).out
    assert "is cancelled" in shell("restore", "cancel", str(run.pk)).out
    run.refresh_from_db()
    assert run.outcome == "cancelled"
    assert shell("restore", "list", "--json").document["restores"][0]["outcome"] == "cancelled"


def test_a_dry_run_says_what_it_would_mean_and_starts_nothing(shell: Shell, reports: Vault) -> None:
    text = shell("restore", "drive", "Reports", "--dry-run", "--prefer", "cheapest")
    document = shell("restore", "drive", "--dry-run", "--from", "two", "--json").document

    assert (text.code, text.out.splitlines()[0]) == (0, "2 files, 6 Bytes")
    assert "cost: nothing" in text.out
    assert document["estimate"]["origins"] == {"two": 2}
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "drive --dry-run Reports/one.txt Reports/two.txt",
        "drive Reports/one.txt --dry-run Reports/two.txt",
        "--dry-run drive Reports/one.txt Reports/two.txt",
        "--dry-run -- drive Reports/one.txt Reports/two.txt",
    ],
)
def test_options_may_stand_before_between_and_after_paths(
    shell: Shell, reports: Vault, arguments: str
) -> None:
    answer = shell("restore", *arguments.split())
    assert (answer.code, answer.out.splitlines()[0]) == (0, "2 files, 6 Bytes"), answer.err


@pytest.mark.parametrize("below", ["", "/deeper/down"])
def test_a_dry_run_refuses_a_file_where_a_folder_is_to_be(
    shell: Shell, reports: Vault, tmp_path: Path, below: str
) -> None:
    (tmp_path / "out").write_text("in the way")
    answer = shell("restore", "drive", "--to", f"{tmp_path}/out{below}", "--dry-run")
    assert (answer.code, answer.out) == (5, "")
    assert "Choose another one" in answer.err
    answer = shell("restore", "drive", "--to", f"{tmp_path}/new/one", "--dry-run")
    assert (answer.code, (tmp_path / "new").exists()) == (0, False)


def test_a_dry_run_refuses_a_folder_that_may_not_be_written_to(
    shell: Shell, reports: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    answer = shell("restore", "drive", "--to", f"{tmp_path}/out", "--dry-run")
    assert (answer.code, "can't be written to" in answer.err) == (5, True)


def test_another_destination_may_be_the_target(
    shell: Shell, reports: Vault, at_work: None, tmp_path: Path
) -> None:
    reports.add_folder(tmp_path / "other", "other")

    answer = shell(
        *("restore", "drive", "Reports", "--to-destination", "other"), "--folder", "back", "--wait"
    )

    assert answer.code == 0, answer.err
    assert (tmp_path / "other/restored/back/Reports/one.txt").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere", "--to", "/x"), "There is no source"),
        (("drive", "no/such/file", "--to", "/x"), "There is no “no/such/file”"),
        (("drive",), "Say where to"),
        (("drive", "--to", "/x", "--at", "yesterday"), "is no time"),
        (("drive", "--to", "/x", "--at", "2026-13-45"), "is no time"),
        (("drive", "--to", "/x", "--at", "2199-05-05"), "lies in the future"),
        (("drive", "--dry-run", "--at", "2199-05-05"), "lies in the future"),
        (("pause", "77"), "name one run"),
        (("drive", "--dry-run", "--wait"), "nothing to --wait for"),
        (("drive", "id:999999", "--dry-run"), "has no file id:999999"),
    ],
)
def test_what_is_wrong_is_said_and_ends_with_2(
    shell: Shell, reports: Vault, arguments: tuple[str, ...], says: str
) -> None:
    answer = shell("restore", *arguments)

    assert (answer.code, says in answer.err) == (2, True), answer.err


def test_equal_names_are_told_apart_by_id(
    shell: Shell, vault: Vault, at_work: None, tmp_path: Path
) -> None:
    vault.file("same.txt", b"one")
    second = vault.file("same.txt", b"two").file
    out = tmp_path / "out"

    answer = shell("restore", "drive", "same.txt", "--to", str(out))
    assert answer.code == 2
    assert f"id:{second.pk}" in answer.err
    assert shell("restore", "drive", f"id:{second.pk}", "--to", str(out), "--wait").code == 0
    assert files(out) == {"same.txt": b"two"}


def test_without_a_worker_nothing_is_waited_for(
    shell: Shell, reports: Vault, tmp_path: Path
) -> None:
    answer = shell("restore", "drive", "--to", str(tmp_path / "out"), "--wait")

    assert answer.code == 4
    assert not Run.objects.exists()
