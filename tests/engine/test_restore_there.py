"""What a restore finds at its target: told apart from what it has written itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncapp.engine import restore_report
from syncapp.engine.restore_lane import RestoreLane
from syncapp.models import Event, Lane
from tests.engine.restores import items, one_lane, out, request, vault, work
from tests.engine.vault import Vault

__all__ = ["out", "vault"]


def test_what_else_has_a_name_is_named_and_never_counted_as_restored(
    vault: Vault, out: Path
) -> None:
    for name in ("changed.txt", "gone.txt", "same.txt"):
        vault.file(name, name.encode())
    vault.folder("Empty")
    work(request(vault, out))
    (out / "changed.txt").write_bytes(b"somebody's")
    (out / "gone.txt").unlink()

    run = work(request(vault, out))

    expected = {"changed.txt": "skipped", "gone.txt": "done", "same.txt": "there"}
    assert items(run) == expected | {"Empty": "there"}
    assert (run.files_done, run.files_there, run.files_skipped) == (1, 2, 1)
    assert run.outcome == "warnings"
    told = Event.objects.filter(run=run).latest("pk").message
    assert "1 left alone, where something else has the name" in told
    assert "Something else of this name is there" in "".join(restore_report.text(run.restore))
    assert (out / "changed.txt").read_bytes() == b"somebody's"


@pytest.mark.parametrize("to", ["folder", "destination"])
def test_what_a_killed_lane_had_placed_is_restored_and_what_was_there_before_is_not(
    vault: Vault, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    newer = [vault.file(f"newer {n}.txt", b"newer %d" % n).file for n in range(3)]
    older = [vault.file(f"older {n}.txt", b"older %d" % n).file for n in range(3)]
    place = vault.add_folder(tmp_path / "other", "other") if to == "destination" else out
    work(request(vault, place, *older))
    monkeypatch.setattr("syncapp.engine.restore_lane.BATCH", 3)
    run = request(vault, place, *newer, *older)

    def killed(lane: RestoreLane) -> None:
        lane._finish()
        if lane._results:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RestoreLane, "_settle", killed)
        with pytest.raises(KeyboardInterrupt):
            one_lane(run)
    Lane.objects.filter(run=run).update(ended_at="2026-01-01T00:00:00Z")
    assert set(items(run).values()) == {"pending"}

    work(run)

    newly = {f"newer {n}.txt": "done" for n in range(3)}
    assert items(run) == newly | {f"older {n}.txt": "there" for n in range(3)}
    assert (run.outcome, run.files_done, run.files_there) == ("ok", 3, 3)
    assert run.restore.in_hand == []
