"""When a source is looked at next, in words for a person. Reads nothing but the row it is given."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from syncapp.engine.schedule import zone_of
from syncapp.models import Source


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
