"""Erasing: nothing of it is left anywhere, it is proven, and it does not come back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.models import GoogleAccount
from syncapp.destinations.local import LocalDestination
from syncapp.engine import (
    database_backup,
    erase,
    erasure_report,
    erasure_rows,
    erasure_scope,
    marks,
    runs,
    segments,
)
from syncapp.engine.absorb import Absorber
from syncapp.engine.database_backup import BackupsRemain
from syncapp.engine.erase import EraseRefused, request_erasure
from syncapp.engine.erased import NAME
from syncapp.errors import ObjectLocked, Unavailable
from syncapp.models import (
    Copy,
    Erased,
    ErasedObject,
    Erasure,
    Event,
    File,
    Finding,
    Lane,
    Place,
    Restore,
    RestoreItem,
    Run,
    SegmentTurn,
    Source,
    Version,
)
from syncapp.types import Content, ItemPage, RemoteFile
from tests.engine.pruning import NOW, Killed, ago, ended, history, lane
from tests.engine.vault import Vault

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.make(tmp_path)


def wish(vault: Vault, *files: File, **more: Any) -> Erasure:
    return Erasure.objects.create(
        owner=vault.source.owner,
        source=vault.source,
        source_name=vault.source.name,
        what=", ".join(file.name for file in files) or "everything",
        files=[file.pk for file in files],
        **more,
    )


def work(run: Run, lanes: int = 8) -> Run:
    for _ in range(lanes):
        Run.objects.filter(pk=run.pk).update(retry_at=None)
        try:
            lane(run)
        except Run.DoesNotExist:
            break
        if run.ended_at:
            break
    return run


def carry_out(vault: Vault, *files: File, **more: Any) -> Erasure:
    erasure = wish(vault, *files, **more)
    work(request_erasure(vault.source, erasure))
    erasure.refresh_from_db()
    return erasure


def lying(vault: Vault) -> set[str]:
    """Everything in the folders, catalogs and database backups aside."""
    return {
        f"{row.name}/{info.key}"
        for row in vault.destinations
        for info in vault.store(row).objects("drive/")
    }


def told_anywhere(word: str) -> list[str]:
    """Tables, the report aside, in which a word stands; indexes of names have no rows to read."""
    found = []
    for table in connection.introspection.table_names():
        if table in ("syncapp_erasure", "syncapp_erasedobject") or table.endswith("_names"):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            if any(word in str(row) for row in cursor.fetchall()):
                found.append(table)
    return found


def test_a_file_is_gone_everywhere_and_proven_so(vault: Vault) -> None:
    other = vault.file("kept.txt", b"kept")
    versions = history(vault, 50, 20, 1)
    file = versions[0].file
    File.objects.filter(pk=file.pk).update(name="secret-report.txt")
    Place.objects.create(
        source=vault.source, file=file, name="secret-old-name", from_at=ago(9), until_at=ago(8)
    )
    copy = versions[0].copies.all()[0]
    Finding.objects.create(
        source=vault.source, destination=copy.destination, copy=copy, kind="size", object_key="k"
    )
    old_run = ended(vault.source)
    Run.objects.filter(pk=old_run.pk).update(error_message="secret-report.txt and others failed")
    restore = Restore.objects.create(run=old_run, target="folder")
    RestoreItem.objects.create(
        restore=restore, file=file, version=versions[1], path="secret-report.txt", state="done"
    )
    for message in ("drive/secret-report.txt: failed", "nothing", "moved from secret-old-name"):
        Event.objects.create(owner=vault.source.owner, code="x", message=message)
    segments.write(vault.source.pk)

    erasure = carry_out(vault, File.objects.get(pk=file.pk))

    run = Run.objects.get(kind="erase")
    assert (run.outcome, run.error_message) == (Run.Outcome.OK, "")
    assert {key.split("/")[-1] for key in lying(vault)} == {
        c.object_key.split("/")[-1] for c in other.copies.all()
    }
    assert told_anywhere("secret") == []
    assert Event.objects.filter(message="nothing").exists()
    assert not File.objects.filter(pk=file.pk).exists()
    assert erasure.files_erased == 1
    proven = ErasedObject.objects.filter(erasure=erasure)
    assert (proven.count(), proven.filter(absent_at__isnull=True).count()) == (6, 0)
    report = "\n".join(erasure_report.lines(erasure))
    assert "secret-report.txt" in report
    assert report.count("absent 20") == 6
    assert "of the catalog removed" in report
    for row in vault.destinations:
        root = Path(row.options["path"])
        assert not [p for p in root.rglob("*") if p.is_file() and b"secret" in p.read_bytes()]


def test_a_folder_takes_everything_below_it_along_gone_or_not(vault: Vault) -> None:
    above = vault.folder("above")
    below = vault.folder("below", above.remote_id)
    files = [vault.file(f"{n}.txt", parent=below.remote_id) for n in range(3)]
    File.objects.filter(pk=files[0].file_id).update(vanished_at=ago(3))
    beside = vault.file("beside.txt")

    erasure = carry_out(vault, above)

    assert erasure.files_erased == 5
    assert list(File.objects.values_list("pk", flat=True)) == [beside.file_id]
    assert len(lying(vault)) == 2


def remote(version: Version, name: str, **more: Any) -> RemoteFile:
    return RemoteFile(
        version.file.remote_id, "", name, "text/plain", Content.BLOB, "r99", size=5, **more
    )


def test_what_still_lies_in_google_is_listed_without_its_name_and_not_stored(vault: Vault) -> None:
    version = vault.file("secret.txt")
    carry_out(vault, version.file)

    wanted = [row.pk for row in vault.destinations]
    file = remote(version, "secret.txt", owner="ada", metadata={"description": "secret"})
    Absorber(vault.source, wanted).absorb(ItemPage.of("user", [file]))

    row = File.objects.get(remote_id=version.file.remote_id)
    assert (row.name, row.problem, row.metadata) == (NAME, "erased", {})
    assert not Version.objects.exists()
    assert told_anywhere("secret") == []
    assert runs.refused_files(vault.source.pk) == 0


def test_objects_that_no_copy_claims_are_found_by_the_id_they_bear(vault: Vault) -> None:
    version, other = vault.file("one.txt"), vault.file("two.txt")
    store = vault.store(vault.destinations[0])
    mine, others = (v.copies.get(destination=vault.destinations[0]) for v in (version, other))
    store.copy(mine.object_key, "drive/.versions/left by a worker.txt")
    store.copy(others.object_key, "drive/.versions/of the other.txt")

    erasure = carry_out(vault, version.file)

    assert not any("left by" in key for key in lying(vault))
    assert any("of the other" in key for key in lying(vault))
    assert ErasedObject.objects.filter(erasure=erasure, stray=True).count() == 1


@pytest.mark.parametrize(
    "step",
    [
        (erasure_scope, "note_strays"),
        (erase._Erasing, "_stop_others"),
        (erase.Remover, "finish"),
        (erasure_rows, "forget"),
        (erasure_rows, "forget_for_all"),
        (segments, "rewrite"),
        (erase._Erasing, "_ask"),
        (erase._Erasing, "_end"),
    ],
    ids=lambda step: step[1],
)
def test_a_lane_that_dies_is_gone_on_with(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str]
) -> None:
    version = vault.file("secret.txt")
    erasure = wish(vault, version.file)
    run = request_erasure(vault.source, erasure)

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(*step, die)
        with pytest.raises(Killed):
            lane(run)

    work(run)

    assert run.outcome == Run.Outcome.OK
    assert lying(vault) == set()
    assert not File.objects.exists()
    assert not ErasedObject.objects.filter(absent_at__isnull=True).exists()


def locking(monkeypatch: pytest.MonkeyPatch, root: str, until: Any) -> None:
    """Let one folder protect what lies in it."""

    def is_there(self: LocalDestination) -> bool:
        return self.root == root

    def locked_until(self: LocalDestination, key: str, *, version_id: str = "") -> Any:
        return until if is_there(self) and self.head(key) else None

    real = LocalDestination.purge

    def purge(self: LocalDestination, key: str, *, version_id: str = "") -> None:
        if is_there(self):
            raise ObjectLocked("protected", until=until)
        real(self, key, version_id=version_id)

    monkeypatch.setattr(LocalDestination, "locks", property(is_there))
    monkeypatch.setattr(LocalDestination, "locked_until", locked_until)
    monkeypatch.setattr(LocalDestination, "purge", purge)


def test_a_lock_refuses_all_of_it_with_its_date(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("secret.txt")
    until = NOW + timedelta(days=7)
    locking(monkeypatch, vault.destinations[1].options["path"], until)

    carry_out(vault, version.file)

    run = Run.objects.get(kind="erase")
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "object_locked")
    assert run.error_message.startswith("Nothing was erased: 1 object protected by a store")
    assert f"{until:%Y-%m-%d %H:%M} UTC" in run.error_message
    assert len(lying(vault)) == 2
    assert not Erased.objects.exists()
    assert {copy.state for copy in version.copies.all()} == {"stored"}
    vault.source.refresh_from_db()
    assert vault.source.blocked_code == ""


def test_all_but_what_is_locked_may_be_erased_and_the_rest_later(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("secret.txt")
    until = NOW + timedelta(days=7)
    with monkeypatch.context() as patch:
        locking(patch, vault.destinations[1].options["path"], until)
        erasure = carry_out(vault, version.file, all_but_locked=True)

    assert Run.objects.get(kind="erase").outcome == Run.Outcome.WARNINGS
    copy = Copy.objects.get()
    assert (copy.state, copy.locked_until) == ("stored", until)
    assert "PROTECTED until" in "\n".join(erasure_report.lines(erasure))

    carry_out(vault, version.file)
    assert lying(vault) == set()
    assert not File.objects.exists()


def test_a_store_that_does_not_answer_leaves_it_to_be_resumed(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("secret.txt")
    silent = vault.destinations[1].options["path"]
    real = LocalDestination.purge

    def purge(self: LocalDestination, key: str, *, version_id: str = "") -> None:
        if self.root == silent:
            raise Unavailable("no answer")
        real(self, key, version_id=version_id)

    erasure = wish(vault, version.file)
    with monkeypatch.context() as patch:
        patch.setattr(LocalDestination, "purge", purge)
        run = work(request_erasure(vault.source, erasure))
    assert run.outcome == Run.Outcome.FAILED
    with pytest.raises(EraseRefused, match="resume it first"):
        request_erasure(vault.source, wish(vault, version.file))

    erasure.refresh_from_db()
    assert work(request_erasure(vault.source, erasure)).outcome == Run.Outcome.OK
    assert lying(vault) == set()


def test_others_at_work_on_the_source_are_stopped_first(vault: Vault) -> None:
    version = vault.file("secret.txt")
    backup = Run.objects.create(source=vault.source, stage=Run.Stage.TRANSFER)
    busy = Lane.objects.create(run=backup, stage=backup.stage, owner="somebody")
    Version.objects.filter(pk=version.pk).update(state="pending", lease_owner="somebody")
    erasure = wish(vault, version.file)
    run = request_erasure(vault.source, erasure)
    looked: list[int] = []

    class Beat(erase.Beat):
        def wait(self, seconds: float) -> None:
            looked.append(len(lying(vault)))
            Lane.objects.filter(pk=busy.pk).update(ended_at=NOW)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("syncapp.engine.dispatch.Beat", Beat)
        work(run)

    backup.refresh_from_db()
    assert backup.outcome == Run.Outcome.CANCELLED
    assert looked == [2]
    assert run.outcome == Run.Outcome.OK


def test_a_whole_account_goes_with_its_source_and_tokens(vault: Vault) -> None:
    vault.file("one.txt", parent=vault.folder("folder").remote_id)
    vault.store(vault.destinations[0]).copy(
        Copy.objects.filter(destination=vault.destinations[0])[0].object_key, "drive/files/stray"
    )
    segments.write(vault.source.pk)
    erasure = wish(vault, account=True)

    work(request_erasure(vault.source, erasure))

    assert not Source.objects.exists()
    assert not GoogleAccount.objects.exists()
    for row in vault.destinations:
        # Other sources may be kept there: it stays this installation's place.
        assert [info.key for info in vault.store(row).objects()] == [marks.KEY]
    erasure.refresh_from_db()
    assert erasure.proven_at is not None
    assert erasure.run is None


def test_an_account_whose_database_backups_remain_stays_until_its_erasure_is_resumed(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("one.txt")
    erasure = wish(vault, account=True)
    remove, turned_off = database_backup.remove_everywhere, [True]

    def remaining(delete: Callable[[], object] | None = None) -> list[str]:
        if delete is not None and turned_off:
            raise BackupsRemain("Backups of the database remain. two: it does not answer.")
        return remove(delete)

    monkeypatch.setattr(database_backup, "remove_everywhere", remaining)
    run = request_erasure(vault.source, erasure)
    for _ in range(8):
        SegmentTurn.objects.update(owner="")  # time goes by
        work(run, 1)
    erasure.refresh_from_db()
    assert run.outcome == Run.Outcome.FAILED
    assert erasure.proven_at is None
    turned_off.clear()
    SegmentTurn.objects.update(owner="")

    work(request_erasure(vault.source, erasure))

    assert not Source.objects.exists()
    erasure.refresh_from_db()
    assert erasure.proven_at is not None
