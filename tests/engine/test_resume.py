"""A big upload that is cut off is gone on with: only the parts that the store lacks are sent."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.destinations.local_upload import LocalUpload
from syncapp.destinations.s3_upload import S3Upload
from syncapp.engine import dispatch, runs, uploads
from syncapp.engine.adapters import destination_for
from syncapp.models import Copy, Lane, PartialUpload, Run, UploadedPart, Version
from syncapp.types import Part
from tests.engine.conftest import Setting, make_setting
from tests.engine.in_time import in_a_thread
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info
from tests.servers.workers import running_workers, wait_until

MIB = 1024**2
SIZE = 200 * MIB
PARTS = SIZE // (8 * MIB)


@pytest.fixture
def one_big(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    with running_emulator("synthetic", files=1, big_file=SIZE) as google:
        yield make_setting(google, s3_server, tmp_path, settings)


class Sends:
    """Bytes of big parts sent by this process; `before` is called with each part's upload."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes: dict[type, int] = {S3Upload: 0, LocalUpload: 0}
        self.before: Callable[[Any], None] = lambda _: None
        for kind in (S3Upload, LocalUpload):
            self._watch(monkeypatch, kind)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
        real = kind.send

        def send(upload: Any, part: Part) -> str:
            self.before(upload)
            etag: str = real(upload, part)
            if part.size >= MIB:
                self.bytes[kind] += part.size
            return etag

        monkeypatch.setattr(kind, "send", send)


def begin(setting: Setting) -> tuple[Run, Lane]:
    """A run that has been scanned, and a lane for its transfers."""
    run, _ = runs.request_backup(setting.source)
    dispatch.tick()
    dispatch.work(Lane.objects.get(run=run).pk)
    dispatch.tick()
    lanes = Lane.objects.filter(run=run, stage="transfer", owner="", ended_at__isnull=True)
    return run, lanes[0]


def pause_midway(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, parts: int
) -> tuple[Run, Sends]:
    """A run that was paused with some parts sent; its lane has ended."""
    run, lane = begin(setting)
    sends = Sends(monkeypatch)
    sends.before = lambda _: threading.Event().wait(0.2) and None
    worker = in_a_thread(lambda: dispatch.work(lane.pk))
    wait_until(lambda: UploadedPart.objects.count() >= parts, 60, "parts")
    runs.pause(setting.source)
    worker.join(30)
    return run, sends


def parts_of(upload_id: int) -> int:
    return UploadedPart.objects.filter(upload_id=upload_id).count()


def assert_stored_and_right(setting: Setting) -> None:
    assert Copy.objects.filter(state="stored", version__size=SIZE).count() == 2
    assert setting.verify().outcome == Run.Outcome.OK
    assert not PartialUpload.objects.exists()
    later = datetime.now(UTC) + timedelta(minutes=1)
    for destination in (setting.folder, setting.bucket):
        assert destination_for(destination).sweep_uploads(later) == 0, "an upload was left behind"


