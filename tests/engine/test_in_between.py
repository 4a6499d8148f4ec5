"""What changes between a look at the catalog and the write that follows from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from syncapp.destinations.local import LocalDestination
from syncapp.engine import jobs, keys, planning, runs
from syncapp.engine.folders import Folders
from syncapp.engine.settle import Settlement
from syncapp.engine.transfer import Result
from syncapp.errors import ObjectLocked
from syncapp.models import Copy, Run, Version
from syncapp.types import Digest, ObjectInfo
from tests.engine.pruning import Killed, ended, history, keep, prune
from tests.engine.vault import Vault

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    made = Vault.make(tmp_path)
    ended(made.source)
    return made


def waiting(vault: Vault, version: Version, lease_owner: str = "") -> Copy:
    """The version is still to be stored, at the first destination alone."""
    vault.path(version, vault.destinations[0]).unlink()
    version.copies.exclude(destination=vault.destinations[0]).delete()
    version.copies.update(state="pending", object_key="", stored_at=None, store_version="")
    soon = timezone.now() + timedelta(seconds=60)
    Version.objects.filter(pk=version.pk).update(
        state="pending", lease_owner=lease_owner, due_at=soon
    )
    return version.copies.get()


def test_a_key_beside_its_path_is_not_taken_while_it_is_being_removed(vault: Vault) -> None:
    """Its own former object is just being removed there, and another file has the path."""
    first, destination = vault.file("mine.txt"), vault.destinations[0]
    file = first.file
    path = keys.file_key("drive", [], file.key_name, file.remote_id)
    beside = keys.apart(path, file.remote_id)
    first.copies.update(state="released", object_key=beside)
    vault.file("other.txt").copies.update(object_key=path)
    second = vault.version(file, b"newer")
    waiting(vault, second, "me")
    run = Run.objects.create(source=vault.source, stage="transfer")

    stores = {destination.pk: vault.store(destination)}
    (job,) = jobs.build([second.pk], run, Folders(vault.source.pk), stores)

    assert job.targets[0].key not in (path, beside)


def test_a_copy_that_had_failed_is_not_stored_because_its_object_is_protected(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = history(vault, 100, 1)
    keep(vault, keep_last=1)
    failed = versions[0].copies.filter(destination=vault.destinations[0])
    failed.update(state="failed", error_code="unavailable")

    def purge(self: LocalDestination, key: str, *, version_id: str = "") -> None:
        raise ObjectLocked("protected", until=timezone.now() + timedelta(days=9))

    monkeypatch.setattr(LocalDestination, "purge", purge)
    prune(vault)
    assert [copy.state for copy in versions[0].copies.order_by("destination")] == [
        "failed",
        "stored",
    ]


def test_what_is_replaced_while_it_is_to_be_tried_again_is_not(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("a.txt")
    version.copies.update(state="failed")
    Version.objects.update(state="failed")
    real = runs.by_pk

    def replaced(*args: Any, **named: Any) -> Iterator[list[Any]]:
        for batch in real(*args, **named):
            Version.objects.update(state="superseded", current=False)
            yield batch

    monkeypatch.setattr(runs, "by_pk", replaced)
    assert runs.retry_failed(vault.source) == 0
    assert Version.objects.get().state == "superseded"
    assert set(Copy.objects.values_list("state", flat=True)) == {"failed"}


def test_a_run_has_not_ended_before_that_is_told(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An approval of many changes, say, would outlive the run that it was given for."""
    vault.source.approved_changes = 100
    vault.source.save()
    run = Run.objects.create(source=vault.source, stage="transfer")

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("syncapp.engine.record.mended", killed)
        with pytest.raises(Killed):
            runs.complete(run, "all stored")
    run.refresh_from_db()
    assert run.ended_at is None
    assert runs.complete(run, "all stored")
    vault.source.refresh_from_db()
    assert vault.source.approved_changes == 0


def beside(call: Callable[[], object]) -> threading.Thread:
    """Another process does this, on a connection of its own; if it waits for us, we go on."""

    def work() -> None:
        try:
            call()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.5)
    return thread


def test_what_a_scan_replaces_while_a_lane_settles_it_is_stored_or_left(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan of the next run, while a lane of one that was cancelled is still ending. A version
    that waits and of which no copy is planned would keep every later run from ending well."""
    version = vault.file("a.txt")
    waiting(vault, version, "me")
    run = Run.objects.create(source=vault.source, stage="transfer")
    destination = vault.destinations[0]
    (job,) = jobs.build(
        [version.pk], run, Folders(vault.source.pk), {destination.pk: vault.store(destination)}
    )
    digest = Digest(version.size or 0, version.md5, version.sha256)
    stored = {destination.pk: ObjectInfo(job.targets[0].key, digest.size)}
    result = Result(job, datetime.now(UTC), digest=digest, stored=stored)
    real, others = Settlement._copies, list[threading.Thread]()

    def replace() -> None:
        with transaction.atomic():
            found = Version.objects.filter(pk=version.pk, state="pending")
            planning.withdraw(found, "superseded")

    def copies(self: Settlement, *args: Any) -> None:
        others.append(beside(replace))
        real(self, *args)

    monkeypatch.setattr(Settlement, "_copies", copies)
    Settlement(run, "me", Folders(vault.source.pk)).write([result], ())
    others[0].join()
    version.refresh_from_db()
    left = (version.state, list(version.copies.values_list("state", flat=True)))
    assert left in [("stored", ["stored"]), ("superseded", [])]
