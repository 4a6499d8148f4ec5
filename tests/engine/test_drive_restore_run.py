"""Whole restores to Google Drive, through the engine: what is asked for, killed lanes, reports."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import GoogleAccount
from emulator.formats import DOCX
from emulator.items import GOOGLE, SHORTCUT
from syncapp.engine import restore_report, restoring, runs
from syncapp.engine.limits import WritingPace
from syncapp.engine.restore_estimate import estimate
from syncapp.errors import ConfigurationError
from syncapp.models import DriveId, File, Lane, RestoreItem, Run
from syncapp.sources.google_client import EDIT_UNITS, READ_UNITS, GoogleClient
from syncapp.sources.google_write import DriveWriter
from syncapp.types import Content
from tests.engine.drives import ADA, allow_writing, below, drive, drive_process, paths
from tests.engine.restores import one_lane, vault, work
from tests.engine.vault import MODIFIED, Vault
from tests.servers.emulator import RunningEmulator

__all__ = ["drive", "drive_process", "vault"]
DOCUMENT = GOOGLE + "document"
State = RestoreItem.State


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def allowed(vault: Vault, drive: RunningEmulator) -> Vault:
    allow_writing(vault.source.account, drive)
    return vault


def ask(vault: Vault, *files: File, **more: Any) -> Run:
    ids = [file.pk for file in files]
    return restoring.request_restore(vault.source, target="drive", files=ids, **more)


def made(drive: RunningEmulator, run: Run) -> dict[str, dict[str, Any]]:
    tops = DriveId.objects.filter(restore__run=run).exclude(key__startswith="item:")
    return below(drive, tops.order_by("pk")[0].remote_id)


def document(vault: Vault, name: str, data: bytes = b"PK a report", **metadata: Any) -> File:
    version = vault.file(name, data)
    version.content_type = DOCX
    version.save()
    File.objects.filter(pk=version.file_id).update(
        content=Content.EXPORT, mime_type=DOCUMENT, extension="docx", metadata=metadata
    )
    return version.file


def test_a_whole_source_comes_back_with_equal_names_and_empty_folders(
    allowed: Vault, drive: RunningEmulator
) -> None:
    for text in (b"one", b"two"):
        folder = allowed.folder("same / folder")
        allowed.file("inside\t.txt", text, folder.remote_id)
        allowed.file("inside\t.txt", text * 2, folder.remote_id)
    allowed.folder("empty", folder.remote_id)
    allowed.file("big.bin", os.urandom(600_000))
    document(allowed, "Report")
    run = work(ask(allowed))
    assert (run.outcome, run.error_message) == ("ok", "")
    entries = made(drive, run)
    inside = ("same / folder", "inside\t.txt")
    assert paths(entries) == sorted([("Report.docx",), ("big.bin",), *[inside] * 4])
    assert sorted(e["name"] for e in entries.values() if e["kind"] == "folder")[-3:] == [
        "empty",
        "same / folder",
        "same / folder",
    ]
    stored = sorted(v.sha256 for f in File.objects.all() for v in f.versions.all())
    assert sorted(e["sha256"] for e in entries.values() if e["kind"] == "blob") == stored


def test_folders_come_back_with_their_times_and_shared_as_they_were(
    allowed: Vault, drive: RunningEmulator
) -> None:
    outer = allowed.folder("outer")
    inner = allowed.folder("inner", outer.remote_id)
    allowed.folder("empty", inner.remote_id)
    allowed.file("a.txt", b"one", inner.remote_id)
    for folder, who in ((outer, "bob@example.com"), (inner, "x@nowhere.example")):
        folder.metadata = {"permissions": [{"type": "user", "role": "reader", "emailAddress": who}]}
        folder.save()
    run = work(ask(allowed, permissions=True))
    assert (run.outcome, run.files_done) == ("ok", 2)
    found = {e["name"]: e for e in made(drive, run).values()}
    when = round(MODIFIED.timestamp() * 1000)
    assert {found[name]["modified_ms"] for name in ("outer", "inner", "empty")} == {when}
    assert [g["emailAddress"] for g in found["outer"]["granted"]] == ["bob@example.com"]
    report = "".join(restore_report.text(run.restore))
    assert "x@nowhere.example" in report


def shortcut(vault: Vault, name: str, target: str, parent: str = "") -> None:
    told = json.dumps({"kind": "shortcut", "target_id": target}).encode()
    version = vault.file(name, told, parent)
    version.content_type = "application/json"
    version.save()
    File.objects.filter(pk=version.file_id).update(
        content=Content.SHORTCUT, mime_type=SHORTCUT, extension="shortcut.json"
    )


def test_shortcuts_come_back_and_point_to_what_was_restored(
    allowed: Vault, drive: RunningEmulator
) -> None:
    folder = allowed.folder("folder")
    shortcut(allowed, "a first", "id-of-nothing")
    shortcut(allowed, "a to the folder", folder.remote_id)
    shortcut(allowed, "a to another", "loop")
    loop = File.objects.get(name="a to another")
    File.objects.filter(pk=loop.pk).update(remote_id="loop")
    shortcut(allowed, "a to the file", "to-be")
    file = allowed.file("z.txt", b"the target", folder.remote_id).file
    File.objects.filter(pk=file.pk).update(remote_id="to-be")

    run = work(ask(allowed))

    assert (run.outcome, run.files_done) == ("ok", 5)
    found = {e["name"]: e for e in made(drive, run).values()}
    assert found["a to the file"]["target"] == found["z.txt"]["id"]
    assert found["a to the folder"]["target"] == found["folder"]["id"]
    assert found["a first.shortcut.json"]["kind"] == "blob"
    assert "not as a shortcut" in "".join(restore_report.text(run.restore))


def test_a_shortcut_to_a_folder_that_is_not_made_yet_makes_it(
    allowed: Vault, drive: RunningEmulator
) -> None:
    folder = allowed.folder("folder")
    shortcut(allowed, "a to the folder", folder.remote_id)
    shortcut(allowed, "inside", "id-of-nothing", folder.remote_id)

    run = work(ask(allowed))

    found = {e["name"]: e for e in made(drive, run).values()}
    assert found["a to the folder"]["target"] == found["folder"]["id"]


def steps() -> list[tuple[type, str]]:
    return [
        (GoogleClient, "send"),
        (GoogleClient, "send_once"),
        (GoogleClient, "call"),
        (DriveWriter, "make_file"),
        (DriveWriter, "convert"),
    ]


def killing(real: Callable[..., Any], calls: int, *, before: bool) -> Callable[..., Any]:
    """The real thing, but the process ends at the n-th call, or when that has come back."""
    left = iter(range(calls - 1))

    def call(*arguments: Any, **more: Any) -> Any:
        if next(left, None) is not None:
            return real(*arguments, **more)
        if not before:
            real(*arguments, **more)
        raise Killed

    return call


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", steps(), ids=lambda step: step[1])
def test_a_restore_killed_at_any_step_is_finished_without_a_second_file(
    allowed: Vault,
    drive: RunningEmulator,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[type, str],
    *,
    before: bool,
) -> None:
    settings.RESTORES_IN_FLIGHT = 1
    folder = allowed.folder("folder")
    for number in range(2):
        allowed.file(f"{number}.txt", b"%d" % number, folder.remote_id)
    allowed.file("big.bin", os.urandom(600_000), folder.remote_id)
    document(allowed, "Report")
    run = ask(allowed, convert=True)
    kind, name = step
    kills = 0
    for calls in (1, 2, 3, 4):
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, killing(getattr(kind, name), calls, before=before))
            try:
                one_lane(run)
            except Killed:
                kills += 1
                Lane.objects.filter(run=run).update(ended_at=timezone.now())
                RestoreItem.objects.filter(restore__run=run).update(due_at=timezone.now())
    assert kills
    assert work(run).outcome == "ok"
    entries = made(drive, run)
    names = ["0.txt", "1.txt", "big.bin"]
    assert paths(entries) == [("Report",), *(("folder", n) for n in names)]
    assert len(entries) == 6


def test_what_could_not_be_as_it_was_is_in_the_report_of_a_restored_item(
    allowed: Vault, drive: RunningEmulator
) -> None:
    permissions = [
        {"type": "user", "role": "reader", "emailAddress": "bob@example.com"},
        {"type": "user", "role": "reader", "emailAddress": "x@nowhere.example"},
    ]
    document(allowed, "Shared", permissions=permissions)
    document(allowed, "Broken", b"no zip")
    run = work(ask(allowed, convert=True, permissions=True))
    assert (run.outcome, run.files_done, run.files_failed) == ("ok", 2, 0)
    report = "".join(restore_report.text(run.restore))
    assert "x@nowhere.example" in report
    assert "left as an Office file" in report
    names = {e["name"]: e for e in made(drive, run).values()}
    assert [g["emailAddress"] for g in names["Shared"]["granted"]] == ["bob@example.com"]
    assert names["Broken.docx"]["mime_type"] == DOCX


def test_without_a_consent_no_restore_to_drive_begins(vault: Vault, drive: RunningEmulator) -> None:
    vault.file("a.txt")
    with pytest.raises(ConfigurationError, match="Allow restoring to Drive"):
        ask(vault)
    assert not Run.objects.exists()


def test_a_consent_withdrawn_on_the_way_pauses_until_it_is_given_again(
    allowed: Vault, drive: RunningEmulator
) -> None:
    allowed.file("a.txt")
    run = ask(allowed)
    GoogleAccount.objects.update(scopes=[])
    assert work(run).paused
    assert "Allow restoring to Drive" in run.error_message
    allow_writing(allowed.source.account, drive)
    runs.resume_run(run)
    assert work(run).outcome == "ok"
    assert paths(made(drive, run)) == [("a.txt",)]


def test_a_full_drive_pauses_until_there_is_room(allowed: Vault, drive: RunningEmulator) -> None:
    allowed.file("a.txt")
    run = ask(allowed)
    drive.control.set_storage(1, account=ADA)
    assert work(run).paused
    assert "storage is full" in run.error_message
    drive.control.set_storage(None, account=ADA)
    runs.resume_run(run)
    assert work(run).outcome == "ok"


def test_a_second_restore_is_another_folder(allowed: Vault, drive: RunningEmulator) -> None:
    allowed.file("a.txt")
    first, second = (work(ask(allowed, options={"folder": name})) for name in ("1", "2"))
    assert paths(made(drive, first)) == paths(made(drive, second)) == [("a.txt",)]
    assert set(made(drive, first)).isdisjoint(made(drive, second))


def test_faults_of_google_on_the_way_fail_no_file(
    allowed: Vault, drive: RunningEmulator, tmp_path: Path
) -> None:
    for number in range(6):
        allowed.file(f"{number}.bin", os.urandom(400_000 if number % 2 else 100))
    seed = {"rate": 0.3, "count": 12}
    drive.control.add_fault("/upload/", status=503, seed=1, **seed)
    drive.control.add_fault("/upload/", status=503, late=True, seed=2, **seed)
    drive.control.add_fault("upload_id", taken=300_000, seed=3, **seed)
    drive.control.add_fault("upload_id", corrupt_upload=True, seed=4, rate=0.3, count=2)
    run = work(ask(allowed))
    assert run.outcome == "ok", run.error_message
    assert paths(made(drive, run)) == [(f"{n}.bin",) for n in range(6)]
    stored = sorted(v.sha256 for f in File.objects.all() for v in f.versions.all())
    assert sorted(e["sha256"] for e in made(drive, run).values() if e["kind"] == "blob") == stored


def test_a_dry_run_knows_how_slowly_google_takes_files(vault: Vault, settings: Any) -> None:
    settings.GOOGLE_WRITES_PER_SECOND = 3
    for number in range(30):
        vault.file(f"{number}.txt")
    assert estimate(vault.source, target="drive").seconds >= 10
    assert estimate(vault.source).seconds < 10


def test_changes_to_a_drive_keep_to_their_own_pace_and_reading_does_not(
    transactional_db: None, settings: Any
) -> None:
    settings.GOOGLE_WRITES_PER_SECOND = 4
    pace = WritingPace(1)
    began = time.monotonic()
    for _ in range(50):
        pace.take(READ_UNITS)
    assert time.monotonic() - began < 10, "at four a second they would take twelve"
    began = time.monotonic()
    for _ in range(6):
        pace.take(EDIT_UNITS)
    assert 1.0 < time.monotonic() - began < 8.0