def test_after_a_kill_the_next_worker_sends_only_what_is_lacking(
    one_big: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_big.control.add_fault("alt=media", drip_bytes_per_s=25 * MIB)
    run, _ = runs.request_backup(one_big.source)
    with running_workers(tmp_path, LEASE_SECONDS="4") as workers:
        wait_until(lambda: UploadedPart.objects.count() >= PARTS, 60, f"parts\n{workers.log}")
        assert workers.kill_one(random.Random(1), busy=True)
        runs.pause(one_big.source)
    one_big.control.clear_faults()
    known = sum(UploadedPart.objects.values_list("size", flat=True))
    assert known >= SIZE // 2
    runs.resume(one_big.source)
    Lane.objects.update(ended_at=timezone.now())
    Version.objects.update(lease_owner="", due_at=timezone.now())
    sends = Sends(monkeypatch)
    one_big.work(run)
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert sum(sends.bytes.values()) <= 2 * SIZE - known
    assert_stored_and_right(one_big)


def test_a_pause_stops_a_big_upload_within_two_seconds_and_keeps_its_parts(
    one_big: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, lane = begin(one_big)
    sends = Sends(monkeypatch)
    sends.before = lambda _: threading.Event().wait(0.4) and None
    worker = in_a_thread(lambda: dispatch.work(lane.pk))
    wait_until(lambda: UploadedPart.objects.count() >= 8, 60, "parts")
    runs.pause(one_big.source)
    began = time.monotonic()
    worker.join(30)
    seconds = time.monotonic() - began
    assert seconds < 3, "it took longer than 2 s and the lane's end"
    assert not worker.is_alive()
    sent = dict(sends.bytes)
    assert sum(UploadedPart.objects.values_list("size", flat=True)) == sum(sent.values())
    version = Version.objects.get(declared_size=SIZE)
    assert (version.state, version.attempts, version.lease_owner) == ("pending", 0, "")
    assert not list(Path(one_big.folder.options["path"]).rglob("big file.bin"))
    runs.resume(one_big.source)
    sends.before = lambda _: None
    one_big.work(run)
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert sends.bytes == {S3Upload: SIZE, LocalUpload: SIZE}, "no part was sent twice"
    assert_stored_and_right(one_big)


def test_a_part_that_the_store_has_lost_is_sent_again(
    one_big: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, sends = pause_midway(one_big, monkeypatch, 8)
    local = PartialUpload.objects.get(copy__destination=one_big.folder)
    path = next(Path(one_big.folder.options["path"]).rglob(local.upload_id))
    with path.open("r+b") as file:
        file.write(b"\0" * 100)
    for upload in PartialUpload.objects.filter(copy__destination=one_big.bucket):
        store = destination_for(one_big.bucket)
        store.sweep_uploads(datetime.now(UTC) + timedelta(minutes=1))
        assert parts_of(upload.pk)
    runs.resume(one_big.source)
    sends.before = lambda _: None
    sends.bytes = {S3Upload: 0, LocalUpload: 0}
    one_big.work(run)
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert sends.bytes[S3Upload] == SIZE, "the bucket had forgotten the upload"
    assert 0 < sends.bytes[LocalUpload] < SIZE
    assert_stored_and_right(one_big)


def test_an_unfinished_upload_is_kept_for_a_week_while_its_file_is_as_it_was(
    one_big: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause_midway(one_big, monkeypatch, 4)
    begun = PartialUpload.objects.get(copy__destination=one_big.bucket)
    assert uploads.worth_keeping(one_big.bucket) == {begun.upload_id}
    store = destination_for(one_big.bucket)
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert store.sweep_uploads(later, {begun.upload_id}) == 0
    PartialUpload.objects.update(started_at=timezone.now() - timedelta(days=8))
    assert uploads.worth_keeping(one_big.bucket) == set()
    assert store.sweep_uploads(later) == 1
    Version.objects.update(current=False)
    assert uploads.worth_keeping(one_big.folder) == set()
    assert not PartialUpload.objects.exists()


def test_an_upload_that_the_store_loses_is_sent_anew_in_the_same_run(
    one_big: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, lane = begin(one_big)
    sends = Sends(monkeypatch)
    bucket, once, forgotten = destination_for(one_big.bucket), threading.Lock(), []

    def lost(upload: Any) -> None:
        if isinstance(upload, S3Upload) and len(upload.sent) >= 5 and once.acquire(blocking=False):
            forgotten.append(bucket.sweep_uploads(datetime.now(UTC) + timedelta(minutes=1)))

    sends.before = lost
    dispatch.work(lane.pk)
    assert len(forgotten) == 1
    Version.objects.filter(size=SIZE).update(due_at=timezone.now())  # the wait before another try
    dispatch.tick()
    for another in Lane.objects.filter(run=run, owner="", ended_at=None):
        dispatch.work(another.pk)
    run.refresh_from_db()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert sends.bytes[LocalUpload] == SIZE
    assert sends.bytes[S3Upload] > SIZE
    assert_stored_and_right(one_big)
