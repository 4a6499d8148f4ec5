"""The main job on real parts: everything stored twice, or told why not."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.db import connection

from syncapp.engine import jobs
from syncapp.engine.keys import decode
from syncapp.models import Copy, Event, File, Finding, Run, Version
from tests.engine.conftest import Setting


def test_every_file_of_the_sample_account_is_stored_or_has_a_reason(sample: Setting) -> None:
    run = sample.back_up()
    assert run.outcome == Run.Outcome.WARNINGS, run.error_message
    truth = sample.truth()
    files = {f.remote_id: f for f in File.objects.filter(source=sample.source)}
    assert set(truth) <= set(files)
    for remote_id, entry in truth.items():
        file = files[remote_id]
        if file.content == "folder" or file.problem:
            continue
        version = Version.objects.get(file=file, current=True)
        if version.state == Version.State.REFUSED:
            assert version.error_code
            continue
        assert version.state == Version.State.STORED, (entry["name"], version.error_message)
        copies = list(Copy.objects.filter(version=version))
        assert len(copies) == 2
        for copy in copies:
            data = sample.stored_bytes(copy)
            assert hashlib.sha256(data).hexdigest() == version.sha256
            if entry.get("sha256"):
                assert version.sha256 == entry["sha256"], entry["name"]


def test_keys_mirror_the_folders_and_are_unique(sample: Setting) -> None:
    sample.back_up()
    stored = Copy.objects.filter(destination=sample.folder, state="stored")
    keys = list(stored.values_list("object_key", flat=True))
    assert len(set(keys)) == len(keys)
    files = {f.remote_id: f for f in File.objects.filter(source=sample.source)}
    named = 0
    for copy in stored.select_related("version__file"):
        parts = copy.object_key.split("/")
        assert parts[:2] == ["drive", "files"]
        assert all(len(part.encode()) <= 255 for part in parts)
        file = copy.version.file
        if parts[2] == "~deep" or file.extension or " ~" in parts[-1]:
            continue
        assert decode(parts[-1]) == file.name
        assert decode(parts[-2]) == files[file.parent_id].name or " ~" in parts[-2]
        named += 1
    assert named > 150


def test_the_keys_of_a_batch_are_written_in_one_transaction(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[bool] = []
    write = jobs.update_many

    def looking(*args: Any) -> None:
        inside.append(connection.in_atomic_block)
        write(*args)

    monkeypatch.setattr(jobs, "update_many", looking)
    assert few.back_up().files_done
    assert inside
    assert all(inside)


def test_second_run_reads_nothing_again(sample: Setting) -> None:
    sample.back_up()
    sample.control.reset_counters()
    again = sample.back_up()
    assert (again.files_new, again.files_changed, again.files_done) == (0, 0, 0)
    assert sample.control.counters()["downloads"] == {}
    assert again.outcome == Run.Outcome.WARNINGS


def test_each_file_is_read_once_for_both_destinations(few: Setting) -> None:
    few.control.reset_counters()
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    downloads = few.control.counters()["downloads"]
    assert len(downloads) == 40
    assert set(downloads.values()) == {1}
    assert Copy.objects.filter(state="stored").count() == 80


def test_an_edit_makes_a_new_version_and_keeps_the_old_bytes(few: Setting) -> None:
    few.back_up()
    file = File.objects.filter(content="blob").first()
    assert file is not None
    before = Version.objects.get(file=file)
    old = {c.destination_id: few.stored_bytes(c) for c in before.copies.all()}
    few.control.edit(file.remote_id, b"new content")
    run = few.back_up()
    assert (run.files_changed, run.files_done) == (1, 1)
    after = Version.objects.get(file=file, current=True)
    assert after.pk != before.pk
    for copy in after.copies.all():
        assert few.stored_bytes(copy) == b"new content"
    for copy in before.copies.all():
        assert "/.versions/" in copy.object_key or copy.store_version
        assert few.stored_bytes(copy) == old[copy.destination_id]


def test_a_vanished_file_keeps_its_copies(few: Setting) -> None:
    few.back_up()
    file = File.objects.filter(content="blob").first()
    assert file is not None
    few.control.delete(file.remote_id)
    run = few.back_up()
    assert run.files_vanished == 1
    file.refresh_from_db()
    assert file.vanished_at is not None
    for copy in Copy.objects.filter(version__file=file):
        assert few.stored_bytes(copy)


def test_an_incomplete_listing_marks_nothing_as_vanished(few: Setting) -> None:
    few.back_up()
    few.control.add_fault("/drive/v3/files", incomplete_search=True, count=100)
    run = few.back_up(full=True)
    assert run.outcome == Run.Outcome.FAILED
    assert not File.objects.filter(vanished_at__isnull=False).exists()
    assert Event.objects.filter(level="alert", code="run_failed").exists()


def test_verification_reads_every_copy_and_finds_damage(few: Setting) -> None:
    few.back_up()
    run = few.verify()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert run.files_done == 80
    assert Copy.objects.filter(state="verified").count() == 80
    hurt = Copy.objects.filter(destination=few.folder).first()
    assert hurt is not None
    path = f"{few.folder.options['path']}/{hurt.object_key}"
    with open(path, "r+b") as file:
        file.write(b"XX")
    run = few.verify()
    assert (run.outcome, run.files_failed) == (Run.Outcome.WARNINGS, 1)
    finding = Finding.objects.get()
    assert (finding.copy, finding.kind, finding.healed_from) == (hurt, "content", "Bucket")
    assert few.verify().outcome == Run.Outcome.OK
