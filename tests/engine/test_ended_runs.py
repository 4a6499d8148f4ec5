"""A lane that is still at work when its run has ended writes nothing that the next run's scan has
found otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncapp.engine import beat, dispatch, jobs, runs
from syncapp.engine.ledger import Ledger
from syncapp.models import Lane, Run
from tests.engine.conftest import Setting
from tests.engine.tree import blobs_parent, check_all


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
    assert few.back_up().outcome == Run.Outcome.CANCELLED
    assert meanwhile.following is not None
    few.work(meanwhile.following)
    check_all(few, read_back=False)


def test_files_that_moved_on_stay_due(few: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    few.back_up()
    few.control.rename(blobs_parent(few), "a name in between")
    meanwhile = Meanwhile(few)
    monkeypatch.setattr(Ledger, "settle", meanwhile.before(Ledger.settle))
    assert few.back_up().outcome == Run.Outcome.CANCELLED
    assert meanwhile.following is not None
    few.work(meanwhile.following)
    check_all(few, read_back=False)
