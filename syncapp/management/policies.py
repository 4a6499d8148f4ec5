"""A policy in words, for commands."""

from __future__ import annotations

from syncapp.retention import Rules
from syncapp.words import counted

_PERIODS = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
_PERIODS["yearly"] = "year"


def told_rules(rules: Rules) -> str:
    """`every version`, or `the last 3, all of 10 days, one a day for 7 days`."""
    if rules.everything:
        return "every version"
    parts = []
    if rules.last:
        parts.append(f"the last {rules.last:,}")
    if rules.days:
        parts.append(f"all of the last {counted(rules.days, 'day')}")
    for name, noun in _PERIODS.items():
        if number := getattr(rules, name):
            parts.append(f"one each of the last {counted(number, noun)}")
    return ", ".join(parts) if parts else "the newest version only"
