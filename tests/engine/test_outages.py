"""Services that stop answering, or answer "later": runs wait and complete by themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from syncapp.destinations import s3_client
from syncapp.engine import breakers, runs
from syncapp.models import Breaker, Event, Lane, Run, Version
from tests.engine.conftest import Setting
from tests.engine.in_time import step, stored, wait_for, worked
from tests.servers.wire import Wire, running_wire

DAY = timedelta(days=1)
LIST = "/drive/v3/files[?]"


def test_a_file_that_google_holds_back_for_hours_does_not_keep_the_run_open(few: Setting) -> None:
    few.control.add_fault("alt=media", status=403, reason="downloadQuotaExceeded", count=1)
    run, _ = runs.request_backup(few.source)
    for _ in range(3):
        step(run)
    assert run.outcome == Run.Outcome.WARNINGS, run.error_message
    assert (run.files_done, run.files_deferred) == (39, 1)
    waiting = Version.objects.get(state=Version.State.PENDING)
    assert waiting.error_code == "download_quota_exceeded"
    assert timedelta(minutes=40) < waiting.due_at - timezone.now() < timedelta(hours=2)
    told = Event.objects.get(code="run_warnings").message
    assert "1 file waiting for Google's download quota until" in told
    run = few.back_up()  # `back_up` makes what waits due
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 1), run.error_message


def test_a_scan_waits_for_google_and_goes_on_by_itself(few: Setting) -> None:
    few.control.add_fault(LIST, status=503)
    run, _ = runs.request_backup(few.source)
    step(run)
    key = breakers.account_key(few.source.account_id)
    row = Breaker.objects.get(key=key)
    assert row.state == Breaker.State.OPEN
    assert run.retry_at == row.retry_at
    for _ in range(8):  # longer than MOST_FAULTS
        Run.objects.update(retry_at=None)
        Breaker.objects.update(retry_at=timezone.now())
        step(run)
    assert run.ended_at is None
    few.control.clear_faults()
    Run.objects.update(retry_at=None)
    few.work(run)
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert Breaker.objects.get(key=key).state == Breaker.State.CLOSED
    assert Event.objects.filter(code="account_up").count() == 1


def test_a_scan_that_google_does_not_answer_for_an_hour_ends_its_run(few: Setting) -> None:
    few.control.add_fault(LIST, status=503)
    run, _ = runs.request_backup(few.source)
    step(run)
    hours = timedelta(hours=2)
    Breaker.objects.update(opened_at=timezone.now() - hours, retry_at=timezone.now())
    Run.objects.update(retry_at=None)
    step(run)
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "unavailable")
    few.control.clear_faults()
    assert few.back_up().outcome == Run.Outcome.OK


@pytest.fixture
def wire(few: Setting, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Between the workers and the bucket."""
    monkeypatch.setattr("syncapp.engine.feed.CALLS", 1)
    with running_wire(few.bucket.options["endpoint"]) as wire:
        few.bucket.options["endpoint"] = f"http://127.0.0.1:{wire.port}"
        few.bucket.save()
        yield wire


@pytest.mark.parametrize("mode", ["refused", pytest.param("silent", marks=pytest.mark.slow)])
def test_a_bucket_that_is_away_delays_only_its_own_copies(
    few: Setting, wire: Wire, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is served at its own pace; when the bucket is back the run completes."""
    monkeypatch.setitem(s3_client._CONFIG, "read_timeout", 1)
    monkeypatch.setitem(s3_client._CONFIG, "retries", {"total_max_attempts": 1})
    monkeypatch.setattr("syncapp.wire.STALL_TIMEOUT_S", 1)
    run, _ = runs.request_backup(few.source)
    step(run)
    wire.mode = mode
    thread = worked(run)
    key = breakers.destination_key(few.bucket.pk)
    wait_for(lambda: Breaker.objects.filter(key=key, opened__gte=2).exists())
    wait_for(lambda: stored(few.folder) == 40)
    assert stored(few.bucket) == 0
    told = Event.objects.filter(code="destination_down").first()
    assert told is not None
    assert told.destination == few.bucket
    assert "the next try is at" in told.message
    wire.mode = "through"
    thread.join(60)
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 40), run.error_message
    assert stored(few.bucket) == 40
    assert Breaker.objects.get(key=key).state == Breaker.State.CLOSED
    assert not Version.objects.filter(attempts__gt=2).exists(), "an outage burns no attempts"
    assert not Event.objects.filter(level=Event.Level.ALERT).exists()


class Clock:
    """What this process takes for the time; `by` is how far it is off."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.by = timedelta(0)
        real = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: real() + self.by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_clock_that_jumps_forward_and_back_loses_nothing(few: Setting, clock: Clock) -> None:
    run, _ = runs.request_backup(few.source)
    step(run)
    few.control.add_fault("alt=media", delay_s=0.5, count=5)
    jump = threading.Timer(0.3, lambda: setattr(clock, "by", DAY))
    jump.start()
    few.work(run)
    jump.join()
    assert run.outcome == Run.Outcome.OK, run.error_message
    clock.by = timedelta(0)
    few.control.edit(next(iter(few.truth())), b"edited after the clock was put right")
    run = few.back_up()
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 1), run.error_message


def test_what_a_dead_worker_held_is_free_although_the_clock_was_set_back(
    few: Setting, clock: Clock
) -> None:
    run, _ = runs.request_backup(few.source)
    step(run)
    tomorrow = timezone.now() + DAY
    Lane.objects.create(run=run, stage=run.stage, owner="dead", heartbeat_at=tomorrow)
    Version.objects.update(lease_owner="dead", due_at=tomorrow)
    Run.objects.update(retry_at=tomorrow)
    for _ in range(5):
        step(run)
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 40), run.error_message
