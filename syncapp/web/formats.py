"""How values look on pages: sizes, times, states, and names that may be hostile.

Sizes are decimal everywhere (1 GB = 10⁹ bytes), as the stores bill and as the footer says. Names
come from a cloud where anybody may have chosen them: control and direction characters are shown,
never obeyed, and each name is isolated (Unicode TR 9 § 6.3, HTML's `bdi`). No queries.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import humanize
from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from syncapp.visible import visible
from syncapp.words import counted

register = template.Library()

NOTHING = "–"

# (colour, icon) of each state's word; the word itself is always shown beside them.
_LOOKS = {
    "ok": ("success", "check-circle-fill"),
    "stored": ("success", "check-circle"),
    "done": ("success", "check-circle"),
    "verified": ("success", "patch-check-fill"),
    "connected": ("success", "check-circle-fill"),
    "running": ("info", "arrow-repeat"),
    "queued": ("info", "hourglass-split"),
    "pending": ("secondary", "hourglass-split"),
    "paused": ("secondary", "pause-circle"),
    "idle": ("secondary", "circle"),
    "superseded": ("secondary", "skip-forward"),
    "cancelled": ("secondary", "slash-circle"),
    "info": ("info", "info-circle"),
    "todo": ("secondary", "circle"),
    "down": ("warning", "wifi-off"),
    "warning": ("warning", "exclamation-triangle-fill"),
    "warnings": ("warning", "check-circle"),
    "refused": ("warning", "slash-circle"),
    "damaged": ("danger", "exclamation-octagon-fill"),
    "failed": ("danger", "x-circle-fill"),
    "blocked": ("danger", "x-octagon-fill"),
    "error": ("danger", "x-circle-fill"),
    "alert": ("danger", "bell-fill"),
    "danger": ("danger", "x-octagon-fill"),
    "green": ("success", "shield-fill-check"),
    "amber": ("warning", "shield-fill-exclamation"),
    "red": ("danger", "shield-fill-x"),
}


@register.filter
def size(value: float | str | None) -> str:
    """Bytes as kB, MB, GB, …; templates give "" for the size of what is not there."""
    return NOTHING if value in (None, "") else humanize.naturalsize(value, format="%.1f")


@register.filter
def number(value: int | None) -> str:
    """A count with thousands set apart."""
    return NOTHING if value is None else humanize.intcomma(value)


@register.filter
def amount(value: int, units: tuple[str, str]) -> str:
    """A count of what is called so, one and several: “1 copy”, “2 copies”."""
    return counted(value, *units)


@register.filter
def decimal(value: float | None) -> str:
    """A rate with one digit after the point."""
    return NOTHING if value is None else f"{value:,.1f}"


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds as “2 h 5 min”, “3 min 20 s” or “4 s”."""
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@register.filter
def moment(value: datetime | None) -> str | SafeString:
    """A time; static/app/page.js shows it in the reader's own zone."""
    return _time(value, "")


@register.filter
def later(value: datetime | None, days: int) -> datetime | None:
    """So many days after a time."""
    return value and value + timedelta(days=days)


@register.filter
def ago(value: datetime | None) -> str | SafeString:
    """A time as its distance from now, kept fresh by static/app/page.js."""
    return _time(value, "data-relative")


def _time(value: datetime | None, mark: str) -> str | SafeString:
    if value is None:
        return NOTHING
    local = timezone.localtime(value)
    text = humanize.naturaltime(value) if mark else f"{local:%Y-%m-%d %H:%M %Z}"
    return format_html('<time datetime="{}" {}>{}</time>', value.isoformat(), mark, text)


@register.filter(name="visible")
def isolated(name: str) -> SafeString:
    """A name from outside, isolated, with what is invisible in it shown."""
    return format_html("<bdi>{}</bdi>", visible(name))


@register.inclusion_tag("partials/state.html")
def state(word: str, label: str = "") -> dict[str, Any]:
    """A state as icon, colour and word."""
    colour, icon = _LOOKS.get(word, ("secondary", "circle"))
    return {"colour": colour, "icon": icon, "label": label or word.replace("_", " ").capitalize()}


@register.filter
def icon(word: str) -> str:
    """The icon of a state."""
    return _LOOKS.get(word, ("secondary", "circle"))[1]


@register.filter
def colour(word: str) -> str:
    """The colour of a state."""
    return _LOOKS.get(word, ("secondary", "circle"))[0]
