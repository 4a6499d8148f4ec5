"""Retention: examples that a person can check, and what must hold for any rules and times."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncapp.retention import Reason, Rules, kept

NOW = datetime(2026, 11, 25, 15, 30, tzinfo=UTC)  # a Wednesday
NOTHING = Rules(everything=False)
ZONES = [ZoneInfo(n) for n in ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu")]

moments = st.lists(
    st.datetimes(datetime(2019, 1, 1), datetime(2026, 12, 31)).map(lambda m: m.replace(tzinfo=UTC)),
    max_size=25,
)
times = st.datetimes(datetime(2019, 6, 1), datetime(2027, 6, 1)).map(
    lambda m: m.replace(tzinfo=UTC)
)
numbers = st.integers(0, 6)
any_rules = st.builds(
    Rules,
    everything=st.just(False),
    **{field.name: numbers for field in fields(Rules) if field.name != "everything"},
)
zones = st.sampled_from(ZONES)


def days_ago(*days: float) -> list[datetime]:
    return [NOW - timedelta(days=number) for number in days]


def left(seen: list[datetime], rules: Rules, now: datetime, zone: ZoneInfo) -> list[datetime]:
    reasons = kept(seen, rules, now, zone)
    return [moment for moment, why in zip(seen, reasons, strict=True) if why]


@pytest.mark.parametrize(
    ("rules", "ages", "stay"),
    [
        (NOTHING, [0, 1, 2], [0]),
        (Rules(everything=False, last=2), [0, 1, 2], [0, 1]),
        # On the tenth day back the file still was what had been seen 12 days ago.
        (Rules(everything=False, days=10), [1, 9, 12, 30], [1, 9, 12]),
        # Ends of today, yesterday and the day before; there were two versions yesterday.
        (Rules(everything=False, daily=3), [0.1, 1.0, 1.2, 2.1, 5], [0.1, 1.0, 2.1]),
        # Nothing changed lately: what it was at the end of each of the last days is one version.
        (Rules(everything=False, daily=7), [20, 40], [20]),
        # Monday was two days ago; last week ended with what was seen three days ago.
        (Rules(everything=False, weekly=2), [1, 3, 4, 10], [1, 3]),
        (Rules(everything=False, monthly=3), [2, 26, 40, 70, 90], [2, 26, 70]),
        (Rules(everything=False, yearly=2), [10, 200, 330, 400, 800], [10, 330]),
        (Rules(everything=False, hourly=2), [0.01, 0.03, 0.04, 0.1], [0.01, 0.03]),
        (Rules(everything=False, last=1, yearly=9), [1, 400, 500, 900], [1, 400, 900]),
    ],
)
def test_what_stays(rules: Rules, ages: list[float], stay: list[float]) -> None:
    assert left(days_ago(*ages), rules, NOW, ZONES[0]) == days_ago(*stay)


def test_days_are_those_of_the_zone() -> None:
    seen = [datetime(2026, 11, 24, 12, tzinfo=UTC), datetime(2026, 11, 24, 23, 30, tzinfo=UTC)]
    seen.append(NOW)
    two = Rules(everything=False, daily=2)

    assert left(seen, two, NOW, ZoneInfo("UTC")) == [seen[1], seen[2]]
    # In Berlin, 23:30 UTC is half past midnight of the 25th.
    assert left(seen, two, NOW, ZoneInfo("Europe/Berlin")) == [seen[0], seen[2]]


def test_every_reason_is_told() -> None:
    rules = Rules(everything=False, last=1, days=1, daily=2)

    assert kept(days_ago(2, 0.1), rules, NOW) == [
        (Reason.DAYS, Reason.DAILY),
        (Reason.NEWEST, Reason.LAST, Reason.DAYS, Reason.DAILY),
    ]


@given(moments, any_rules, times, zones)
def test_everything_keeps_everything(
    seen: list[datetime], rules: Rules, now: datetime, zone: ZoneInfo
) -> None:
    assert left(seen, replace(rules, everything=True), now, zone) == seen


@given(moments, any_rules, times, zones)
def test_the_newest_always_stays(
    seen: list[datetime], rules: Rules, now: datetime, zone: ZoneInfo
) -> None:
    assert not seen or max(seen) in left(seen, rules, now, zone)


@given(moments, any_rules, times, zones)
def test_pruning_twice_is_pruning_once(
    seen: list[datetime], rules: Rules, now: datetime, zone: ZoneInfo
) -> None:
    once = left(seen, rules, now, zone)

    assert left(once, rules, now, zone) == once


@given(moments, any_rules, times, st.timedeltas(timedelta(0), timedelta(days=900)), zones)
def test_what_was_let_go_is_never_wanted_later(
    seen: list[datetime], rules: Rules, now: datetime, later: timedelta, zone: ZoneInfo
) -> None:
    then = [moment for moment in seen if moment <= now]
    since = [moment for moment in seen if moment > now]

    often = left(left(then, rules, now, zone) + since, rules, now + later, zone)
    seldom = left(then + since, rules, now + later, zone)

    assert often == seldom


@given(moments, any_rules, st.data(), times, zones)
def test_more_generous_rules_keep_no_less(
    seen: list[datetime], rules: Rules, data: st.DataObject, now: datetime, zone: ZoneInfo
) -> None:
    name = data.draw(st.sampled_from([f.name for f in fields(Rules) if f.name != "everything"]))
    more = replace(rules, **{name: getattr(rules, name) + data.draw(st.integers(1, 5))})

    assert set(left(seen, rules, now, zone)) <= set(left(seen, more, now, zone))


@given(moments, times, st.integers(1, 400), zones)
def test_any_state_of_the_last_days_stays(
    seen: list[datetime], now: datetime, days: int, zone: ZoneInfo
) -> None:
    stay = left(seen, Rules(everything=False, days=days), now, zone)

    for hours in range(0, days * 24, 7):
        then = now - timedelta(hours=hours)
        past = [moment for moment in seen if moment <= then]
        assert not past or max(past) in stay


def test_numbers_beyond_all_time_are_no_error() -> None:
    vast = 10**9
    rules = Rules(False, vast, vast, vast, vast, vast, vast, vast)

    assert left(days_ago(1, 2, 3000), rules, NOW, ZONES[1]) == days_ago(1, 2, 3000)
