"""Renames and moves at the source follow at the destinations, and nothing is read for them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncapp.destinations.s3 import S3Destination
from syncapp.engine import dispatch, keys, runs
from syncapp.engine.adapters import destination_for
from syncapp.engine.folders import Folders
from syncapp.errors import Unavailable
from syncapp.models import Copy, Destination, Event, File, Lane, Run, Version
from tests.destinations.samples import HOSTILE_NAMES
from tests.engine.conftest import Setting, make_setting
from tests.servers import ceph, moto
from tests.servers.emulator import running_emulator
from tests.servers.rclone_s3 import binary
from tests.servers.shared import Info, run_folder, shared


def blobs(setting: Setting) -> list[File]:
    return list(File.objects.filter(source=setting.source, content="blob").order_by("pk"))


def path_key(file: File) -> str:
    """The key of a file's current content by its path now."""
    file.refresh_from_db()
    folders = Folders(file.source_id)
    return keys.file_key("drive", folders.components(file.parent_id), file.key_name, file.remote_id)


def shown(destination: Destination) -> set[str]:
    """What a listing of a destination's tree shows."""
    return {info.key for info in destination_for(destination).objects("drive/files/")}


def move_and_check(setting: Setting, moved: int) -> Run:
    """A backup that moves so many files, reads nothing, and leaves everything right."""
    setting.control.reset_counters()
    run = setting.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert run.files_moved == moved
    assert setting.control.counters()["downloads"] == {}
    check_all(setting)
    return run


def check_all(setting: Setting) -> None:
    """Every copy lies under its path with the right bytes, and nothing else is shown."""
    truth = setting.truth()
    files = File.objects.filter(source=setting.source).exclude(content="folder")
    wanted = {path_key(file) for file in files}
    for destination in setting.source.destinations.all():
        assert shown(destination) == wanted
    for version in Version.objects.filter(current=True).select_related("file"):
        sha256 = truth[version.file.remote_id]["sha256"]
        assert version.sha256 == sha256
        for copy in version.copies.all():
            assert copy.state in ("stored", "verified")
            assert (copy.object_key, copy.old_key) == (path_key(version.file), "")
    assert not File.objects.filter(source=setting.source, move_due=True).exists()
    assert not Copy.objects.exclude(old_key="").exists()
    verified = setting.verify()
    assert verified.outcome == Run.Outcome.OK, verified.error_message


