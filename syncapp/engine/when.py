"""When a source was looked at, and is next, for a person. Reads only the rows it is given."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from syncapp.engine import push
from syncapp.engine.schedule import zone_of
from syncapp.models import Run, Source

UNREAD = timedelta(hours=1)


def next_look(source: Source, now: datetime) -> str:
    """“today 03:00 Europe/Paris, in 5 h”, “within 60 s of a change”, “only when asked”."""
    if source.mode == Source.Mode.MANUAL:
        return "only when asked"
    if source.paused:
        return "when it is resumed"
    if source.blocked_code:
        return "when its trouble is over"
    if source.mode == Source.Mode.REALTIME:
        return f"within {span(timedelta(seconds=settings.POLL_SECONDS))} of a change"
    if source.next_at is None or source.next_at <= now:
        return "as soon as possible"
    return f"{moment(source.next_at, zone_of(source), now)}, in {span(source.next_at - now)}"


def current_at(source: Source, last: Run, now: datetime) -> datetime:
    """When it was last known that nothing was left to back up, after a good last backup."""
    ended = last.ended_at or last.created_at
    if source.mode == Source.Mode.REALTIME and source.polled_at:
        return max(ended, source.polled_at)
    in_time = source.mode == Source.Mode.SCHEDULED and source.next_at and source.next_at > now
    return now if in_time else ended


def is_unread(source: Source, last: Run, now: datetime) -> bool:
    """Whether nobody looks for changes although somebody should, for whatever reason."""
    longest = max(3 * push.slowest(), UNREAD)
    watched = source.mode == Source.Mode.REALTIME and not source.paused and not source.blocked_code
    return watched and now - current_at(source, last, now) > longest


def moment(at: datetime, zone: str, now: datetime) -> str:
    """The day as a person says it, the time, and the zone that both are in."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone)).date()
    days = (local.date() - today).days
    names = {-1: "yesterday", 0: "today", 1: "tomorrow"}
    day = names.get(days) or (f"{local:%A}" if 0 < days < 7 else f"{local:%Y-%m-%d}")
    return f"{day} {local:%H:%M} {zone}"


def span(length: timedelta) -> str:
    """The one unit that matters: “40 s”, “12 min”, “5 h”, “3 days”."""
    seconds = max(round(length.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    if seconds < 172_800:
        return f"{round(seconds / 3600)} h"
    return f"{round(seconds / 86_400)} days"
