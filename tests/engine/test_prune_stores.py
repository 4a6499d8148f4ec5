"""Pruning at stores that refuse: locks, silence, and versions of the store's own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncapp.destinations.local import LocalDestination
from syncapp.engine.adapters import destination_for
from syncapp.errors import ObjectLocked, Unavailable
from syncapp.models import Copy, Destination, Event, File, Run
from tests.engine.pruning import NOW, ago, ended, history, keep, left, prune
from tests.engine.vault import Vault
from tests.servers import moto
from tests.servers.shared import run_folder, shared

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault.make(tmp_path)
    ended(vault.source)
    return vault


@pytest.fixture
def versioned_bucket(
    vault: Vault, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Destination]:
    with shared("moto", run_folder(tmp_path_factory.getbasetemp()), moto.start) as info:
        secrets = {"access_key_id": info["access_key"], "secret_access_key": info["secret_key"]}
        yield Destination.objects.create(
            owner=vault.source.owner,
            name="Versions",
            kind="s3",
            options={
                "provider": "other",
                "endpoint": info["endpoint"],
                "bucket": info["versioned"],
                "prefix": f"p-{uuid.uuid4().hex[:10]}",
            },
            secrets=json.dumps(secrets),
        )


def test_what_a_store_protects_is_shown_as_such_and_no_fault(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = history(vault, 100, 1)
    keep(vault, keep_last=1)
    until = NOW + timedelta(days=9)
    protected = vault.path(versions[0], vault.destinations[0]).parents[2]
    real = LocalDestination.purge

    def purge(self: LocalDestination, key: str, *, version_id: str = "") -> None:
        if Path(self.root) == protected:
            raise ObjectLocked("protected", until=until)
        real(self, key, version_id=version_id)

    monkeypatch.setattr(LocalDestination, "purge", purge)
    Copy.objects.update(verified_at=NOW, state="verified")

    run = prune(vault)

    assert (run.outcome, run.files_done, run.files_skipped) == (Run.Outcome.OK, 1, 1)
    copy = versions[0].copies.get()
    assert (copy.state, copy.locked_until) == ("verified", until)
    told = Event.objects.get(code="copies_protected")
    assert (told.level, told.destination_id) == ("info", copy.destination_id)
    again = prune(vault)
    assert (again.files_done, again.files_skipped) == (0, 0)
    monkeypatch.undo()
    Copy.objects.update(locked_until=ago(1))
    prune(vault)
    assert left(versions) == [False, True]


def test_a_destination_that_does_not_answer_holds_up_no_other(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = history(vault, 100, 1)
    keep(vault, keep_last=1)
    silent = Path(vault.destinations[1].options["path"])
    real = LocalDestination.purge

    def purge(self: LocalDestination, key: str, *, version_id: str = "") -> None:
        if Path(self.root) == silent:
            raise Unavailable("no answer")
        real(self, key, version_id=version_id)

    with monkeypatch.context() as patch:
        patch.setattr(LocalDestination, "purge", purge)
        run = prune(vault)
    assert (run.outcome, run.error_code, run.files_done) == ("failed", "unavailable", 1)
    assert "1 copy could not be removed yet. two: no answer" in run.error_message
    vault.source.refresh_from_db()
    assert vault.source.blocked_code == ""

    assert prune(vault).outcome == Run.Outcome.OK
    assert left(versions) == [False, True]


def test_of_a_bucket_with_versions_the_very_version_goes(
    vault: Vault, versioned_bucket: Destination
) -> None:
    vault.attach(versioned_bucket)
    first, second = history(vault, 100, 1)
    store = destination_for(versioned_bucket)
    old, new = (v.copies.get(destination=versioned_bucket) for v in (first, second))
    # As a backup stores them: one key, two versions.
    info = store.copy(new.object_key, old.object_key)
    store.purge(new.object_key, version_id=new.store_version)
    Copy.objects.filter(pk=new.pk).update(object_key=old.object_key, store_version=info.version_id)
    keep(vault, keep_last=1)

    prune(vault)
    assert [(i.key, i.version_id) for i in store.versions()] == [(old.object_key, info.version_id)]

    File.objects.filter(pk=first.file_id).update(vanished_at=ago(40))
    store.delete(old.object_key)  # as a move does: a marker over it
    prune(vault)
    assert list(store.versions()) == []
