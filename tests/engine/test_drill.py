"""A drill restores a sample for real, says so, and never says so of what it could not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.destinations.local import LocalDestination
from syncapp.engine import damage, dispatch, drill, runs, samples
from syncapp.engine.readback import ARCHIVED
from syncapp.errors import PermanentError
from syncapp.models import Canary, Copy, Event, Finding, Lane, RestoreItem, Run, Source, Version
from tests.engine.test_verify import work
from tests.engine.vault import Vault


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path, settings: Any) -> Vault:
    settings.DATA_DIR = tmp_path / "data"
    return Vault.make(tmp_path, "one", "two")


def drilled(vault: Vault, files: int | None = None) -> Run:
    run, _ = runs.request_drill(vault.source, files=files)
    return work(run)


def test_a_drill_proves_every_destination_and_leaves_nothing_behind(
    vault: Vault, tmp_path: Path
) -> None:
    old = vault.file("a.txt", b"the first content")
    vault.version(old.file, b"the second content")
    for n in range(10):
        vault.file(f"{n}.txt", b"content %d" % n)
    before = timezone.now()
    run = drilled(vault, files=6)
    assert run.outcome == Run.Outcome.OK, run.error_message
    vault.source.refresh_from_db()
    assert vault.source.proven_at is not None
    assert vault.source.proven_at > before
    items = RestoreItem.objects.filter(restore__run=run)
    assert {item.origin for item in items} == set(vault.destinations)
    assert items.filter(version=old, state="done").exists(), "an old version is always tried"
    assert run.files_done == run.files_total == items.count()
    assert not any((tmp_path / "data" / "drills").rglob("*"))


def test_a_drill_that_fails_proves_nothing_alarms_and_has_the_damage_healed(
    vault: Vault,
) -> None:
    version = vault.file("a.txt", b"as it was stored")
    vault.path(version, vault.destinations[1]).write_bytes(b"as it was stired")
    run = drilled(vault)
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "drill_failed")
    assert "a.txt from two" in run.error_message
    vault.source.refresh_from_db()
    assert vault.source.proven_at is None
    assert Event.objects.filter(level="alert", run=run).exists()
    work(Run.objects.get(kind=Run.Kind.VERIFY))
    assert Finding.objects.get().healed_from == "one"
    assert drilled(vault).outcome == Run.Outcome.OK
    assert not Event.objects.filter(level="alert", acknowledged_at=None).exists()


def test_what_google_declares_is_compared_too_while_the_file_is_unchanged(vault: Vault) -> None:
    version = vault.file("a.txt", b"content")
    Version.objects.filter(pk=version.pk).update(declared_md5="0" * 32)
    run = drilled(vault)
    assert "not what Google declared" in run.error_message
    assert not Finding.objects.exists(), "it is no damage of the copy"
    Version.objects.filter(pk=version.pk).update(checksum_disputed=True)
    assert drilled(vault).outcome == Run.Outcome.OK


def test_a_wrong_md5_of_google_beside_its_right_sha256_fails_no_drill_but_a_wrong_sha256_does(
    vault: Vault,
) -> None:
    version = vault.file("a.txt", b"content")
    declared = {"declared_md5": "0" * 32, "declared_sha256": version.sha256}
    Version.objects.filter(pk=version.pk).update(**declared)
    assert drilled(vault).outcome == Run.Outcome.OK
    Version.objects.filter(pk=version.pk).update(declared_sha256="0" * 64)
    assert "not what Google declared" in drilled(vault).error_message


def test_pinned_files_are_always_restored_from_everywhere(vault: Vault) -> None:
    pinned = vault.file("pinned.txt", b"canary")
    for n in range(50):
        vault.file(f"{n}.txt", b"content")
    Canary.objects.create(source=vault.source, file=pinned.file)
    run = drilled(vault, files=2)
    items = RestoreItem.objects.filter(restore__run=run, version=pinned, state="done")
    assert {item.origin for item in items} == set(vault.destinations)


def test_a_drill_is_not_green_while_nothing_of_a_pinned_file_is_stored(vault: Vault) -> None:
    vault.file("kept.txt", b"content")
    lost = vault.file("lost.txt", b"canary")
    Canary.objects.create(source=vault.source, file=lost.file)
    lost.copies.all().delete()
    run = drilled(vault)
    assert run.outcome == Run.Outcome.WARNINGS
    assert "1 pinned file (lost.txt)" in Event.objects.get(run=run, code="run_warnings").message


def test_a_sample_can_be_drawn_again(vault: Vault) -> None:
    for n in range(30):
        vault.file(f"{n}.txt", b"content %d" % n)
    one, two = Run(pk=7, source=vault.source), Run(pk=8, source=vault.source)
    assert samples.choose(one, 10) == samples.choose(one, 10)
    assert samples.choose(one, 10) != samples.choose(two, 10)
    assert 10 <= len(samples.choose(one, 10)) <= 12


def test_without_room_files_are_read_and_compared_without_being_written(
    vault: Vault, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill, "ROOM", 2**60)
    version = vault.file("a.txt", b"content")
    assert drilled(vault).outcome == Run.Outcome.OK
    vault.path(version, vault.destinations[0]).write_bytes(b"c0ntent")
    assert drilled(vault).outcome == Run.Outcome.FAILED


def test_a_drill_goes_on_where_a_killed_worker_left_it(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(30):
        vault.file(f"{n}.txt", b"content")
    run, _ = runs.request_drill(vault.source, files=30)
    real, calls = damage.note, 0

    def killed(*args: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(damage, "note", killed)
    dispatch.top_up(run.pk)
    with pytest.raises(KeyboardInterrupt):
        dispatch.work(Lane.objects.get(run=run).pk)
    assert RestoreItem.objects.filter(restore__run=run, state="done").count() == drill.BATCH
    work(run)
    assert run.files_done == run.files_total == RestoreItem.objects.filter(state="done").count()


def test_a_copy_that_is_moved_while_it_is_read_fails_no_drill(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("a.txt", b"on its way")
    copy, store = (
        version.copies.get(destination=vault.destinations[0]),
        vault.store(vault.destinations[0]),
    )
    real, to = drill._Drill._bring, "drive/files/where it went"

    def moved(self: Any, todo: Any) -> Any:
        if todo.destination_id == copy.destination_id and store.head(copy.object_key):
            store.copy(copy.object_key, to)
            store.delete(copy.object_key)
        return real(self, todo)

    real_settle = drill._Drill._settle

    def settle(self: Any, results: Any) -> None:
        Copy.objects.filter(pk=copy.pk).update(object_key=to)
        real_settle(self, results)

    monkeypatch.setattr(drill._Drill, "_bring", moved)
    monkeypatch.setattr(drill._Drill, "_settle", settle)
    run = drilled(vault)
    assert (run.outcome, run.files_done, run.files_failed) == (Run.Outcome.OK, 2, 0)
    assert not Finding.objects.exists()


def test_nothing_stored_is_nothing_proven(vault: Vault) -> None:
    assert drilled(vault).outcome == Run.Outcome.WARNINGS
    vault.source.refresh_from_db()
    assert vault.source.proven_at is None
    assert not Copy.objects.exists()


def test_what_lies_in_cold_storage_is_left_out_and_fails_nothing(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("a.txt", b"cold here, warm there")
    Canary.objects.create(source=vault.source, file=version.file)
    cold = vault.destinations[0]
    Copy.objects.filter(destination=cold).update(error_code=ARCHIVED)
    run = drilled(vault)
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 1)
    assert run.restore.items.get().origin == vault.destinations[1]

    real = LocalDestination.read

    def archived(self: LocalDestination, *arguments: Any, **more: Any) -> Any:
        if self.root == cold.options["path"]:
            raise PermanentError("It must be thawed first.", code=ARCHIVED)
        return real(self, *arguments, **more)

    Copy.objects.update(error_code="")  # nobody knows yet
    monkeypatch.setattr(LocalDestination, "read", archived)
    run = drilled(vault)
    assert (run.outcome, run.files_done, run.files_skipped) == (Run.Outcome.OK, 1, 1)

    Source.objects.update(proven_at=None)
    Copy.objects.update(error_code=ARCHIVED)
    run = drilled(vault)
    assert run.outcome == Run.Outcome.WARNINGS
    assert Event.objects.filter(run=run, message__contains="cold storage").exists()
    assert Source.objects.get().proven_at is None
