"""Bandwidth limits as rclone writes them (rclone.org/docs, `--bwlimit`). Pure: time is an argument.

One limit, or a timetable of `HH:MM,limit` and `Day-HH:MM,limit`; a limit is a number with B, K, M,
G, T or P (K if none, powers of 1024), `off`, or two of them as `up:down`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from syncapp.errors import ConfigurationError

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS = {"B": 1, "": 1024} | {unit: 1024**n for n, unit in enumerate("KMGTP", start=1)}
_MOST = 1024.0**5  # a pebibyte a second: what is more is no limit to anything
_LIMIT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([BKMGTP]?)(?:(?<=[KMGTP])(?:i?B)?)?", re.IGNORECASE)
_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second, 0 for no limit: towards destinations (up) and from sources (down)."""

    up: float
    down: float


@dataclass(frozen=True, slots=True)
class Timetable:
    """Limits by the minute of the week (Monday 00:00 is 0) from which they hold, in order."""

    entries: tuple[tuple[int, Rate], ...]

    def at(self, moment: datetime) -> Rate:
        """What holds at a local time: the last entry before it, in this week or the one before."""
        minute = moment.weekday() * _DAY_MINUTES + moment.hour * 60 + moment.minute
        begun = [rate for start, rate in self.entries if start <= minute]
        return begun[-1] if begun else self.entries[-1][1]


NO_LIMIT = Timetable(((0, Rate(0.0, 0.0)),))


@lru_cache(maxsize=256)
def parse(text: str) -> Timetable:
    """The timetable that the text means; "" is no limit. ConfigurationError says what is wrong."""
    words = text.split()
    if not words:
        return NO_LIMIT
    if len(words) == 1 and "," not in text:
        return Timetable(((0, _rate(text.strip())),))
    entries: dict[int, Rate] = {}
    for word in words:
        when, comma, limit = word.partition(",")
        if not comma:
            raise _wrong(f"“{word}” is no entry of a timetable such as 08:00,512k")
        rate = _rate(limit)
        entries |= dict.fromkeys(_minutes(when), rate)
    return Timetable(tuple(sorted(entries.items())))


def _minutes(when: str) -> list[int]:
    """The minutes of the week that an entry's time names: one, or one of each day."""
    day, dash, time = when.rpartition("-")
    found = _TIME.fullmatch(time)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise _wrong(f"“{time}” is no time of day such as 08:30")
    minute = int(found[1]) * 60 + int(found[2])
    if not dash:
        return list(range(minute, _WEEK_MINUTES, _DAY_MINUTES))
    name = day.lower()
    days = [n for n, known in enumerate(_DAYS) if name in (known, known[:3])]
    if not days:
        raise _wrong(f"“{day}” is no day of the week such as Mon")
    return [days[0] * _DAY_MINUTES + minute]


def _rate(text: str) -> Rate:
    up, colon, down = text.partition(":")
    return Rate(_limit(up), _limit(down if colon else up))


def _limit(text: str) -> float:
    if text.lower() == "off":
        return 0.0
    found = _LIMIT.fullmatch(text)
    if not found:
        raise _wrong(f"“{text}” is no limit such as 512k, 10M or off")
    limit: float = min(float(found[1]) * _UNITS[found[2].upper()], _MOST)
    if 0 < limit < 1024:
        raise _wrong(f"“{text}” is less than 1 KiB a second")
    return limit


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(f"Bandwidth limit: {what}.", code="bad_bwlimit")


def sentence(bytes_a_second: float) -> str:
    """A limit as a person reads it."""
    if not bytes_a_second:
        return "no limit"
    size, unit = bytes_a_second / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.4g} {unit}/s"