def test_a_renamed_file_follows_at_both_destinations_without_a_download(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    few.control.rename(file.remote_id, "a new name.txt")
    move_and_check(few, 1)
    assert path_key(file).endswith("/a new name.txt")
    told = Event.objects.get(code="files_moved")
    assert "1 files of Drive moved, no byte read from Google" in told.message


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


def blobs_parent(setting: Setting) -> str:
    """The folder in which the synthetic files lie."""
    entry = next(e for e in setting.control.manifest() if e["name"].endswith(".bin"))
    return str(entry["parents"][0])


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


def test_what_is_in_the_trash_or_gone_stays_where_it_is(few: Setting) -> None:
    few.back_up()
    trashed, gone = blobs(few)[:2]
    lay = {path_key(trashed), path_key(gone)}
    few.control.trash(trashed.remote_id)
    few.control.delete(gone.remote_id)
    few.control.rename(trashed.parent_id, "another folder")
    run = few.back_up()
    assert run.files_moved == 38
    for destination in (few.folder, few.bucket):
        assert lay <= shown(destination)
    few.control.untrash(trashed.remote_id)
    few.back_up()
    copies = Copy.objects.filter(version__file=trashed)
    assert {copy.object_key for copy in copies} == {path_key(trashed)}


def test_a_file_whose_key_is_kept_by_a_vanished_one_lies_beside_it(few: Setting) -> None:
    few.back_up()
    gone, file = blobs(few)[:2]
    few.control.delete(gone.remote_id)
    few.back_up()
    File.objects.filter(pk=gone.pk).update(key_name="x", key_fold="x")
    few.control.rename(file.remote_id, gone.name)
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    beside = keys.apart(path_key(file), file.remote_id)
    assert {c.object_key for c in Copy.objects.filter(version__file=file)} == {beside}
    assert few.verify().outcome == Run.Outcome.OK


def down(monkeypatch: pytest.MonkeyPatch, *methods: str) -> dict[str, bool]:
    """Make these calls of every bucket fail while the switch says so."""
    switch = {"down": True}
    for name in methods:
        monkeypatch.setattr(S3Destination, name, _failing(getattr(S3Destination, name), switch))
    return switch


def _failing(real: Any, switch: dict[str, bool]) -> Any:
    def call(self: S3Destination, *args: Any, **more: Any) -> Any:
        if switch["down"]:
            raise Unavailable("The bucket does not answer.")
        return real(self, *args, **more)

    return call


def test_one_destination_down_does_not_hold_up_the_other(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.back_up()
    few.control.rename(blobs(few)[0].parent_id, "another folder")
    lay = shown(few.bucket)
    switch = down(monkeypatch, "copy")
    run = few.back_up()
    assert run.files_moved == 0
    assert shown(few.folder) == {path_key(file) for file in blobs(few)}
    assert shown(few.bucket) == lay
    warned = Event.objects.get(code="move_put_off")
    assert warned.level == "warning"
    assert "40 files stay under their old names" in warned.message
    assert File.objects.filter(move_due=True).count() == 40
    switch["down"] = False
    move_and_check(few, 40)


def test_new_content_is_stored_even_where_the_move_was_put_off(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.back_up()
    file = blobs(few)[0]
    few.control.rename(file.remote_id, "renamed and new.txt")
    few.control.edit(file.remote_id, b"new content")
    switch = down(monkeypatch, "copy")
    few.back_up()
    switch["down"] = False
    few.back_up()
    check_all(few)


def test_a_copy_that_failed_so_far_is_stored_under_the_new_name_only(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = down(monkeypatch, "put")
    few.back_up()
    assert Copy.objects.filter(destination=few.bucket, state="failed").count() == 40
    few.control.rename(blobs(few)[0].parent_id, "another folder")
    switch["down"] = False
    few.control.reset_counters()
    assert few.back_up().outcome == Run.Outcome.OK
    check_all(few)


def test_what_a_killed_worker_sent_under_the_old_name_is_removed_later(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    Copy.objects.filter(version__file=file, destination=few.bucket).update(state="pending")
    Version.objects.filter(file=file).update(state="pending")
    few.control.rename(file.remote_id, "renamed.bin")
    few.back_up()
    assert len(shown(few.bucket)) == 41, "nothing is removed before the copy is stored"
    few.back_up()
    check_all(few)


def test_an_object_that_is_gone_is_stored_anew_under_the_new_name(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    lost = Copy.objects.get(version__file=file, destination=few.bucket)
    destination_for(few.bucket).delete(lost.object_key)
    few.control.rename(file.remote_id, "renamed.bin")
    few.control.reset_counters()
    assert few.back_up().outcome == Run.Outcome.OK
    assert few.control.counters()["downloads"] == {file.remote_id: 1}
    assert Event.objects.filter(code="moved_objects_missing").exists()
    check_all(few)


def test_a_paused_move_goes_on_when_resumed(few: Setting) -> None:
    few.back_up()
    few.control.rename(blobs(few)[0].parent_id, "another folder")
    run, _ = runs.request_backup(few.source)
    while run.stage != Run.Stage.MOVE:
        dispatch.tick()
        dispatch.work(Lane.objects.filter(run=run, ended_at__isnull=True)[0].pk)
        run.refresh_from_db()
    runs.pause(few.source)
    dispatch.tick()
    runs.resume(few.source)
    few.work(run)
    assert run.files_moved == 40
    check_all(few)


def versioned_setting(info: Info, folder: Path, settings: Any) -> Iterator[Setting]:
    with running_emulator("synthetic", files=6, file_size=5000) as google:
        yield make_setting(google, {**info, "bucket": info["versioned"]}, folder, settings)


@pytest.fixture(params=["moto", pytest.param("ceph", marks=pytest.mark.needs("ceph"))])
def versioned(
    request: pytest.FixtureRequest,
    transactional_db: None,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    settings: Any,
) -> Iterator[Setting]:
    """A few files, and a bucket that keeps versions."""
    server = {"moto": moto, "ceph": ceph}[request.param]
    with shared(request.param, run_folder(tmp_path_factory.getbasetemp()), server.start) as info:
        yield from versioned_setting(info, tmp_path, settings)


def test_a_versioned_bucket_keeps_every_old_version_reachable(versioned: Setting) -> None:
    versioned.back_up()
    file = blobs(versioned)[0]
    contents = {Version.objects.get(file=file, current=True).pk: None}
    contents = {pk: versioned.control.content(file.remote_id) for pk in contents}
    for number in range(3):
        data = f"content {number}".encode()
        versioned.control.rename(file.remote_id, f"name {number}.txt")
        if number != 1:
            versioned.control.edit(file.remote_id, data)
        assert versioned.back_up().outcome == Run.Outcome.OK
        contents[Version.objects.get(file=file, current=True).pk] = versioned.control.content(
            file.remote_id
        )
    assert len(contents) == 3
    check_all(versioned)
    for copy in Copy.objects.filter(version__file=file, destination=versioned.bucket):
        store = destination_for(versioned.bucket)
        with store.read(copy.object_key, version_id=copy.store_version) as chunks:
            assert b"".join(chunks) == contents[copy.version_id]


def test_another_file_takes_a_name_whose_old_versions_are_kept(versioned: Setting) -> None:
    versioned.back_up()
    first, second = blobs(versioned)[:2]
    name = first.name
    versioned.control.edit(first.remote_id, b"second version")
    versioned.back_up()
    versioned.control.rename(first.remote_id, "elsewhere.txt")
    versioned.back_up()
    versioned.control.rename(second.remote_id, name)
    versioned.back_up()
    check_all(versioned)
    assert path_key(second).endswith(f"/{name}")


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
