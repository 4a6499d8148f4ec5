"""Restores through damage, outages, full disks, kills and cold storage."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.destinations.local import LocalDestination
from syncapp.engine import dispatch, restore_lane, restoring, runs
from syncapp.engine.beat import Beat
from syncapp.engine.restore_estimate import estimate
from syncapp.engine.restore_lane import Content
from syncapp.errors import ConfigurationError, PermanentError, Unavailable
from syncapp.models import Copy, Destination, Event, Finding, Lane, RestoreItem
from syncapp.restore_targets.base import Item
from syncapp.restore_targets.folder import FolderTarget
from tests.destinations.conftest import client_of, moto_server
from tests.engine.restores import items, one_lane, out, raising, request, tree, vault, work
from tests.engine.vault import SEEN, Vault
from tests.servers.shared import Info

__all__ = ["moto_server", "out", "vault"]
State = RestoreItem.State


def test_a_damaged_copy_is_healed_over_by_another_and_noted(vault: Vault, out: Path) -> None:
    data = os.urandom(2_500_000)
    version = vault.file("a.bin", data)
    vault.path(version, vault.destinations[0]).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    run = work(request(vault, out))

    assert (run.outcome, tree(out)) == ("ok", {"a.bin": data})
    item = RestoreItem.objects.get()
    assert (item.state, item.origin) == ("done", vault.destinations[1])
    assert Finding.objects.get().run == run


def test_what_can_not_be_restored_is_told_and_the_rest_comes(vault: Vault, out: Path) -> None:
    vault.file("good.txt", b"good")
    vault.file("lost.txt", b"lost", at=[])
    gone = vault.file("gone.txt", b"gone")
    for destination in vault.destinations:
        vault.path(gone, destination).unlink()

    run = work(request(vault, out))

    assert (run.outcome, run.error_code) == ("failed", "files_failed")
    assert (run.files_done, run.files_failed, run.files_refused) == (1, 1, 1)
    assert tree(out) == {"good.txt": b"good"}
    codes = dict(RestoreItem.objects.filter(state="failed").values_list("path", "error_code"))
    assert codes == {"lost.txt": "not_stored", "gone.txt": "not_stored"}
    vault.source.refresh_from_db()
    assert vault.source.blocked_code == ""


def test_an_outage_is_waited_for_and_the_restore_goes_on(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("a.txt", b"alpha")
    with monkeypatch.context() as patch:
        patch.setattr(LocalDestination, "read", raising(Unavailable("no answer")))
        run = request(vault, out)
        one_lane(run)
        item = RestoreItem.objects.get()
        assert (item.state, item.attempts, item.error_code) == ("pending", 1, "unavailable")
        assert item.due_at > timezone.now()
        assert "tried again" in restoring.waits_for(run)
        assert dispatch.top_up(run.pk) == 0, "nothing is due, so no lane is wanted"

    assert work(run).outcome == "ok"
    assert tree(out) == {"a.txt": b"alpha"}


def test_a_full_disk_pauses_the_run_with_the_reason_until_a_person_resumes_it(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("a.txt", b"alpha")
    full = ConfigurationError("The disk is full.", code="destination_full")
    with monkeypatch.context() as patch:
        patch.setattr(FolderTarget, "_write", raising(full))
        run = work(request(vault, out))
    assert (run.paused, run.error_code, run.ended_at) == (True, "destination_full", None)
    assert Event.objects.filter(level="alert", code="run_paused", run=run).count() == 1
    assert dispatch.top_up(run.pk) == 0

    assert runs.resume_run(run)
    assert work(run).outcome == "ok"
    assert tree(out) == {"a.txt": b"alpha"}
    assert not Event.objects.filter(level="alert", acknowledged_at__isnull=True).exists()


def test_a_target_that_can_not_be_used_pauses_the_run_and_blocks_no_source(
    vault: Vault, out: Path
) -> None:
    vault.file("a.txt", b"alpha")
    run = request(vault, out)
    out.write_text("a file, not a folder")

    run = work(run)

    assert run.paused
    assert "is not a folder" in run.error_message
    vault.source.refresh_from_db()
    assert vault.source.blocked_code == ""


def test_a_cancelled_restore_leaves_no_unfinished_file(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("a.txt", b"alpha")
    run = request(vault, out)
    real = FolderTarget._write

    def cancelled(self: FolderTarget, *arguments: Any) -> None:
        runs.cancel(run)
        real(self, *arguments)

    monkeypatch.setattr(FolderTarget, "_write", cancelled)
    one_lane(run)

    run.refresh_from_db()
    assert run.outcome == "cancelled"
    assert not list(out.glob(".restoring*"))


def test_a_disk_that_is_not_mounted_any_more_is_not_replaced_by_what_lies_below(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.RESTORES_IN_FLIGHT = 1
    for number in range(4):
        vault.file(f"{number}.txt", b"data %d" % number)
    away = out.with_name("unmounted")
    real = FolderTarget._name

    def unmounts(self: FolderTarget, *arguments: Any) -> Any:
        placed = real(self, *arguments)
        out.rename(away)
        out.mkdir()
        return placed

    with monkeypatch.context() as patch:
        patch.setattr(FolderTarget, "_name", unmounts)
        run = work(request(vault, out))
    assert (run.paused, run.error_code) == (True, "not_mounted")
    runs.resume_run(run)
    assert work(run).error_code == "not_mounted"
    assert tree(out) == {}

    out.rmdir()
    away.rename(out)
    runs.resume_run(run)

    assert work(run).outcome == "ok"
    assert tree(out) == {f"{n}.txt": b"data %d" % n for n in range(4)}


def test_a_lane_that_is_to_end_goes_on_beside_a_file_that_takes_long(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.RESTORES_IN_FLIGHT = 2
    monkeypatch.setattr(restore_lane, "LONG_S", 0.0)
    monkeypatch.setattr(Beat, "may_take", lambda beat: not beat.halted() and not over.is_set())
    for number in range(6):
        vault.file(f"{number}.txt", b"data %d" % number)
    over, others = threading.Event(), threading.Semaphore(0)
    real = FolderTarget._write

    def write(self: FolderTarget, at: int, name: str, item: Item, content: Content) -> None:
        over.set()
        if item.path == ("0.txt",):
            for _ in range(5):
                assert others.acquire(timeout=20), "the others wait for the long one"
        real(self, at, name, item, content)
        others.release()

    monkeypatch.setattr(FolderTarget, "_write", write)
    run = request(vault, out)

    one_lane(run)

    assert set(items(run).values()) == {"done"}


class Killed(BaseException):
    """The process ends here."""


def dying(real: Callable[..., Any], calls: int) -> Callable[..., Any]:
    left = iter(range(calls - 1))

    def dies(*arguments: Any, **more: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return real(*arguments, **more)

    return dies


@pytest.mark.parametrize("where", ["os.fsync", "os.link", "os.unlink"])
def test_after_a_kill_at_any_step_each_file_is_there_once_and_whole(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch, where: str, settings: Any
) -> None:
    settings.RESTORES_IN_FLIGHT = 1
    for number in range(6):
        vault.file(f"{number}.txt", b"data %d" % number)
    run = request(vault, out, collision="rename")
    name = where.split(".")[1]
    for calls in (3, 5, 2):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, dying(getattr(os, name), calls))
            try:
                one_lane(run)
            except Killed:
                Lane.objects.filter(run=run).update(ended_at=timezone.now())

    assert work(run).outcome == "ok"
    assert tree(out) == {f"{n}.txt": b"data %d" % n for n in range(6)}
    assert (run.files_done, run.files_there) == (6, 0), "what it wrote before a kill is restored"


def test_a_plan_that_was_cut_off_is_made_anew(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        vault.file(f"{number}.txt", b"data")
    run = request(vault, out)
    with monkeypatch.context() as patch:
        patch.setattr("syncapp.engine.restore_plan.never_stored", raising(Killed()))
        with pytest.raises(Killed):
            one_lane(run)
    Lane.objects.filter(run=run).update(ended_at=timezone.now())

    assert work(run).outcome == "ok"
    assert RestoreItem.objects.count() == 7


def test_a_lane_that_was_replaced_writes_nothing_more(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("a.txt", b"alpha")
    run = request(vault, out)
    dispatch.top_up(run.pk)
    lane = Lane.objects.get(run=run)
    real = FolderTarget.name

    def replaced(self: FolderTarget, *arguments: Any) -> Any:
        placed = real(self, *arguments)
        Lane.objects.filter(pk=lane.pk).update(ended_at=timezone.now())
        return placed

    with monkeypatch.context() as patch:
        patch.setattr(FolderTarget, "name", replaced)
        dispatch.work(lane.pk)
    assert items(run) == {"a.txt": "pending"}

    assert work(run).outcome == "ok"


def test_what_lies_in_cold_storage_is_asked_back_waited_for_and_restored(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("cold.txt", b"brr", at=vault.destinations[:1])
    thawed: list[tuple[str, int]] = []
    real = LocalDestination.read

    def read(self: LocalDestination, key: str, **how: Any) -> Any:
        if len(thawed) < 3:
            raise PermanentError("It is archived.", code="archived")
        return real(self, key, **how)

    monkeypatch.setattr(LocalDestination, "read", read)
    monkeypatch.setattr(
        LocalDestination, "thaw", lambda _, key, **more: thawed.append((key, more["days"]))
    )
    run = request(vault, out)
    waits = []
    for _ in range(3):
        one_lane(run)
        item = RestoreItem.objects.get()
        assert item.state == State.THAWING
        waits.append(item.due_at - timezone.now())
        assert "cold storage" in restoring.waits_for(run)
        RestoreItem.objects.update(due_at=timezone.now())

    assert work(run).outcome == "ok"
    assert tree(out) == {"cold.txt": b"brr"}
    assert waits == sorted(waits)
    assert waits[0] > timedelta(minutes=4)
    assert Event.objects.filter(code="restore_thawing").count() == 1


def test_a_bucket_s_archived_object_is_thawed_and_restored(
    vault: Vault, out: Path, moto_server: Info
) -> None:
    version = vault.file("cold.txt", b"brr", at=[])
    bucket = Destination.objects.create(
        owner=vault.source.owner,
        name="Glacier",
        kind="s3",
        options={
            "provider": "other",
            "endpoint": moto_server["endpoint"],
            "bucket": moto_server["bucket"],
            "prefix": f"cold-{version.pk}",
        },
        secrets=json.dumps(
            {
                "access_key_id": moto_server["access_key"],
                "secret_access_key": moto_server["secret_key"],
            }
        ),
    )
    client_of(moto_server).put_object(
        Bucket=moto_server["bucket"],
        Key=f"cold-{version.pk}/k",
        Body=b"brr",
        StorageClass="DEEP_ARCHIVE",
    )
    Copy.objects.create(
        version=version, destination=bucket, state="stored", object_key="k", stored_at=SEEN
    )
    before = estimate(vault.source)
    run = request(vault, out)

    one_lane(run)

    assert (before.frozen, before.thaw_seconds) == (1, 12 * 3600)
    item = RestoreItem.objects.get()
    assert (item.state, item.origin) == (State.THAWING, bucket)
    assert work(run).outcome == "ok"
    assert tree(out) == {"cold.txt": b"brr"}
