"""Pruning and erasing after real backups: Google's stand-in, a folder, a bucket with versions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import runs
from syncapp.engine.adapters import destination_for
from syncapp.engine.erase import request_erasure
from syncapp.models import Copy, ErasedObject, Erasure, File, Policy, Run, Version
from tests.destinations.test_removal import locked_bucket
from tests.engine.conftest import Setting
from tests.engine.test_move_versions import versioned, versioned_setting  # noqa: F401
from tests.engine.tree import blobs, check_all
from tests.servers import ceph
from tests.servers.shared import run_folder, shared

LONG_AGO = timedelta(days=90)


def objects_of(setting: Setting, file: File) -> int:
    """How many objects, old versions too, bear the file's id anywhere."""
    count = 0
    for row in (setting.folder, setting.bucket):
        store = destination_for(row)
        for info in store.versions("drive/"):
            about = None if info.marker else store.head(info.key, version_id=info.version_id)
            if about is not None:
                count += about.metadata.get("remote-id") == file.remote_id
    return count


def edited(setting: Setting, file: File, times: int) -> list[Version]:
    """The file after so many edits and renames, each backed up."""
    for number in range(times):
        setting.control.edit(file.remote_id, f"content {number}".encode())
        setting.control.rename(file.remote_id, f"name {number}.txt")
        assert setting.back_up().outcome in runs.GOOD
    return list(file.versions.order_by("first_seen_at"))


def test_pruned_versions_leave_nothing_and_the_others_read_as_ever(versioned: Setting) -> None:  # noqa: F811
    versioned.back_up()
    file = blobs(versioned)[0]
    versions = edited(versioned, file, 3)
    Policy.objects.create(owner=versioned.source.owner, keep="rules", keep_last=2)

    run, _ = runs.request_prune(versioned.source)
    assert versioned.work(run).outcome == Run.Outcome.OK

    left = list(file.versions.order_by("first_seen_at"))
    assert left == versions[-2:]
    assert objects_of(versioned, file) == 4
    check_all(versioned)
    for copy in Copy.objects.filter(version=left[0]):
        with destination_for(copy.destination).read(
            copy.object_key, version_id=copy.store_version
        ) as chunks:
            assert b"".join(chunks) == b"content 1"

    versioned.control.trash(file.remote_id)
    versioned.back_up()
    File.objects.filter(pk=file.pk).update(trashed_at=timezone.now() - LONG_AGO)
    run, _ = runs.request_prune(versioned.source)
    versioned.work(run)
    assert objects_of(versioned, file) == 0
    versioned.control.untrash(file.remote_id)
    versioned.back_up()
    check_all(versioned)
    assert objects_of(versioned, file) == 2


def test_what_was_erased_does_not_come_back(versioned: Setting) -> None:  # noqa: F811
    versioned.back_up()
    file = blobs(versioned)[0]
    edited(versioned, file, 2)
    assert objects_of(versioned, file) >= 6
    name = File.objects.get(pk=file.pk).name
    erasure = Erasure.objects.create(
        owner=versioned.source.owner,
        source=versioned.source,
        source_name="Drive",
        what=name,
        files=[file.pk],
    )

    run = versioned.work(request_erasure(versioned.source, erasure))

    assert run.outcome == Run.Outcome.OK, run.error_message
    assert objects_of(versioned, file) == 0
    assert not ErasedObject.objects.filter(absent_at__isnull=True).exists()
    versioned.control.edit(file.remote_id, b"new secret")
    for full in (False, True):
        assert versioned.back_up(full=full).outcome in runs.GOOD
    row = File.objects.get(remote_id=file.remote_id)
    assert (row.name, row.problem) == ("(erased)", "erased")
    assert objects_of(versioned, file) == 0
    assert not row.versions.exists()


@pytest.fixture
def locking(
    transactional_db: None,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    settings: Any,
) -> Iterator[Setting]:
    """A few files, and a bucket that protects all that is written for a day."""
    with shared("ceph", run_folder(tmp_path_factory.getbasetemp()), ceph.start) as info:
        yield from versioned_setting({**info, "versioned": locked_bucket(info)}, tmp_path, settings)


@pytest.mark.needs("ceph")
def test_a_locked_bucket_keeps_what_is_pruned_and_refuses_an_erasure(locking: Setting) -> None:
    locking.back_up()
    file = blobs(locking)[0]
    edited(locking, file, 2)
    Policy.objects.create(owner=locking.source.owner, keep="rules", keep_last=1)

    run, _ = runs.request_prune(locking.source)
    assert locking.work(run).outcome == Run.Outcome.OK
    copies = Copy.objects.filter(version__file=file, version__current=False)
    assert {copy.destination_id for copy in copies} == {locking.bucket.pk}
    tomorrow = timezone.now() + timedelta(days=1)
    for copy in copies:
        assert copy.state == Copy.State.STORED
        assert copy.locked_until is not None
        assert abs(copy.locked_until - tomorrow) < timedelta(minutes=5)

    before = objects_of(locking, file)
    erasure = Erasure.objects.create(
        owner=locking.source.owner, source=locking.source, what="it", files=[file.pk]
    )
    run = locking.work(request_erasure(locking.source, erasure))
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "object_locked")
    assert f"{tomorrow:%Y-%m-%d}" in run.error_message
    assert objects_of(locking, file) == before
    assert locking.back_up().outcome == Run.Outcome.OK
