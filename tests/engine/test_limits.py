"""Shared paces: many processes and threads draw from one row."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from syncapp.engine.limits import GooglePace, Limit, writing
from syncapp.errors import Interrupted, LetAlone
from syncapp.models import Destination, Pace
from syncapp.pacing import BURST_S
from tests.engine.conftest import Setting
from tests.servers.workers import ROOT, environment

MIB = 1024**2
pytestmark = pytest.mark.django_db(transaction=True)


def test_four_processes_together_get_no_more_than_is_allowed_and_nearly_all_of_it(
    tmp_path: Path,
) -> None:
    ceiling, seconds = 1000.0, 6.0
    began = time.monotonic()
    got = drawn(4, tmp_path, "k", ceiling, 20, seconds)
    passed = time.monotonic() - began
    assert sum(got) <= ceiling * passed
    assert sum(got) >= ceiling * (seconds - 2) * 0.7
    assert min(got) > 0, "each gets a share"


def drawn(processes: int, folder: Path, key: str, *numbers: float) -> list[float]:
    """What each of several processes got of one shared limit."""
    command = [sys.executable, "-m", "tests.engine.drawer", key, *map(str, numbers)]
    drawers = [
        subprocess.Popen(
            command, cwd=ROOT, env=environment(folder), stdout=subprocess.PIPE, text=True
        )
        for _ in range(processes)
    ]
    return [float(drawer.communicate(timeout=60)[0]) for drawer in drawers]


@pytest.mark.long
def test_two_processes_keep_a_destinations_bandwidth_within_15_percent(tmp_path: Path) -> None:
    owner = User.objects.create_user("o", "o@example.org", "a long passphrase")
    folder = Destination.objects.create(owner=owner, name="D", kind="local", bwlimit="4M")
    seconds = 10.0
    got = drawn(2, tmp_path, f"write:{folder.pk}", 0, 64 * 1024, seconds)
    rate = sum(got) / seconds
    assert 4 * MIB * 0.85 <= rate <= 4 * MIB * 1.15
    assert min(got) > 0


def test_another_limit_acts_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = User.objects.create_user("o", "o@example.org", "a long passphrase")
    folder = Destination.objects.create(owner=owner, name="D", kind="local", bwlimit="64k")
    limit = writing(folder.pk)
    began = time.monotonic()
    limit.take(64 * 1024)
    assert time.monotonic() - began > 0.5
    Destination.objects.update(bwlimit="")
    began = time.monotonic()
    limit.take(100 * MIB)
    assert time.monotonic() - began < 5


def test_the_timetables_next_entry_acts_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = User.objects.create_user("o", "o@example.org", "a long passphrase")
    table = "08:00,64k 12:00,off"
    folder = Destination.objects.create(owner=owner, name="D", kind="local", bwlimit=table)
    noon = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    began = time.monotonic()

    def local() -> datetime:
        return noon + timedelta(seconds=time.monotonic() - began - 2)

    monkeypatch.setattr(timezone, "localtime", local)
    limit = writing(folder.pk)
    limit.take(64 * 1024)
    limit.take(100 * MIB)
    assert 1.5 < time.monotonic() - began < 8


def test_a_busy_process_writes_the_row_at_most_about_twice_a_second() -> None:
    limit = Limit("k", lambda: 1000.0)
    with CaptureQueriesContext(connection) as queries:
        began = time.monotonic()
        while time.monotonic() - began < 3:
            limit.take(5)
    writes = [q for q in queries if q["sql"].startswith("UPDATE")]
    assert len(writes) <= 8


def test_what_was_not_spent_is_lost_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncapp.engine.limits.KEEP_S", 0.2)
    limit = Limit("k", lambda: 1000.0)
    limit.take(1)
    assert limit._tokens > 100
    threading.Event().wait(0.3)
    limit.take(1)
    assert Pace.objects.get().tokens < 1000 * BURST_S


def test_a_wait_ends_soon_after_the_work_is_to_stop() -> None:
    stop = threading.Event()
    limit = Limit("k", lambda: 1.0, stop.is_set)
    ended: list[float] = []

    def wait() -> None:
        try:
            limit.take(1000)
        except Interrupted:
            ended.append(time.monotonic())
        finally:
            connection.close()

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.5)
    asked = time.monotonic()
    stop.set()
    for thread in threads:
        thread.join(5)
    assert len(ended) == 3
    assert max(ended) - asked < 1.5


def test_nobody_waits_for_a_turn_that_is_of_no_use_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Readers stand in a line for one pace: each would wait its while after the one before."""

    def refuse() -> None:
        raise LetAlone("Google asks to be left alone.")

    def wait(*_: object) -> None:
        raise AssertionError("it waited")

    monkeypatch.setattr("syncapp.engine.limits.wait", wait)
    with pytest.raises(LetAlone):
        Limit("k", lambda: 1.0, check=refuse).take(1000)


def test_no_limit_touches_no_database() -> None:
    limit = Limit("k", lambda: 0.0)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(100):
            limit.take(10**9)
        limit.refused(5.0)
    assert len(queries) == 0


def test_a_refusal_silences_every_process(settings: Any) -> None:
    settings.GOOGLE_UNITS_PER_MINUTE = 60_000
    one, other = GooglePace(1), GooglePace(1)
    one.take(5)
    one.refused(1.5)
    began = time.monotonic()
    other.take(5)
    assert time.monotonic() - began > 1.0
    row = Pace.objects.get(key="google:account:1")
    assert row.rate < row.ceiling
    assert row.slowed_at is not None
    assert row.slowed_at <= timezone.now()


def test_rate_answers_of_google_fail_no_file_and_burn_no_attempt(
    few: Setting, settings: Any
) -> None:
    settings.GOOGLE_UNITS_PER_MINUTE = 10**6
    few.control.add_fault("alt=media", status=429, reason="rateLimitExceeded", count=30)
    few.control.add_fault(
        "alt=media", status=403, reason="userRateLimitExceeded", domain="usageLimits", count=30
    )
    run = few.back_up()
    assert (run.outcome, run.files_done) == ("ok", 40), run.error_message
    row = Pace.objects.get(key=f"google:account:{few.source.account_id}")
    assert row.slowed_at is not None


def test_a_run_spends_no_more_of_the_quota_than_flows_in(few: Setting, settings: Any) -> None:
    """The stand-in counts as Google does; it refuses nothing, because nothing is too much."""
    settings.GOOGLE_UNITS_PER_MINUTE = 120_000
    few.control.set_quota(120_000)
    few.control.reset_counters()
    began = time.monotonic()
    assert few.back_up().outcome == "ok"
    passed = time.monotonic() - began
    counted = few.control.counters()
    spent = sum(counted["units"].values())
    assert spent >= 40 * 200
    assert spent <= 2000 * passed
    assert not {"403", "429"} & set(counted["statuses"])
