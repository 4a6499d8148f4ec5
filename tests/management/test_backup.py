"""`manage.py backup`, `verify`, `files` and `status` over the real engine, Google's stand-in, a
folder and an S3 server; the worker is played whenever the command waits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone

from syncapp.engine import dispatch
from syncapp.engine.adapters import destination_for
from syncapp.management.running import RunCommand
from syncapp.models import Copy, Destination, File, Finding, Lane, Run, Source, Version, Worker
from tests.engine.conftest import Setting
from tests.management.conftest import Shell


class Working:
    """What a worker does in the time that the command waits; a run has so many turns to end."""

    def __init__(self, turns: int = 60) -> None:
        self.turns = turns

    def __call__(self, _seconds: float) -> None:
        self.turns -= 1
        assert self.turns, f"no end: {Run.objects.values()} {Version.objects.values().first()}"
        take_lanes()


def take_lanes() -> None:
    """One turn: every lane that is asked for; what is due later is due now."""
    Worker.objects.update(heartbeat_at=timezone.now())
    Version.objects.filter(lease_owner="").update(due_at=timezone.now())
    dispatch.tick()
    for lane in Lane.objects.filter(owner="", ended_at__isnull=True):
        dispatch.work(lane.pk)


def a_file_of(setting: Setting) -> str:
    """The id of some file that has bytes."""
    return min(pk for pk, entry in setting.truth().items() if entry.get("sha256"))


@pytest.fixture
def playing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[float], None]], None]:
    """Say what happens while a command waits."""

    def play(during: Callable[[float], None]) -> None:
        monkeypatch.setattr(RunCommand, "pause", staticmethod(during))

    return play


Play = Callable[[Callable[[float], None]], None]


@pytest.fixture
def at_work(transactional_db: None, playing: Play) -> None:
    """A worker that takes what there is."""
    Worker.objects.create(host="here", pid=1)
    playing(Working())


def test_backup_waits_until_every_file_is_stored(shell: Shell, few: Setting, at_work: None) -> None:
    answer = shell("backup", "--wait")
    assert answer.code == 0, answer.err
    assert Copy.objects.filter(state="stored").count() == 80
    assert "Complete" in answer.out
    assert " 40 " in answer.out
    assert "queued" in answer.err
    status = shell("status")
    assert (status.code, status.out.splitlines()[0]) == (
        0, "40 files stored in every destination.",
    )  # fmt: skip


def test_backup_lists_what_google_refuses_and_is_content(
    shell: Shell, few: Setting, at_work: None
) -> None:
    refused = a_file_of(few)
    few.control.add_fault("alt=media", file_id=refused, status=403, reason="cannotDownloadFile")
    answer = shell("backup", "--wait", "--json")
    assert answer.code == 0, answer.err
    (run,) = answer.document["runs"]
    assert (run["outcome"], run["files_done"], run["files_refused"]) == ("warnings", 39, 1)
    (trouble,) = run["refused"]
    assert trouble["code"] == "cannot_download_file"
    assert trouble["path"].startswith("My Drive/")
    assert (run["failed"], run["refused_left_out"], run["new"]) == ([], False, True)
    listed = shell("files", "--state", "refused", "--json").document["files"]
    assert [(file["path"], file["source"]) for file in listed] == [(trouble["path"], "drive")]
    text = shell("files").out
    assert trouble["path"] in text
    assert "[cannot_download_file]" in text


def test_a_dry_run_says_what_a_backup_then_does(shell: Shell, few: Setting, at_work: None) -> None:
    (before,) = shell("backup", "--dry-run", "--json").document["previews"]
    assert not Run.objects.exists()
    assert not File.objects.exists()
    (run,) = shell("backup", "--wait", "--json").document["runs"]
    assert before["new"]["files"] == run["files_new"] == run["files_done"] == 40
    assert before["new"]["bytes"] == run["bytes_done"]
    assert before["destinations"] == 2
    (after,) = shell("backup", "--dry-run", "--json").document["previews"]
    assert (after["to_read"]["files"], after["unchanged"]["files"]) == (0, 40)
    text = shell("backup", "--dry-run").out
    assert "A backup would read 0 files" in text


def test_a_dry_run_says_that_the_guard_would_stop_the_backup_and_ask(
    shell: Shell, few: Setting, at_work: None
) -> None:
    few.back_up()
    stored = list(File.objects.filter(content="blob").order_by("pk"))
    assert "guard" not in shell("backup", "--dry-run").out
    for file in stored[:7]:
        few.control.delete(file.remote_id)
    few.control.trash(stored[7].remote_id)
    for file in stored[8:12]:
        few.control.edit(file.remote_id, b"encrypted by somebody")
    (told,) = shell("backup", "--dry-run", "--json").document["previews"]
    assert (told["trashed"], told["replaced"], told["asks"]) == (8, 4, True)
    text = shell("backup", "--dry-run").out
    assert "would go to the trash: 8; would be replaced: 4" in text
    assert "the guard allows" in text
    run = few.back_up()
    assert "8 would go to the trash and 4 would be replaced" in run.error_message
    (again,) = shell("backup", "--dry-run", "--json").document["previews"]
    assert (again["trashed"], again["replaced"], again["asks"]) == (8, 4, True)
    shell("source", "approve", few.source.slug)
    few.work(few.source.runs.get(ended_at=None))
    (after,) = shell("backup", "--dry-run", "--json").document["previews"]
    assert (after["trashed"], after["replaced"], after["asks"]) == (0, 0, False)


def test_verify_finds_damage_and_mends_it_or_a_backup_does(
    shell: Shell, few: Setting, at_work: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("backup", "--wait")
    assert shell("verify", "--all", "--wait").code == 0
    assert Copy.objects.filter(state="verified").count() == 80
    gone, changed = Copy.objects.filter(destination=few.folder).order_by("pk")[:2]
    disk = Path(few.folder.options["path"])
    (disk / gone.object_key).unlink()
    original = (disk / changed.object_key).read_bytes()
    (disk / changed.object_key).write_bytes(bytes(len(original)))
    answer = shell("verify", "--all", "--wait", "--json")
    assert (answer.code, answer.document["runs"][0]["damaged"]) == (0, [])
    assert answer.document["runs"][0]["files_failed"] == 2
    assert (disk / changed.object_key).read_bytes() == original

    # Damaged everywhere, only Google has it; the backup is held back to see what is said.
    (disk / gone.object_key).unlink()
    other = gone.version.copies.get(destination=few.bucket)
    destination_for(few.bucket).delete(other.object_key)
    with monkeypatch.context() as held_back:
        held_back.setattr("syncapp.engine.mending.runs.request_backup", lambda *_, **__: None)
        answer = shell("verify", "--wait", "--json")
    assert answer.code == 1
    found = {(t["code"], t["destination"]) for t in answer.document["runs"][0]["damaged"]}
    assert found == {("missing", "Folder"), ("missing", "Bucket")}
    status = shell("status")
    assert (status.code, status.out.splitlines()[0]) == (
        1,
        "1 file of “Drive” damaged in “Folder”. (1 more below.)",
    )
    assert "in “Folder” [missing]" in shell("files", "--state", "damaged").out
    assert shell("backup", "--wait").code == 0
    assert shell("verify", "--all", "--wait").code == 0
    assert not Finding.objects.filter(healed_at=None).exists()
    assert Finding.objects.filter(healed_from="Google").count() == 2


def test_a_failed_file_makes_the_backup_fail_and_is_named(
    shell: Shell, few: Setting, at_work: None
) -> None:
    bad = a_file_of(few)
    few.control.add_fault("alt=media", file_id=bad, status=500)
    answer = shell("backup", "--wait")
    assert answer.code == 1
    assert "1 file (" in answer.out
    status = shell("status")
    assert (status.code, "1 file of “Drive” could not be backed up." in status.out) == (1, True)


def test_a_destination_that_needs_a_person_is_code_5(
    shell: Shell, few: Setting, at_work: None, tmp_path: Path
) -> None:
    disk = Path(few.folder.options["path"])
    disk.rename(tmp_path / "unmounted")
    answer = shell("backup", "--wait")
    assert answer.code == 5
    assert "“Folder” takes nothing" in answer.out
    assert Copy.objects.filter(destination=few.bucket, state="stored").count() == 40


def test_a_source_whose_consent_is_gone_is_code_5(
    shell: Shell, few: Setting, at_work: None
) -> None:
    few.control.revoke_tokens(few.source.account.email)
    answer = shell("backup", "--wait")
    assert answer.code == 5
    assert "Traceback" not in answer.err
    assert answer.out.count("Press Reconnect") == 1
    assert shell("status").code == 5
    assert shell("backup", "--dry-run").code == 5


def test_a_pause_while_it_waits_ends_the_waiting(
    shell: Shell, source: Source, worker: Worker, playing: Play
) -> None:
    playing(lambda _: Source.objects.update(paused=True) and None)
    answer = shell("backup", "--wait")
    assert answer.code == 5
    assert f"manage.py source resume {source.pk}" in answer.err
    assert Run.objects.get().ended_at is None


def test_ctrl_c_leaves_the_run_alone(
    shell: Shell, source: Source, worker: Worker, playing: Play
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    playing(interrupt)
    answer = shell("backup", "--wait")
    run = Run.objects.get()
    assert answer.code == 130
    assert f"run {run.pk} goes on" in answer.err
    assert run.ended_at is None


def test_without_a_worker_waiting_is_refused_and_nothing_started(
    shell: Shell, source: Source
) -> None:
    answer = shell("backup", "--wait")
    assert (answer.code, "runworkers" in answer.err) == (4, True)
    assert not Run.objects.exists()


def test_without_a_worker_a_backup_is_queued_with_a_warning(shell: Shell, source: Source) -> None:
    answer = shell("backup", "--json")
    assert (answer.code, "runworkers" in answer.err) == (0, True)
    run = Run.objects.get()
    assert [(r["id"], r["new"]) for r in answer.document["runs"]] == [(run.pk, True)]
    again = shell("backup")
    assert f"Run {run.pk} of “Ada's Drive” is under way already." in again.out


def test_a_paused_source_is_left_out_unless_it_is_asked_for(
    shell: Shell, source: Source, worker: Worker
) -> None:
    Source.objects.update(paused=True)
    for arguments in ((), ("--source", "ada")):
        answer = shell("backup", *arguments)
        assert (answer.code, "is paused" in answer.err) == (5, True)
    assert not Run.objects.exists()


def test_what_makes_no_sense_is_a_usage_error(shell: Shell, source: Source) -> None:
    assert shell("backup", "--source", "nothing").code == 2
    assert shell("backup", "--dry-run", "--wait").code == 2
    assert shell("backup", "--colour").code == 2
    Source.objects.all().delete()
    assert shell("backup").code == 2
    assert not Run.objects.exists()


def test_the_help_tells_the_exit_codes(shell: Shell) -> None:
    for command in ("backup", "verify", "status", "files"):
        out = shell(command, "--help").out
        assert "exit codes:\n  0    all is well" in out


def test_one_that_was_not_attached_is_no_reason_to_stop(
    shell: Shell, few: Setting, at_work: None
) -> None:
    Destination.objects.create(
        owner=few.source.owner, name="Other", kind="local", blocked_code="x", blocked_reason="y"
    )
    assert shell("backup", "--wait").code == 0
