"""Moves when something goes wrong: a destination down, a worker killed, an object gone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.destinations.local import LocalDestination
from syncapp.destinations.s3 import S3Destination
from syncapp.engine import dispatch, runs
from syncapp.engine.adapters import destination_for
from syncapp.engine.ledger import Ledger
from syncapp.errors import BackupError, IntegrityError, Unavailable
from syncapp.models import Breaker, Copy, Event, File, Lane, Run, Version
from tests.engine.conftest import Setting, make_setting
from tests.engine.tree import blobs, check_all, move_and_check, path_key, shown
from tests.servers import moto
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info, run_folder, shared


def down(
    monkeypatch: pytest.MonkeyPatch, *methods: str, error: type[BackupError] = Unavailable
) -> dict[str, bool]:
    """Make these calls of every bucket fail while the switch says so."""
    switch = {"down": True}
    for name in methods:
        real = getattr(S3Destination, name)
        monkeypatch.setattr(S3Destination, name, _failing(real, switch, error))
    return switch


def _failing(real: Any, switch: dict[str, bool], error: type[BackupError]) -> Any:
    def call(self: S3Destination, *args: Any, **more: Any) -> Any:
        if switch["down"]:
            raise error("The bucket does not do it.")
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
    assert (run.files_moved, run.outcome) == (0, Run.Outcome.FAILED)
    assert run.error_message == "40 files still under an old name at a destination."
    assert shown(few.folder) == {path_key(file) for file in blobs(few)}
    assert shown(few.bucket) == lay
    warned = Event.objects.get(code="move_put_off")
    assert warned.level == "warning"
    assert "40 files left under an old name" in warned.message
    assert File.objects.filter(move_due=True).count() == 40
    switch["down"] = False
    Breaker.objects.update(retry_at=timezone.now() + timedelta(hours=1))
    assert few.back_up().files_moved == 0, "the bucket is let alone for a while"
    Breaker.objects.update(retry_at=timezone.now())
    move_and_check(few, 40)
    assert Breaker.objects.get().state == Breaker.State.CLOSED


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
    # Of this kind, because a bucket that does not answer burns no attempts.
    switch = down(monkeypatch, "put", error=IntegrityError)
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


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Info]:
    with shared("moto", run_folder(tmp_path_factory.getbasetemp()), moto.start) as info:
        yield info


@pytest.fixture
def handful(
    kind: str,
    transactional_db: None,
    s3_server: Info,
    moto_server: Info,
    tmp_path: Path,
    settings: Any,
) -> Iterator[Setting]:
    """A few files; a bucket that keeps `versions` or a `plain` one."""
    info = s3_server if kind == "plain" else {**moto_server, "bucket": moto_server["versioned"]}
    with running_emulator("synthetic", files=4, file_size=2000) as google:
        yield make_setting(google, info, tmp_path, settings)


class Killed(BaseException):
    """The worker dies here."""


class Reaper:
    """Lets a worker die at its n-th step, and with it all of its threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self._lock = threading.Lock()
        for kind, names in {
            LocalDestination: ["copy", "delete", "head"],
            S3Destination: ["copy", "delete", "head"],
            Ledger: ["reserve", "swap", "freed", "settle"],
        }.items():
            for name in names:
                monkeypatch.setattr(kind, name, self._watched(getattr(kind, name)))

    def _watched(self, real: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            self._step()
            answer = real(*args, **more)
            self._step()
            return answer

        return call

    def _step(self) -> None:
        with self._lock:
            if self.left is None:
                return
            self.left = max(self.left - 1, 0)
            if not self.left:
                raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "versions"])
def test_whatever_step_a_worker_dies_at_the_next_one_carries_on(
    handful: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename, a swap of two names, and new content under a new name, each time from anew."""
    few = handful
    few.back_up()
    files = blobs(few)[:4]
    reaper = Reaper(monkeypatch)
    step = 0
    killed = True
    while killed:
        step += 1
        names = [file.name for file in files]
        few.control.rename(files[0].remote_id, f"name {step}.bin")
        few.control.rename(files[1].remote_id, "between")
        few.control.rename(files[2].remote_id, names[1])
        few.control.rename(files[1].remote_id, names[2])
        few.control.rename(files[3].remote_id, f"edited {step}.bin")
        few.control.edit(files[3].remote_id, f"content {step}".encode())
        run, _ = runs.request_backup(few.source)
        killed = False
        while not run.ended_at:
            dispatch.tick()
            for lane in Lane.objects.filter(run=run, owner="", ended_at__isnull=True):
                reaper.left = step if lane.stage == Run.Stage.MOVE and not killed else None
                try:
                    dispatch.work(lane.pk)
                except Killed:
                    killed = True
                reaper.left = None
            run.refresh_from_db()
        assert run.outcome == Run.Outcome.OK, run.error_message
        for file in files:
            file.refresh_from_db()
        check_all(few, read_back=False)
        for copy in Copy.objects.filter(version__file__in=files, version__current=True):
            data = few.stored_bytes(copy)
            assert hashlib.sha256(data).hexdigest() == copy.version.sha256
    assert few.verify().outcome == Run.Outcome.OK
    assert step > 20, "each step of a move was died at"
