"""Renames and moves at the source follow at the destinations, and nothing is read for them."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from syncapp.engine import destination_setup, keys, moved, runs, source_setup
from syncapp.engine.adapters import destination_for
from syncapp.models import Copy, Destination, Event, File, Run, Version
from tests.destinations.samples import HOSTILE_NAMES
from tests.engine.conftest import Setting
from tests.engine.tree import blobs, blobs_parent, check_all, move_and_check, path_key, shown
from tests.servers.rclone_s3 import binary


def test_a_renamed_file_follows_at_both_destinations_without_a_download(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    few.control.rename(file.remote_id, "a new name.txt")
    move_and_check(few, 1)
    assert path_key(file).endswith("/a new name.txt")
    told = Event.objects.get(code="files_moved")
    assert "1 file of Drive moved, no byte read from Google" in told.message


def test_a_run_with_nothing_to_move_has_no_such_stage(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    real = runs.move_on

    def noted(run: Run, stage: str, to: str) -> bool:
        stages.append(to)
        return real(run, stage, to)

    monkeypatch.setattr(runs, "move_on", noted)
    few.back_up()
    assert Run.Stage.MOVE not in stages
    few.control.rename(blobs(few)[0].remote_id, "renamed")
    few.back_up()
    assert Run.Stage.MOVE in stages


def test_a_file_moved_to_another_folder_follows_and_empty_folders_go(few: Setting) -> None:
    folder = few.control.create("one", parents=[blobs_parent(few)])
    inner = few.control.create("inner", parents=[folder["id"]])
    made = few.control.create("alone.txt", b"alone", parents=[inner["id"]])
    few.back_up()
    elsewhere = few.control.create("other", parents=[blobs_parent(few)])
    few.control.move(made["id"], elsewhere["id"])
    move_and_check(few, 1)
    root = Path(few.folder.options["path"])
    assert not list(root.rglob("one"))


def test_a_renamed_folder_takes_everything_below_along(few: Setting) -> None:
    few.back_up()
    few.control.rename(blobs(few)[0].parent_id, "another folder")
    move_and_check(few, 40)


def test_two_files_that_swap_their_names_end_with_both_right(few: Setting) -> None:
    few.back_up()
    one, two = blobs(few)[:2]
    few.control.rename(one.remote_id, "in between")
    few.control.rename(two.remote_id, one.name)
    few.control.rename(one.remote_id, two.name)
    move_and_check(few, 2)


def test_two_folders_that_swap_their_names_end_with_all_right(few: Setting) -> None:
    above = blobs_parent(few)
    folders = [few.control.create(name, parents=[above])["id"] for name in ("2023", "2024")]
    for folder in folders:
        for number in range(5):
            data = f"{folder} {number}".encode()
            few.control.create(f"{number}.txt", data, parents=[folder])
    few.back_up()
    few.control.rename(folders[0], "in between")
    few.control.rename(folders[1], "2023")
    few.control.rename(folders[0], "2024")
    move_and_check(few, 10)


def test_a_chain_of_names_handed_on_ends_right(few: Setting) -> None:
    few.back_up()
    files = blobs(few)[:6]
    names = [file.name for file in files]
    for file, name in reversed(list(zip(files, [*names[1:], "the last"], strict=True))):
        few.control.rename(file.remote_id, name)
    move_and_check(few, 6)


def test_a_name_that_changes_only_in_case_follows(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    few.control.rename(file.remote_id, file.name.upper())
    move_and_check(few, 1)
    assert path_key(file).endswith(file.name.upper())


def test_every_hostile_name_follows_to_every_other(few: Setting) -> None:
    files = [
        few.control.create(name, name.encode(), parents=[blobs_parent(few)])["id"]
        for name in HOSTILE_NAMES
    ]
    few.back_up()
    for remote_id in files:
        few.control.rename(remote_id, f"was {remote_id}")
    for remote_id, name in zip(files, [*HOSTILE_NAMES[1:], HOSTILE_NAMES[0]], strict=True):
        few.control.rename(remote_id, name)
    move_and_check(few, len(files))


def test_a_rename_with_new_content_at_once_keeps_the_old_bytes(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    before = Version.objects.get(file=file, current=True)
    old = {copy.destination_id: few.stored_bytes(copy) for copy in before.copies.all()}
    few.control.rename(file.remote_id, "renamed and new.txt")
    few.control.edit(file.remote_id, b"new content")
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    check_all(few)
    for copy in before.copies.all():
        assert "/.versions/" in copy.object_key
        assert "renamed and new" in copy.object_key
        assert few.stored_bytes(copy) == old[copy.destination_id]


def test_a_run_tells_of_what_went_to_googles_trash_and_counts_it_once(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    few.control.trash(file.remote_id)
    run = few.back_up()
    assert run.files_vanished == 1
    told = Event.objects.get(run=run, code="files_moved").message
    assert told.startswith("1 file of Drive gone from the source. 1 file of Drive moved or trashed")
    ended = Event.objects.get(run=run, code="run_ok").message
    assert "0 files stored, 1 gone from the source, 1 moved or trashed." in ended
    few.control.delete(file.remote_id)
    again = few.back_up()
    file.refresh_from_db()
    assert file.vanished_at is not None
    assert again.files_vanished == 0, "it was gone before"


def test_what_goes_to_the_trash_or_vanishes_is_moved_to_the_trash_and_back(few: Setting) -> None:
    few.back_up()
    trashed, gone = blobs(few)[:2]
    lay = {path_key(trashed), path_key(gone)}
    few.control.trash(trashed.remote_id)
    few.control.delete(gone.remote_id)
    run = few.back_up()
    assert (run.outcome, run.files_moved) == (Run.Outcome.OK, 2)
    assert (run.files_vanished, run.files_changed) == (2, 0)
    day = f"{timezone.now().astimezone(UTC):%Y-%m-%d}"
    kept = {key.replace("/files/", f"/.trash/{day}/") for key in lay}
    for destination in (few.folder, few.bucket):
        assert keys_of(trashed, destination) | keys_of(gone, destination) == kept
        there = {about.key for about in destination_for(destination).objects("drive/")}
        assert kept <= there
        assert not lay & there
    few.control.rename(trashed.parent_id, "another folder")
    assert few.back_up().files_moved == 38, "what is in the trash stays there"
    before = few.control.counters()["downloads"]
    few.control.untrash(trashed.remote_id)
    few.back_up()
    assert few.control.counters()["downloads"] == before, "nothing is read again"
    copies = Copy.objects.filter(version__file=trashed)
    assert {copy.object_key for copy in copies} == {path_key(trashed)}
    assert few.verify().outcome == Run.Outcome.OK


def keys_of(file: File, destination: Destination) -> set[str]:
    copies = Copy.objects.filter(version__file=file, destination=destination)
    return {copy.object_key for copy in copies}


def test_a_file_whose_key_is_kept_by_a_vanished_one_lies_beside_it(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.back_up()
    gone, file = blobs(few)[:2]
    few.control.delete(gone.remote_id)
    with monkeypatch.context() as patched:
        patched.setattr(moved, "note_files", lambda pks: None)  # its copies stay where they are
        few.back_up()
    File.objects.filter(pk=gone.pk).update(key_name="x", key_fold="x")
    few.control.rename(file.remote_id, gone.name)
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    beside = keys.apart(path_key(file), file.remote_id)
    assert {c.object_key for c in Copy.objects.filter(version__file=file)} == {beside}
    assert few.verify().outcome == Run.Outcome.OK


def test_rclone_sees_the_new_tree(few: Setting) -> None:
    few.back_up()
    few.control.rename(blobs(few)[0].parent_id, "Reisen & Fotos 2024")
    few.control.rename(blobs(few)[1].remote_id, "Straße é.bin")
    move_and_check(few, 40)
    options, secrets = few.bucket.options, json.loads(few.bucket.secrets)
    remote = (
        f":s3,provider=Other,endpoint='{options['endpoint']}',force_path_style=true,"
        f"access_key_id={secrets['access_key_id']},"
        f"secret_access_key={secrets['secret_access_key']}"
        f":{options['bucket']}/{options['prefix']}/drive/files"
    )
    command = [binary(), "--config", "", "hashsum", "sha256", "--download", remote]
    listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    found = {tuple(line.split("  ", 1)) for line in listed.split("\n") if line}
    wanted = {
        (Version.objects.get(file=file, current=True).sha256, path_key(file)[len("drive/files/") :])
        for file in blobs(few)
    }
    assert found == wanted


@pytest.mark.parametrize("how", ["switched off", "detached", "form", "administration"])
def test_a_destination_that_was_away_catches_up_with_moves(few: Setting, how: str) -> None:
    few.back_up()
    _keep_in(few, how, [few.folder])
    few.control.rename(blobs(few)[0].parent_id, "another folder")
    lay = shown(few.bucket)
    few.back_up()
    assert shown(few.bucket) == lay
    assert shown(few.folder) == {path_key(file) for file in blobs(few)}
    _keep_in(few, how, [few.folder, few.bucket])
    move_and_check(few, 40)


def test_one_that_was_away_within_a_single_backup_is_planned_for_anew(few: Setting) -> None:
    few.back_up()
    _keep_in(few, "form", [few.folder])
    _keep_in(few, "form", [few.folder, few.bucket])
    few.source.refresh_from_db()
    assert few.source.planned_for == [few.folder.pk]


def _keep_in(few: Setting, how: str, kept: list[Destination]) -> None:
    """Attach or switch on what is to be kept in, take away the rest."""
    if how in ("form", "administration"):
        _send_form(few, how, kept)
    elif how == "detached":
        act = source_setup.attach if few.bucket in kept else source_setup.detach
        act(few.source, few.bucket)
    else:
        destination_setup.switch(few.bucket, on=few.bucket in kept)


def _send_form(few: Setting, how: str, kept: list[Destination]) -> None:
    owner = few.source.owner
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    name = "source_edit" if how == "form" else "admin:syncapp_source_change"
    given = {"name": few.source.name, "destinations": [one.pk for one in kept]}
    plan = {"mode": "manual", "cron": "0 3 * * *", "reconcile_days": 7}
    answer = client.post(reverse(name, args=[few.source.pk]), given | plan)
    assert answer.status_code == 302, answer.content.decode()
    assert set(few.source.destinations.all()) == set(kept)
