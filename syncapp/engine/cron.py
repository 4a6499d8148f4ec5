"""Schedules: a cron line and a time zone, when they come next, and what they say in words. Pure.

Five fields, as in crontab(5). Changes of the clock follow Debian's cron: a time that does not exist
that day comes at the next valid moment, one that exists twice comes once; lines that name no hour
go by elapsed time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from syncapp.errors import ConfigurationError

FIELDS = "minute, hour, day of the month, month, day of the week"
DAILY = "0 3 * * *"
BAD_SCHEDULE, BAD_ZONE = CODES = ("bad_schedule", "bad_time_zone")  # of errors
_AN_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)


def check(expression: str, zone: str) -> None:
    """ConfigurationError, with what is wrong and what would be right, unless both are usable."""
    _parsed(expression, _AN_INSTANT)
    if zone not in available_timezones():
        raise _no_zone(zone)


def explain(expression: str) -> str:
    """The expression in words: “At 03:00 every day”."""
    return str(_parsed(expression, _AN_INSTANT).explain())


def next_after(expression: str, zone: str, moment: datetime) -> datetime:
    """The first time after the moment, in the zone. ConfigurationError as in `check`."""
    try:
        local = moment.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise _no_zone(zone) from error
    found = next(_parsed(expression, local), None)
    if found is None:
        raise ConfigurationError(f"The schedule “{expression}” never comes.", code=BAD_SCHEDULE)
    return found


def _no_zone(zone: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is no time zone “{zone}”. Allowed: names such as UTC or Europe/Paris.",
        code=BAD_ZONE,
    )


def _parsed(expression: str, start: datetime) -> CronSim:
    fields = expression.split()
    if len(fields) != 5:
        raise ConfigurationError(
            f"A schedule has 5 fields ({FIELDS}), this one has {len(fields)}. "
            f"Every night at three is: {DAILY}",
            code=BAD_SCHEDULE,
        )
    try:
        return CronSim(" ".join(fields), start)
    except CronSimError as error:
        raise ConfigurationError(
            f"“{expression}” is no schedule: {str(error).lower()} "
            f"(the fields are {FIELDS}; every night at three is: {DAILY}).",
            code=BAD_SCHEDULE,
        ) from error
