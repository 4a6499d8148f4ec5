"""Schedules in time zones whose clocks change."""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from syncapp.engine import cron
from syncapp.errors import ConfigurationError

PARIS = ZoneInfo("Europe/Paris")


def times(expression: str, start: datetime, number: int = 3) -> list[str]:
    found = []
    for _ in range(number):
        start = cron.next_after(expression, "Europe/Paris", start)
        found.append(start.isoformat())
    return found


def test_a_time_that_does_not_exist_comes_at_the_next_valid_moment() -> None:
    assert times("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=PARIS)) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
        "2026-03-31T02:30:00+02:00",
    ]


def test_a_time_that_exists_twice_comes_once() -> None:
    assert times("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=PARIS)) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
        "2026-10-27T02:30:00+01:00",
    ]


def test_every_hour_stays_every_hour_when_the_clock_changes() -> None:
    hourly = [
        datetime.fromisoformat(text)
        for text in times("0 * * * *", datetime(2026, 10, 25, 0, 30, tzinfo=PARIS), 6)
    ]
    gaps = {later - earlier for earlier, later in itertools.pairwise(hourly)}
    assert {gap.total_seconds() for gap in gaps} == {3600}


def test_the_zone_is_the_schedules_not_the_servers() -> None:
    start = datetime(2026, 7, 1, tzinfo=ZoneInfo("UTC"))
    found = cron.next_after("0 3 * * *", "Asia/Tokyo", start)
    assert found.astimezone(ZoneInfo("UTC")).isoformat() == "2026-07-01T18:00:00+00:00"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 3 * * *", "At 03:00 every day"),
        ("0 9 * * 1-5", "At 09:00 on Monday through Friday"),
        ("*/15 * * * *", "Every 15th minute of every hour"),
    ],
)
def test_a_schedule_is_said_in_words(expression: str, words: str) -> None:
    assert cron.explain(expression) == words


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "has 0"),
        ("0 3 * *", "has 4"),
        ("* * * * * *", "has 6"),
        ("61 * * * *", "bad minute"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("x 3 * * *", "bad minute"),
        ("\0 3 * * *", "bad minute"),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_would_be_one(expression: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        cron.check(expression, "UTC")
    assert said in refused.value.message
    assert cron.DAILY in refused.value.message
    assert "day of the week" in refused.value.message


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="There is no time zone"):
        cron.check("0 3 * * *", "Europe/Atlantis")
