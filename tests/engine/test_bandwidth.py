"""Bandwidth limits: what rclone's words mean, and that they are kept."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncapp.engine.bandwidth import NO_LIMIT, Rate, parse, sentence
from syncapp.errors import ConfigurationError

MONDAY = datetime(2026, 11, 23)
KIB, MIB = 1024.0, 1024.0**2


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10M", 10 * MIB), ("512", 512 * KIB), ("512k", 512 * KIB), ("1.5M", 1.5 * MIB),
        ("4096B", 4096), ("1G", 1024 * MIB), ("10MiB", 10 * MIB), ("10Mb", 10 * MIB),
        ("off", 0), ("OFF", 0), ("0", 0), ("", 0), (".5M", 0.5 * MIB), ("9" * 400 + "P", MIB**2.5),
    ],
)  # fmt: skip
def test_one_limit_holds_always(text: str, limit: float) -> None:
    assert parse(text).at(MONDAY) == Rate(limit, limit)


def test_two_limits_are_up_and_down() -> None:
    assert parse("10M:1M").at(MONDAY) == Rate(10 * MIB, MIB)
    assert parse("off:1M").at(MONDAY) == Rate(0, MIB)


@pytest.mark.parametrize(
    ("at", "limit"),
    [
        ("00:00", 0), ("07:59", 0), ("08:00", 512 * KIB), ("11:59", 512 * KIB),
        ("12:00", 10 * MIB), ("22:59", 10 * MIB), ("23:00", 0),
    ],
)  # fmt: skip
def test_a_timetable_repeats_every_day(at: str, limit: float) -> None:
    table = parse("08:00,512k 12:00,10M 23:00,off")
    hour, minute = map(int, at.split(":"))
    for day in range(7):
        assert table.at(MONDAY + timedelta(days=day, hours=hour, minutes=minute)).up == limit


def test_entries_with_days_hold_until_the_next_entry_of_the_week() -> None:
    table = parse("Mon-00:00,512 Fri-23:59,10M Sat-10:00,1M sunday-20:00,off")
    friday, saturday, sunday = (MONDAY + timedelta(days=n) for n in (4, 5, 6))
    assert table.at(MONDAY).up == 512 * KIB
    assert table.at(friday + timedelta(hours=23, minutes=58)).up == 512 * KIB
    assert table.at(friday + timedelta(hours=23, minutes=59)).up == 10 * MIB
    assert table.at(saturday + timedelta(hours=10)).up == MIB
    assert table.at(sunday + timedelta(hours=19, minutes=59)).up == MIB
    assert table.at(sunday + timedelta(hours=20)).up == 0


def test_before_the_weeks_first_entry_the_last_one_of_the_week_before_holds() -> None:
    assert parse("Wed-12:00,1M").at(MONDAY).up == MIB


def test_a_day_of_its_own_goes_before_every_day() -> None:
    table = parse("08:00,1M Sun-08:00,off")
    assert table.at(MONDAY + timedelta(hours=9)).up == MIB
    assert table.at(MONDAY + timedelta(days=6, hours=9)).up == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fast", "“fast” is no limit"), ("10X", "“10X” is no limit"), ("-5M", "no limit"),
        ("25:00,1M", "“25:00” is no time of day"), ("08:60,1M", "no time of day"),
        ("Foo-08:00,1M", "“Foo” is no day"), ("08:00,1M 10M", "“10M” is no entry"),
        ("08:00,", "“” is no limit"), ("1B", "less than 1 KiB"), ("1M:2M:3M", "no limit"),
        ("10 M", "no entry"), ("08:00-1M", "no limit"), ("-08:00,1M", "“” is no day"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        parse(text)
    assert caught.value.code == "bad_bwlimit"


@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused_with_a_sentence(text: str) -> None:
    with suppress(ConfigurationError):
        assert parse(text).at(MONDAY).up >= 0


limits = st.one_of(st.just("off"), st.integers(1, 10**6).map(lambda n: f"{n}k"))
times = st.tuples(st.sampled_from(["", "Mon-", "thu-", "Sunday-"]), st.times()).map(
    lambda t: f"{t[0]}{t[1]:%H:%M}"
)


@given(
    st.lists(st.tuples(times, limits), min_size=1, max_size=8),
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1)),
)
def test_at_any_moment_the_latest_entry_holds(
    entries: list[tuple[str, str]], moment: datetime
) -> None:
    """Against a search backwards from the moment, day by day and entry by entry."""
    table = parse(" ".join(f"{when},{limit}" for when, limit in entries))

    def starts(when: str, at: datetime) -> bool:
        day, _, time = when.rpartition("-")
        return f"{at:%H:%M}" == time and (not day or f"{at:%a}".lower() == day.lower()[:3])

    candidates = sorted({when.rpartition("-")[2] for when, _ in entries})
    found: str | None = None
    for back in range(8):
        day = moment - timedelta(days=back)
        for time in reversed(candidates):
            at = day.replace(hour=int(time[:2]), minute=int(time[3:]))
            if at > moment or found is not None:
                continue
            matching = [limit for when, limit in entries if starts(when, at)]
            found = matching[-1] if matching else None
        if found is not None:
            break
    assert found is not None
    assert table.at(moment) == parse(found).at(moment)


def test_an_empty_limit_is_no_limit() -> None:
    assert parse("  ") is NO_LIMIT


@pytest.mark.parametrize(
    ("limit", "words"), [(0, "no limit"), (512 * KIB, "512 KiB/s"), (1.5 * MIB, "1.5 MiB/s")]
)
def test_a_limit_is_told_in_words(limit: float, words: str) -> None:
    assert sentence(limit) == words
