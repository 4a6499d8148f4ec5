"""Whatever is done to an object at a destination is found, reported and healed."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import copying, dispatch, heal, health, runs
from syncapp.models import Copy, Destination, Event, File, Finding, Lane, Policy, Run
from syncapp.types import ObjectMeta
from tests.engine.vault import Vault, part_of
from tests.servers import moto
from tests.servers.shared import Info, run_folder, shared

META = ObjectMeta(datetime(2025, 5, 17, tzinfo=UTC), "id")
KINDS = ["folder", "bucket", "versioned"]


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path) -> Vault:
    return Vault.make(tmp_path, "one", "two")


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Info]:
    with shared("moto", run_folder(tmp_path_factory.getbasetemp()), moto.start) as info:
        yield info


@pytest.fixture(params=KINDS)
def kept(
    request: pytest.FixtureRequest,
    transactional_db: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Vault:
    """Kept in a folder, and in a second place of each kind."""
    monkeypatch.setattr("syncapp.engine.census.YOUNG", timedelta(0))
    if request.param == "folder":
        return Vault.make(tmp_path, "one", "two")
    info = request.getfixturevalue("bucket_server")
    vault = Vault.make(tmp_path, "one")
    secrets = {"access_key_id": info["access_key"], "secret_access_key": info["secret_key"]}
    options = {
        "provider": "other",
        "endpoint": info["endpoint"],
        "bucket": info[request.param],
        "prefix": f"v-{uuid.uuid4().hex[:10]}",
    }
    bucket = Destination.objects.create(
        owner=vault.source.owner,
        name="two",
        kind="s3",
        options=options,
        secrets=json.dumps(secrets),
    )
    vault.attach(bucket)
    return vault


def verify(vault: Vault, *, everything: bool = False) -> Run:
    run, _ = runs.request_verify(vault.source, everything=everything)
    return work(run)


def work(run: Run) -> Run:
    for _ in range(10):
        run.refresh_from_db()
        if run.ended_at:
            return run
        dispatch.tick()
        for lane in Lane.objects.filter(run=run, owner="", ended_at__isnull=True):
            dispatch.work(lane.pk)
    raise AssertionError(f"the run did not end: {run.stage} {run.error_message}")


def shown(store: Store, key: str) -> bytes:
    with store.read(key) as chunks:
        return b"".join(chunks)


def put(store: Store, key: str, data: bytes) -> None:
    store.put(key, part_of(data), META)


def corrupt(store: Store, key: str, other: str) -> None:
    put(store, key, bytes(len(shown(store, key))))


def truncate(store: Store, key: str, other: str) -> None:
    put(store, key, shown(store, key)[:-1])


def swap(store: Store, key: str, other: str) -> None:
    mine, theirs = shown(store, key), shown(store, other)
    put(store, key, theirs)
    put(store, other, mine)


def delete(store: Store, key: str, other: str) -> None:
    store.delete(key)


def delete_for_ever(store: Store, key: str, other: str) -> None:
    info = store.head(key)
    assert info is not None
    store.delete(key, version_id=info.version_id)


def roll_back(store: Store, key: str, other: str) -> None:
    put(store, key, b"older content")


FAULTS = [corrupt, truncate, swap, delete, delete_for_ever, roll_back]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_fault_is_found_healed_and_reported(
    kept: Vault, fault: Callable[[Store, str, str], None]
) -> None:
    two = kept.destinations[1]
    first, second = kept.file("a.txt", b"newer content"), kept.file("b.txt", b"other content")
    assert verify(kept).outcome == Run.Outcome.OK
    Copy.objects.update(stored_at=timezone.now() - timedelta(hours=2), verified_at=None)
    keys = {v.pk: v.copies.get(destination=two).object_key for v in (first, second)}
    store = kept.store(two)
    fault(store, *keys.values())

    run = verify(kept)

    assert run.outcome == Run.Outcome.WARNINGS, run.error_message
    found = Finding.objects.filter(run=run)
    assert found.count() == (2 if fault is swap else 1)
    assert all(f.healed_at and f.healed_from for f in found)
    for version, data in ((first, b"newer content"), (second, b"other content")):
        copy = version.copies.get(destination=two)
        assert copy.state in (Copy.State.STORED, Copy.State.VERIFIED)
        assert shown(store, copy.object_key) == data
        with store.read(copy.object_key, version_id=copy.store_version) as chunks:
            assert b"".join(chunks) == data
    assert Event.objects.filter(code__in=["copy_healed", "copy_uncovered"]).exists()
    assert not Event.objects.filter(level="alert", acknowledged_at=None).exists()
    assert verify(kept, everything=True).outcome == Run.Outcome.OK


def test_old_versions_and_deleted_files_are_healed_too(kept: Vault) -> None:
    two = kept.destinations[1]
    old = kept.file("a.txt", b"the first content")
    kept.version(old.file, b"the second content")
    gone = kept.file("gone.txt", b"gone at Google")
    File.objects.filter(pk=gone.file_id).update(vanished_at=timezone.now())
    store = kept.store(two)
    for version in (old, gone):
        copy = version.copies.get(destination=two)
        store.delete(copy.object_key, version_id=copy.store_version)
    run = verify(kept)
    assert run.outcome == Run.Outcome.WARNINGS, run.error_message
    for version, data in ((old, b"the first content"), (gone, b"gone at Google")):
        copy = version.copies.get(destination=two)
        with store.read(copy.object_key, version_id=copy.store_version) as chunks:
            assert b"".join(chunks) == data
    assert list(Finding.objects.values_list("kind", "healed_from").distinct()) == [
        ("missing", "one")
    ]


def test_an_old_version_made_anew_does_not_lie_over_its_file(kept: Vault) -> None:
    two = kept.destinations[1]
    old = kept.file("a.txt", b"the first content")
    new = kept.version(old.file, b"the second content")
    store, key = kept.store(two), new.copies.get(destination=two).object_key
    copy = old.copies.get(destination=two)
    store.delete(copy.object_key, version_id=copy.store_version)
    # As a bucket that keeps versions has them: both under one key.
    Copy.objects.filter(pk=copy.pk).update(object_key=key, store_version="an-id-that-is-gone")
    verify(kept, everything=True)
    copy.refresh_from_db()
    assert copy.object_key.startswith("drive/.versions/")
    assert shown(store, copy.object_key) == b"the first content"
    assert shown(store, key) == b"the second content"


def test_bits_that_rot_in_silence_are_found_by_reading(vault: Vault) -> None:
    version = vault.file("a.txt", b"as it was stored")
    path = vault.path(version, vault.destinations[0])
    was = path.stat()
    path.write_bytes(b"as it was strored"[:16])
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    run = verify(vault, everything=True)
    assert (run.outcome, run.files_failed) == (Run.Outcome.WARNINGS, 1)
    assert Finding.objects.get().kind == Finding.Kind.CONTENT
    assert path.read_bytes() == b"as it was stored"


def test_what_no_destination_has_is_said_to_be_lost(vault: Vault) -> None:
    old = vault.file("a.txt", b"the first content")
    new = vault.version(old.file, b"the second content")
    for version in (old, new):
        for destination in vault.destinations:
            vault.path(version, destination).unlink()
    run = verify(vault)
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "copies_damaged")
    assert "The next backup makes 2 damaged copies anew from Google" in run.error_message
    assert "1 of these versions have no good copy anywhere" in run.error_message
    assert Event.objects.filter(level="alert", code="copies_lost", acknowledged_at=None).exists()
    assert Run.objects.get(kind=Run.Kind.BACKUP).trigger == Run.Trigger.DAMAGE
    assert not Finding.objects.filter(healed_at__isnull=False).exists()


def test_a_copy_that_was_lost_and_is_put_back_is_good_again(vault: Vault) -> None:
    """As from an old disk: with another time, and nothing but its bytes to tell what it is."""
    put_back, wrong = vault.file("a.txt", b"the content"), vault.file("b.txt", b"another one")
    paths = [vault.path(v, d) for v in (put_back, wrong) for d in vault.destinations]
    for path in paths:
        path.unlink()
    assert verify(vault).outcome == Run.Outcome.FAILED
    paths[0].write_bytes(b"the content")
    paths[2].write_bytes(b"ANOTHER ONE")
    told = Event.objects.filter(code="copy_damaged").count()

    run = verify(vault)

    assert run.files_failed == 1
    states = put_back.copies.order_by("pk").values_list("state", flat=True)
    assert list(states) == [Copy.State.VERIFIED, Copy.State.STORED], "healed by the one put back"
    assert set(wrong.copies.values_list("state", flat=True)) == {Copy.State.DAMAGED}
    assert not Finding.objects.filter(copy__version=put_back, healed_at=None).exists()
    assert Finding.objects.filter(copy__version=wrong, healed_at=None).count() == 2
    assert Event.objects.filter(code="copy_damaged").count() == told


def test_foreign_objects_are_reported_once_and_left_alone(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("a.txt")
    store = vault.store(vault.destinations[0])
    put(store, "drive/files/not ours", b"mine")
    put(store, "another/thing", b"of another program")
    os.utime(Path(vault.destinations[0].options["path"]) / "drive/files/not ours")
    assert verify(vault).outcome == Run.Outcome.OK, "it may be of a transfer under way"
    monkeypatch.setattr("syncapp.engine.census.YOUNG", timedelta(0))
    for _ in range(2):
        run = verify(vault)
        assert run.outcome == Run.Outcome.WARNINGS
        assert Finding.objects.get().object_key == "drive/files/not ours"
    assert shown(store, "drive/files/not ours") == b"mine"
    store.delete("drive/files/not ours")
    assert verify(vault).outcome == Run.Outcome.OK
    assert Finding.objects.get().healed_from == "gone"


def test_a_day_reads_its_share_oldest_first(vault: Vault) -> None:
    Policy.objects.create(owner=vault.source.owner, source=vault.source, verify_days=5)
    versions = [vault.file(f"{n}.txt", b"some content") for n in range(10)]
    copies = list(Copy.objects.filter(version__in=versions).order_by("pk"))
    for n, copy in enumerate(copies):
        at = timezone.now() - timedelta(days=30 - n)
        Copy.objects.filter(pk=copy.pk).update(stored_at=at)
    run = verify(vault)
    assert (run.files_seen, run.files_done) == (20, 4)
    read = Copy.objects.exclude(verified_at=None).order_by("pk")
    assert [copy.pk for copy in read] == [copy.pk for copy in copies[:4]]


def test_a_days_budget_of_bytes_is_kept(vault: Vault) -> None:
    Policy.objects.create(owner=vault.source.owner, verify_days=1, verify_bytes=250)
    for n in range(4):
        vault.file(f"{n}.txt", bytes(100))
    Copy.objects.update(stored_at=timezone.now() - timedelta(days=2))
    for copy in Copy.objects.all():
        at = copy.stored_at - timedelta(seconds=copy.pk)  # type: ignore[operator]
        Copy.objects.filter(pk=copy.pk).update(stored_at=at)
    assert verify(vault).bytes_done == 200
    assert verify(vault).bytes_done == 0
    assert verify(vault, everything=True).bytes_done == 800


def test_a_destination_that_does_not_answer_spoils_nothing_else(
    vault: Vault, tmp_path: Path
) -> None:
    version = vault.file("a.txt", b"content")
    (tmp_path / "two" / ".backup-destination").unlink()
    run = verify(vault, everything=True)
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "not_mounted")
    states = dict(version.copies.values_list("destination__name", "state"))
    assert states == {"one": "verified", "two": "stored"}
    assert not Finding.objects.exists()


def test_what_was_let_go_while_it_was_made_anew_does_not_come_back(
    kept: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = kept.destinations[1]
    version = kept.file("a.txt", b"content")
    copy = version.copies.get(destination=two)
    store = kept.store(two)
    store.delete(copy.object_key, version_id=copy.store_version)
    real = copying.make

    def erased_meanwhile(*args: Any) -> Any:
        info = real(*args)
        erased.append(copy.pk)
        return info

    erased: list[int] = []
    monkeypatch.setattr(copying, "make", erased_meanwhile)
    settle = heal._Healing._settle

    def let_go(self: Any, batch: Any, answers: Any) -> None:
        Copy.objects.filter(pk__in=erased).update(state=Copy.State.RELEASED)
        settle(self, batch, answers)

    monkeypatch.setattr(heal._Healing, "_settle", let_go)
    verify(kept)
    assert erased
    assert store.head(copy.object_key) is None
    copy.refresh_from_db()
    assert copy.state == Copy.State.RELEASED


def test_the_status_tells_damage_of_older_versions_too(vault: Vault) -> None:
    old = vault.file("a.txt", b"the first content")
    vault.version(old.file, b"the second content")
    for destination in vault.destinations:
        vault.path(old, destination).unlink()
    verify(vault)
    told = {finding.code: finding.message for finding in health.examine().findings}
    assert told["older_damaged"] == "2 copies of older versions of “Drive” damaged."
