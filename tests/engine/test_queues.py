"""Scans, transfers and verifications have hands of their own: none waits for the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncapp.engine import dispatch, queues, runs
from syncapp.models import Lane, Policy, Run, Source
from tests.engine.conftest import Setting, make_setting
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info
from tests.servers.workers import running_workers, wait_until


@pytest.fixture(autouse=True)
def _no_queue() -> None:
    """Here the real queue is used, unless a test says otherwise."""


@pytest.fixture
def setting(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    with running_emulator("synthetic", files=120, file_size=3000) as google:
        yield make_setting(google, s3_server, tmp_path, settings)


def second_source(setting: Setting) -> Source:
    """The same Drive under another account's name, to the same destinations."""
    account = setting.source.account
    account.pk, account.uid = None, "another"
    account.save()
    other = Source.objects.create(
        owner=setting.source.owner, account=account, name="Other", slug="other", mode="manual"
    )
    other.destinations.set(setting.source.destinations.all())
    return other


def ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.ended_at is not None


def test_every_stage_with_lanes_has_a_queue(settings: Any) -> None:
    worked_at = set(Run.Stage) - {Run.Stage.QUEUED, Run.Stage.DONE}
    assert set(queues.OF_STAGE) == worked_at
    assert set(queues.OF_STAGE.values()) == set(settings.QUEUES)


def test_a_lane_that_is_at_a_file_for_days_is_not_ended(settings: Any) -> None:
    chosen = settings.Q_CLUSTER
    for name in set(settings.QUEUES) - {queues.SCAN}:
        timeout = chosen["ALT_CLUSTERS"].get(name, {}).get("timeout", chosen["timeout"])
        assert timeout >= 14 * 86_400


def test_a_scan_and_a_verification_do_not_wait_for_transfers(
    setting: Setting, tmp_path: Path
) -> None:
    other = second_source(setting)
    Policy.objects.create(owner=setting.source.owner, guard_percent=100)
    with running_workers(tmp_path, WORKERS="1", FILES_IN_FLIGHT="4") as workers:
        first, _ = runs.request_backup(setting.source)
        wait_until(lambda: ended(first), 90, f"a first backup\n{workers.log[-2000:]}")
        for entry in list(setting.control.manifest())[:100]:
            if entry["kind"] == "blob":
                setting.control.edit(entry["id"])
        setting.control.add_fault("alt=media", delay_s=4)
        slow, _ = runs.request_backup(setting.source)
        busy = Lane.objects.filter(run=slow, stage="transfer", ended_at=None).exclude(owner="")
        wait_until(busy.exists, 60, "the only transfer worker at work")
        check, _ = runs.request_verify(setting.source, everything=True)
        scan, _ = runs.request_backup(other)
        wait_until(lambda: ended(check), 60, "the verification's end")
        wait_until(lambda: not ended(scan) and scan.stage == "transfer", 60, "the scan's end")
        assert not ended(slow), "the transfers were too quick to tell anything"
        setting.control.clear_faults()


def test_whole_listings_leave_a_hand_for_change_logs(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(dispatch, "async_task", lambda *_, cluster: asked.append(cluster))
    other = second_source(setting)
    first, _ = runs.request_backup(setting.source)
    runs.request_backup(other)
    dispatch.tick()
    dispatch.tick()
    assert asked == ["scan"], "the second listing waits for the first"
    assert Lane.objects.get().run == first
    other.cursor = {"user": "1"}
    other.save()
    dispatch.tick()
    assert asked == ["scan", "scan"], "a change log is read at once"
