"""Modes with real workers: how soon a change is held twice, and that two hosts act once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import push
from syncapp.models import Copy, Run, Source
from tests.engine.conftest import Setting, make_setting
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info
from tests.servers.workers import Workers, running_workers, wait_until

pytestmark = pytest.mark.slow
EDITS = 7
FILES = 50


@pytest.fixture(autouse=True)
def _no_queue() -> None:
    """Here the real queue is used: lanes go to the worker processes."""


@pytest.fixture
def live(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    """A source in real time, of which nothing is stored yet."""
    with running_emulator("synthetic", files=FILES, file_size=10_000) as google:
        setting = make_setting(google, s3_server, tmp_path, settings)
        Source.objects.update(mode="realtime")
        yield setting


def stored(remote_id: str, sha256: str) -> bool:
    """Whether both destinations hold this content."""
    copies = Copy.objects.filter(
        version__file__remote_id=remote_id, version__sha256=sha256, state=Copy.State.STORED
    )
    return copies.count() == 2


def wait_for_first_backup(setting: Setting, workers: Workers) -> None:
    """Nobody asks for it: real time begins by itself."""
    wait_until(
        lambda: setting.source.runs.filter(outcome="ok").exists(),
        60,
        f"the first backup\n{workers.log[-3000:]}",
    )


def latencies(setting: Setting, workers: Workers, longest: float) -> list[float]:
    """Seconds from an edit to the second copy's being stored, of several edits."""
    found = []
    files = [entry for entry in setting.control.manifest() if entry.get("sha256")]
    for number, entry in enumerate(files[:EDITS]):
        edited = setting.control.edit(entry["id"], f"edit {number}".encode())
        began = time.monotonic()
        wait_until(
            lambda edited=edited: stored(edited["id"], edited["sha256"]),
            longest * 4,
            f"edit {number}\n{workers.log[-3000:]}",
        )
        found.append(time.monotonic() - began)
        time.sleep(0.37 * number)  # so that edits fall at different places between two looks
    return found


def test_a_pushed_change_is_stored_within_three_seconds(
    live: Setting, live_server: Any, tmp_path: Path, record_testsuite_property: Any
) -> None:
    with running_workers(
        tmp_path, PUBLIC_URL=live_server.url, PUSH="on", POLL_SECONDS="60"
    ) as workers:
        wait_for_first_backup(live, workers)
        Source.objects.update(next_at=timezone.now())  # a first look opens the channel

        def is_pushed() -> bool:
            live.source.refresh_from_db()
            return push.alive(live.source)

        wait_until(is_pushed, 30, f"Google's first call\n{workers.log[-3000:]}")
        seconds = latencies(live, workers, 3)
    record_testsuite_property("pushed_s", seconds)
    assert median(seconds) <= 3, seconds


def test_a_polled_change_is_stored_three_seconds_after_the_next_look(
    live: Setting, tmp_path: Path, record_testsuite_property: Any
) -> None:
    with running_workers(tmp_path, POLL_SECONDS="5") as workers:
        wait_for_first_backup(live, workers)
        seconds = latencies(live, workers, 5 + 3)
    record_testsuite_property("polled_s", seconds)
    assert max(seconds) <= 5 + 3, seconds


def test_two_hosts_begin_each_scheduled_backup_once(live: Setting, tmp_path: Path) -> None:
    Source.objects.update(mode="scheduled", cron="0 0 1 1 *", reconcile_days=0)
    second = tmp_path / "second"
    second.mkdir()
    with running_workers(tmp_path) as workers, running_workers(second):
        wait_for_first_backup(live, workers)
        for number in range(2, 12):
            Source.objects.update(next_at=timezone.now())
            wait_until(
                lambda number=number: live.source.runs.filter(outcome="ok").count() >= number,
                30,
                f"backup {number}\n{workers.log[-3000:]}",
            )
        time.sleep(2)  # for one too many to come
    assert live.source.runs.count() == 11
    assert set(live.source.runs.values_list("trigger", flat=True)) == {Run.Trigger.SCHEDULE}
    assert set(live.source.runs.values_list("scan", flat=True)) == {"full", "changes"}
