"""Google wants to be left alone for an hour or more: the account waits so long, and goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import breakers, poll, runs
from syncapp.errors import RateLimited
from syncapp.models import Attempt, Breaker, Event, Run, Source, Version
from syncapp.web.cards import overview
from tests.engine.conftest import Setting
from tests.engine.in_time import step
from tests.engine.test_outages import Clock, clock  # noqa: F401 - a fixture

ASKED = timedelta(hours=2)
LATER = RateLimited("Google asks for a slower pace.", retry_after_s=7200)
REFUSALS = [(429, "rateLimitExceeded"), (403, "userRateLimitExceeded"), (503, "backendError")]


def refuse(few: Setting, where: str, status: int = 429, reason: str = "rateLimitExceeded") -> None:
    few.control.add_fault(where, status=status, reason=reason, retry_after="7200")


def requests(few: Setting) -> int:
    made = few.control.counters()["requests"]
    return sum(number for kind, number in made.items() if kind != "control")


def is_waited_for(few: Setting, run: Run) -> None:
    """Told with its time on the page and as an event; nothing is asked, nothing is at work."""
    row = Breaker.objects.get(key=breakers.account_key(few.source.account_id))
    assert row.retry_at is not None
    assert timedelta(minutes=119) < row.retry_at - timezone.now() <= ASKED
    at = breakers.moment(row.retry_at)
    assert f"the next try is at {at}" in Event.objects.get(code="account_down").message
    (card,) = overview(few.source.owner, timezone.now()).sources
    assert card.label == "Can't be read just now"
    assert f"The next try is at {at}" in card.reason
    asked = requests(few)
    for _ in range(5):
        step(run)
    assert requests(few) == asked, "no busy tries"
    assert run.ended_at is None


def goes_on(few: Setting, run: Run, clock: Clock) -> None:  # noqa: F811
    few.control.clear_faults()
    clock.by = ASKED + timedelta(seconds=5)
    for _ in range(5):
        step(run)
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 40), run.error_message
    assert not Version.objects.filter(attempts__gt=1).exists()
    assert not Event.objects.filter(level=Event.Level.ALERT).exists()
    assert Event.objects.filter(code="account_up").exists()


@pytest.mark.parametrize(("status", "reason"), REFUSALS)
def test_a_transfer_waits_as_long_as_google_asks(
    few: Setting,
    clock: Clock,  # noqa: F811
    settings: Any,
    status: int,
    reason: str,
) -> None:
    settings.GOOGLE_UNITS_PER_MINUTE = 600_000  # so that readers wait in the pace, too
    run, _ = runs.request_backup(few.source)
    step(run)
    refuse(few, "alt=media", status, reason)
    step(run)
    is_waited_for(few, run)
    assert Version.objects.filter(attempts=0, lease_owner="").count() == 40
    assert not Attempt.objects.filter(number__gt=1).exists()
    goes_on(few, run, clock)


def test_a_scan_waits_as_long_as_google_asks(few: Setting, clock: Clock) -> None:  # noqa: F811
    refuse(few, "/drive/v3/files[?]")
    run, _ = runs.request_backup(few.source)
    step(run)
    is_waited_for(few, run)
    goes_on(few, run, clock)


def test_a_silence_that_is_asked_for_again_and_again_fails_no_run(
    few: Setting,
    clock: Clock,  # noqa: F811
) -> None:
    run, _ = runs.request_backup(few.source)
    step(run)
    refuse(few, "alt=media")
    for hours in (0, 2, 4, 6):
        clock.by = timedelta(hours=hours, seconds=hours * 10)
        step(run)
        assert run.ended_at is None
    few.control.clear_faults()
    clock.by = timedelta(hours=9)
    for _ in range(5):
        step(run)
    assert run.outcome == Run.Outcome.OK, run.error_message


def test_polls_keep_the_silence(few: Setting, clock: Clock) -> None:  # noqa: F811
    few.back_up()
    Source.objects.update(mode="realtime", polled_at=None, next_at=timezone.now())
    refuse(few, "/drive/v3/changes")
    poll.poll(few.source.pk)
    asked = requests(few)
    for _ in range(3):
        poll.poll(few.source.pk)
    assert requests(few) == asked
    few.source.refresh_from_db()
    assert few.source.next_at is not None
    assert few.source.next_at - timezone.now() > timedelta(minutes=119)
    few.control.clear_faults()
    clock.by = ASKED + timedelta(seconds=5)
    poll.poll(few.source.pk)
    assert breakers.silent_until(few.source) is None
    assert not Run.objects.filter(ended_at=None).exists()


def test_other_accounts_go_on(few: Setting) -> None:
    run, _ = runs.request_backup(few.source)
    breakers.outage(breakers.account_key(few.source.account_id + 1), LATER, run)
    step(run)
    step(run)
    assert run.outcome == Run.Outcome.OK
