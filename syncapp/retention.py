"""Which versions of a file are kept, and why. Pure: no database, no clock.

A version is what the file was from the moment it was seen until the next one was. So a rule names
moments in time, and what keeps a version is that the file was it at such a moment: the end of each
of the last days, for example. Nothing that is let go today is wanted again tomorrow; pruning often
or seldom comes to the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from itertools import chain, islice


class Reason(StrEnum):
    """Why a version is kept."""

    ALL = "all"  # every version is
    NEWEST = "newest"  # always
    SINCE = "since"  # seen after the moment as of which is judged
    LAST = "last"
    DAYS = "days"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is kept; a version stays if any rule keeps it, the newest always does. 0: no such rule.

    `last`: so many newest versions. `days`: all that the file was at any time of the last days.
    `hourly` to `yearly`: what it was at the end of each of the last hours, days, weeks (from
    Monday), months and years, the one that is under way counted.
    """

    everything: bool = True
    last: int = 0
    days: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0


_COMPUTED = 200  # begins of periods, once for all files
_PERIODS = [Reason.HOURLY, Reason.DAILY, Reason.WEEKLY, Reason.MONTHLY, Reason.YEARLY]


def kept(
    moments: Sequence[datetime], rules: Rules, now: datetime, zone: tzinfo = UTC
) -> list[tuple[Reason, ...]]:
    """Why each version is kept, () for those that are let go.

    `moments` are when the versions of one file were first seen, in any order; of equal ones the
    later in the list is the newer. Hours, days and so on are those of `zone`.
    """
    if rules.everything:
        return [(Reason.ALL,)] * len(moments)
    order = sorted(range(len(moments)), key=lambda i: (moments[i], i))
    seen = [moments[i] for i in order]
    reasons: list[list[Reason]] = [[] for _ in order]
    for place, reason in _wanted(seen, rules, now, zone):
        if reason not in reasons[place]:
            reasons[place].append(reason)
    by_index = dict(zip(order, reasons, strict=True))
    return [tuple(by_index[i]) for i in range(len(moments))]


def _wanted(
    seen: Sequence[datetime], rules: Rules, now: datetime, zone: tzinfo
) -> Iterator[tuple[int, Reason]]:
    """Places in `seen`, which ascends, that a rule keeps; some more than once."""
    count = len(seen)
    if not count:
        return
    yield count - 1, Reason.NEWEST
    for place in range(count - 1, -1, -1):
        if seen[place] <= now:
            break
        yield place, Reason.SINCE
    for place in range(max(count - rules.last, 0), count):
        yield place, Reason.LAST
    if rules.days:
        since = bisect_left(seen, _before(now, rules.days))
        for place in range(max(since - 1, 0), count):
            yield place, Reason.DAYS
    for reason in _PERIODS:
        number = getattr(rules, reason.value)
        if number:
            yield from ((place, reason) for place in _at_ends(seen, reason, number, now, zone))


def _before(now: datetime, days: int) -> datetime:
    try:
        return now - timedelta(days=days)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _at_ends(
    seen: Sequence[datetime], period: Reason, number: int, now: datetime, zone: tzinfo
) -> Iterator[int]:
    """What the file was now, and at the end of each of the `number` - 1 periods before."""
    newest = bisect_left(seen, now + timedelta(microseconds=1)) - 1
    if newest >= 0:
        yield newest
    for begun in chain(_last_begins(period, now, zone), _earlier_begins(period, now, zone)):
        number -= 1
        place = bisect_left(seen, begun) - 1
        if number < 1 or place < 0:
            return
        yield place


@lru_cache(maxsize=64)
def _last_begins(period: Reason, now: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """The same for every file of a source, and mostly enough."""
    return tuple(islice(_begins(period, now, zone), _COMPUTED))


def _earlier_begins(period: Reason, now: datetime, zone: tzinfo) -> Iterator[datetime]:
    yield from islice(_begins(period, now, zone), _COMPUTED, None)


def _begins(period: Reason, now: datetime, zone: tzinfo) -> Iterator[datetime]:
    """When the period that is under way began, and those before it; each begin ends another."""
    local = now.astimezone(zone)
    if period is Reason.HOURLY:
        # Hours are counted as they pass: local time has some twice and some never.
        at = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        while True:
            yield at
            at -= timedelta(hours=1)
    day = local.date()
    if period is Reason.WEEKLY:
        day -= timedelta(days=day.weekday())
    elif period is Reason.MONTHLY:
        day = day.replace(day=1)
    elif period is Reason.YEARLY:
        day = day.replace(month=1, day=1)
    while True:
        yield datetime.combine(day, time(), zone).astimezone(UTC)
        if period is Reason.YEARLY:
            day = day.replace(year=day.year - 1)
        elif period is Reason.MONTHLY:
            day = (day - timedelta(days=1)).replace(day=1)
        else:
            day -= timedelta(days=7 if period is Reason.WEEKLY else 1)
