"""A lane that is still at work when its run has ended writes nothing that the next run's scan has
found otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncapp.destinations.local import LocalDestination
from syncapp.engine import beat, dispatch, jobs, runs
from syncapp.engine.ledger import Ledger
from syncapp.models import Copy, Lane, Run
from tests.engine.conftest import Setting
from tests.engine.pruning import ended, history, keep, lane
from tests.engine.tree import blobs_parent, check_all
from tests.engine.vault import Vault


def test_the_next_prune_waits_for_a_removal_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> None:
    """Else it would forget the copy, and what another file has put under the key by then went."""
    vault = Vault.make(tmp_path, "one")
    ended(vault.source)
    keep(vault, keep_last=1)
    history(vault, 100, 1)
    run, _ = runs.request_prune(vault.source)
    real, began = LocalDestination.purge, list[Run]()

    def purge(self: LocalDestination, key: str, *, version_id: str = "") -> None:
        if not began:
            runs.cancel(run)
            began.append(runs.request_prune(vault.source)[0])
            lane(began[0])
            if not Copy.objects.filter(object_key=key).exists():
                other = vault.file("other.txt")
                vault.path(other, vault.destinations[0]).rename(Path(self.root, key))
                other.copies.update(object_key=key)
        real(self, key, version_id=version_id)

    monkeypatch.setattr(LocalDestination, "purge", purge)
    lane(run)
    lane(began[0])
    for copy in Copy.objects.filter(state="stored"):
        assert vault.path(copy.version, copy.destination).exists()
    began[0].refresh_from_db()
    assert (began[0].outcome, Copy.objects.count()) == (Run.Outcome.OK, 1)


class Meanwhile:
    """At one point of a lane's work its run is cancelled, the folder of all files is renamed, and
    the next run scans: it begins while the lane is still at work."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.following: Run | None = None

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, after all that, when it is made for the first time."""

        def delayed(*args: Any, **named: Any) -> Any:
            if self.following is None:
                self._come_about()
            return call(*args, **named)

        return delayed

    def overtake_and_check(self) -> None:
        """The run is cancelled in its middle; after the next one all lies where it should."""
        assert self.setting.back_up().outcome == Run.Outcome.CANCELLED
        assert self.following is not None
        self.setting.work(self.following)
        check_all(self.setting, read_back=False)

    def _come_about(self) -> None:
        runs.cancel(Run.objects.get(ended_at=None))
        self.setting.control.rename(blobs_parent(self.setting), "the name of now")
        self.following, _ = runs.request_backup(self.setting.source)
        dispatch.tick()
        dispatch.work(Lane.objects.get(run=self.following, owner="").pk)


def test_a_key_from_a_folders_former_name_is_not_written_down(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "EVERY_S", 5.0)  # nor has the lane heard of it yet
    meanwhile = Meanwhile(few)
    monkeypatch.setattr(jobs, "holders", meanwhile.before(jobs.holders))
    meanwhile.overtake_and_check()


def test_files_that_moved_on_stay_due(few: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    few.back_up()
    few.control.rename(blobs_parent(few), "a name in between")
    meanwhile = Meanwhile(few)
    monkeypatch.setattr(Ledger, "settle", meanwhile.before(Ledger.settle))
    meanwhile.overtake_and_check()
