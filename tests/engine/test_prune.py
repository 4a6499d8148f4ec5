"""Pruning: what goes for good, what stays whatever the rules say, and what a crash leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncapp.engine import prunable, remove, runs
from syncapp.engine.ledger import Ledger
from syncapp.engine.move_order import Step
from syncapp.engine.occupied import holders
from syncapp.models import Copy, File, Lane, Restore, RestoreItem, Run, Span, Version
from tests.engine.pruning import NOW, Killed, ago, ended, history, keep, lane, left, prune, stored
from tests.engine.vault import Vault

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault.make(tmp_path)
    ended(vault.source)
    return vault


def test_what_was_in_the_trash_for_long_enough_is_gone_everywhere(vault: Vault) -> None:
    gone, young = vault.file("gone.txt"), vault.file("young.txt")
    trashed, stays = vault.file("trashed.txt"), vault.file("stays.txt")
    File.objects.filter(pk=gone.file_id).update(vanished_at=ago(31))
    File.objects.filter(pk=young.file_id).update(vanished_at=ago(29))
    File.objects.filter(pk=trashed.file_id).update(trashed_at=ago(31))

    run = prune(vault)

    assert run.outcome == Run.Outcome.OK
    assert (run.files_done, run.bytes_done) == (4, 20)
    keys = {copy.object_key for v in (young, stays) for copy in v.copies.all()}
    assert stored(vault) == [keys, keys]
    assert left([gone, young, trashed, stays]) == [False, True, False, True]
    assert not File.objects.filter(pk=gone.file_id).exists()
    assert File.objects.filter(pk=trashed.file_id).exists()  # Google still lists it


def test_folders_are_forgotten_once_nothing_lies_in_them(vault: Vault) -> None:
    above = vault.folder("above")
    below = vault.folder("below", above.remote_id)
    file = vault.file("file.txt", parent=below.remote_id)
    other = vault.folder("kept")
    vault.file("here.txt", parent=other.remote_id)
    gone = File.objects.filter(pk__in=[above.pk, below.pk, file.file_id, other.pk])
    gone.update(vanished_at=ago(40))

    prune(vault)

    assert list(gone.values_list("pk", flat=True)) == [other.pk]


def test_versions_go_by_the_rules_and_the_newest_stays(vault: Vault) -> None:
    versions = history(vault, 100, 60, 50, 20, 1)
    keep(vault, keep_last=2)

    assert prune(vault).files_done == 6

    assert left(versions) == [False, False, False, True, True]
    assert [len(keys) for keys in stored(vault)] == [2, 2]
    assert prune(vault).files_done == 0


def test_without_rules_every_version_stays(vault: Vault) -> None:
    versions = history(vault, 100, 60, 1)

    assert prune(vault).files_done == 0
    assert all(left(versions))


@pytest.mark.parametrize("state", [Copy.State.PENDING, Copy.State.DAMAGED, None])
def test_older_versions_stay_until_a_newer_one_is_stored_everywhere(
    vault: Vault, state: str | None
) -> None:
    versions = history(vault, 100, 60, 1)
    keep(vault, keep_last=1)
    newest = Copy.objects.get(version=versions[-1], destination=vault.destinations[1])
    if state is None:
        newest.delete()
    else:
        Copy.objects.filter(pk=newest.pk).update(state=state)

    prune(vault)
    assert left(versions) == [False, True, True]

    Copy.objects.update_or_create(
        version=versions[-1],
        destination=vault.destinations[1],
        defaults={"state": "stored", "object_key": "drive/files/new", "stored_at": NOW},
    )
    prune(vault)
    assert left(versions) == [False, False, True]


def test_nothing_goes_before_a_first_good_backup_and_time_stands_still_without(
    tmp_path: Path,
) -> None:
    vault = Vault.make(tmp_path)
    gone = vault.file("gone.txt")
    File.objects.filter(pk=gone.file_id).update(vanished_at=ago(50))

    assert prune(vault).files_done == 0
    ended(vault.source, ago(30))
    ended(vault.source, ago(1), Run.Outcome.FAILED)
    assert prune(vault).files_done == 0  # 20 days in the trash, as far as anybody knows
    ended(vault.source, ago(0))
    assert prune(vault).files_done == 2


def test_what_a_restore_wants_stays_and_its_lines_survive_pruning(vault: Vault) -> None:
    versions = history(vault, 100, 60, 1)
    keep(vault, keep_last=1)
    run = Run.objects.create(source=vault.source, kind=Run.Kind.RESTORE)
    restore = Restore.objects.create(run=run, target="folder", planned_at=NOW)
    item = RestoreItem.objects.create(
        restore=restore, file=versions[0].file, version=versions[0], path="report.txt"
    )

    prune(vault)
    assert left(versions) == [True, True, True]

    RestoreItem.objects.update(state=RestoreItem.State.DONE)
    Run.objects.filter(pk=run.pk).update(ended_at=NOW, stage=Run.Stage.DONE)
    prune(vault)
    assert left(versions) == [False, False, True]
    item.refresh_from_db()
    assert (item.state, item.version_id, item.path) == ("done", None, "report.txt")


def test_while_a_restore_is_being_planned_nothing_goes(vault: Vault) -> None:
    versions = history(vault, 100, 60, 1)
    keep(vault, keep_last=1)
    run = Run.objects.create(source=vault.source, kind=Run.Kind.RESTORE)
    Restore.objects.create(run=run, target="folder")

    prune(vault)

    assert all(left(versions))


def test_a_version_that_came_back_counts_from_then(vault: Vault) -> None:
    first, second = history(vault, 100, 50)
    Version.objects.filter(pk=second.pk).update(current=False, replaced_at=ago(1))
    Version.objects.filter(pk=first.pk).update(current=True, returned_at=ago(1), replaced_at=None)
    Span.objects.create(version=first, from_at=ago(100), until_at=ago(50))
    keep(vault, keep_days=5)

    prune(vault)
    assert left([first, second]) == [True, True]  # it was the second two days ago
    keep(vault, keep_days=0)
    prune(vault)
    assert left([first, second]) == [True, False]


@pytest.mark.parametrize("step", ["_purge", "_settle", "forget"])
def test_a_lane_that_dies_is_gone_on_with(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    versions = history(vault, 100, 60, 1)
    keep(vault, keep_last=1)
    run, _ = runs.request_prune(vault.source)
    where = remove.Remover if step == "_settle" else remove
    with monkeypatch.context() as patch:
        patch.setattr(where, step, lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            lane(run)
    assert all(left(versions))
    assert Copy.objects.filter(state=Copy.State.RELEASED).count() == 4

    lane(run)

    assert run.outcome == Run.Outcome.OK
    assert left(versions) == [False, False, True]
    assert [len(keys) for keys in stored(vault)] == [1, 1]


def test_a_file_that_comes_back_while_it_is_removed_is_stored_anew(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = vault.file("back.txt")
    File.objects.filter(pk=version.file_id).update(vanished_at=ago(40))
    settle = remove.Remover._settle

    def comes_back(*args: Any) -> None:
        File.objects.filter(pk=version.file_id).update(vanished_at=None)
        settle(*args)

    monkeypatch.setattr(remove.Remover, "_settle", comes_back)
    prune(vault)

    version.refresh_from_db()
    assert version.state == Version.State.PENDING
    assert [(c.state, c.object_key) for c in version.copies.all()] == [("pending", "")] * 2


def test_nobody_takes_the_key_of_what_is_being_removed(vault: Vault) -> None:
    version = vault.file("one.txt")
    version.copies.update(state=Copy.State.RELEASED)
    copy = version.copies.first()
    assert copy is not None

    found = holders([copy.object_key], [copy.destination_id])

    assert found[copy.destination_id, copy.object_key].pk == copy.pk


def test_an_object_that_somebody_else_claims_is_left_alone(vault: Vault) -> None:
    gone, other = vault.file("gone.txt"), vault.file("other.txt")
    key = gone.copies.get(destination=vault.destinations[0]).object_key
    other.copies.filter(destination=vault.destinations[0]).update(object_key=key)
    File.objects.filter(pk=gone.file_id).update(vanished_at=ago(40))

    prune(vault)

    assert key in stored(vault)[0]
    assert left([gone, other]) == [False, True]


def test_a_preview_tells_what_a_prune_then_does(vault: Vault) -> None:
    history(vault, 100, 60, 1)
    gone = vault.file("gone.txt", b"0123456789")
    File.objects.filter(pk=gone.file_id).update(vanished_at=ago(40))
    keep(vault, keep_last=1)

    sums: dict[int, prunable.Savings] = {}
    for found in prunable.preview(prunable.Terms.of(vault.source)):
        prunable.savings(found, sums)

    run = prune(vault)
    assert {(s.trash, s.retention) for s in sums.values()} == {(1, 2)}
    assert sum(s.bytes for s in sums.values()) == run.bytes_done
    assert sum(s.trash + s.retention for s in sums.values()) == run.files_done == 6


def test_a_copy_that_was_let_go_is_not_moved(vault: Vault) -> None:
    run = Run.objects.create(source=vault.source, stage=Run.Stage.MOVE)
    ours = Lane.objects.create(run=run, stage=run.stage, owner="me")
    stays, goes = (vault.file(name).copies.all()[0] for name in ("stays.txt", "goes.txt"))
    Copy.objects.filter(pk=goes.pk).update(state=Copy.State.RELEASED)

    steps = [Step(copy.pk, copy.object_key, "drive/files/new", last=True) for copy in (stays, goes)]

    assert Ledger(run, ours).reserve(steps) == {stays.pk}
