"""What a long outage has left is taken up without a person, in every mode."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import breakers, runs, schedule, takeup
from syncapp.engine.planning import DESTINATION_DOWN
from syncapp.errors import Unavailable
from syncapp.models import Breaker, Copy, Destination, Run, Source, Version
from syncapp.web.cards import overview
from tests.engine.conftest import Setting
from tests.engine.in_time import step, stored
from tests.servers.wire import Wire, running_wire

HOUR = timedelta(hours=1)


@pytest.fixture
def wire(few: Setting, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Between the workers and the bucket; lanes keep no spool for long."""
    settings.LANE_SECONDS = 1
    monkeypatch.setattr("syncapp.engine.feed.CALLS", 1)
    with running_wire(few.bucket.options["endpoint"]) as wire:
        few.bucket.options["endpoint"] = f"http://127.0.0.1:{wire.port}"
        few.bucket.save()
        yield wire


def ended_by_outage(few: Setting, wire: Wire) -> Run:
    run, _ = runs.request_backup(few.source)
    step(run)
    wire.mode = "refused"
    for _ in range(20):
        if run.ended_at:
            break
        step(run)
        Breaker.objects.exclude(state="closed").update(opened_at=timezone.now() - 2 * HOUR)
    assert (run.outcome, stored(few.folder), stored(few.bucket)) == ("failed", 40, 0)
    assert Version.objects.filter(error_code=DESTINATION_DOWN).count() == 40
    return run


@pytest.mark.parametrize("mode", ["manual", "scheduled"])
def test_a_backup_that_an_outage_ended_is_begun_again_when_it_is_over(
    few: Setting, wire: Wire, mode: str
) -> None:
    few.source.mode, few.source.cron = mode, "0 3 1 1 *"
    few.source.save()
    ended_by_outage(few, wire)
    Source.objects.update(next_at=timezone.now() + 48 * HOUR)
    at = takeup.taken_up_at(few.source)
    assert at is not None
    (card,) = overview(few.source.owner, timezone.now()).sources
    assert f"It is begun again by itself at {breakers.moment(at)}." == card.again
    wire.mode = "through"
    schedule.care(at - timedelta(seconds=1))
    assert not Run.objects.filter(ended_at=None).exists()
    schedule.care(at)
    again = Run.objects.get(ended_at=None)
    assert again.trigger == Run.Trigger.DEFERRED
    Breaker.objects.update(retry_at=timezone.now())
    for _ in range(5):
        step(again)
    assert (again.outcome, stored(few.bucket)) == (Run.Outcome.OK, 40), again.error_message
    assert takeup.taken_up_at(few.source) is None
    schedule.care(timezone.now() + 5 * HOUR)
    assert not Run.objects.filter(ended_at=None).exists(), "a manual source rests afterwards"


def test_a_destination_that_stays_away_is_tried_more_and_more_rarely(
    few: Setting, wire: Wire
) -> None:
    first = ended_by_outage(few, wire)
    assert first.ended_at is not None
    assert takeup.rest([first]) == timedelta(minutes=1)
    schedule.care(timezone.now() + HOUR)
    again = Run.objects.get(ended_at=None)
    Breaker.objects.update(retry_at=timezone.now())
    for _ in range(5):
        step(again)
    assert again.outcome == Run.Outcome.FAILED
    assert takeup.rest(takeup.last_runs(few.source)) == timedelta(minutes=2)


def test_a_spent_daily_quota_is_tried_again_in_manual_mode(few: Setting) -> None:
    few.control.add_fault("alt=media", status=403, reason="dailyLimitExceeded", count=1)
    run, _ = runs.request_backup(few.source)
    for _ in range(3):
        step(run)
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "daily_limit_exceeded")
    schedule.care(timezone.now() + timedelta(minutes=59))
    assert not Run.objects.filter(ended_at=None).exists()
    schedule.care(timezone.now() + timedelta(minutes=61))
    again = few.work(Run.objects.get(ended_at=None))
    assert again.outcome == Run.Outcome.OK, again.error_message
    assert not Version.objects.filter(attempts__gt=1).exists()


def test_what_one_destination_can_take_does_not_wait_for_another(few: Setting) -> None:
    run, _ = runs.request_backup(few.source)
    step(run)
    third = Destination.objects.create(owner=few.source.owner, name="Third", kind="local")
    few.source.destinations.add(third)
    breakers.fail(breakers.destination_key(third.pk), Unavailable("gone"), run)
    Version.objects.update(error_code=DESTINATION_DOWN, due_at=timezone.now() + HOUR)
    assert breakers.free_stranded(few.source) == 40
    Version.objects.update(error_code=DESTINATION_DOWN, due_at=timezone.now() + HOUR)
    Copy.objects.filter(destination=few.bucket).delete()
    Copy.objects.update(destination=third)
    assert breakers.free_stranded(few.source) == 0
