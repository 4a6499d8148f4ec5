"""The form of a policy, and the policy that holds, each value with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import humanize
from django import forms

from syncapp.engine.policies import (
    BUILT_IN,
    RULES,
    Effective,
    Origin,
    effective_default,
    resolve,
)
from syncapp.models import Policy
from syncapp.retention import Rules
from syncapp.web.forms import _style
from syncapp.words import counted

_NUMBERS = [f"keep_{rule}" for rule in RULES]
_NONE = {
    "drill_days": "0: no drills. ",
    "drill_cold_cents": "In the service's currency; 0: nothing is retrieved. ",
}
_ORIGINS = {
    Origin.BUILT_IN: "built in",
    Origin.DEFAULT: "your default",
    Origin.SOURCE: "this source",
}


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A person's wishes, for all sources or for one."""

    class Meta:
        model = Policy
        fields = [
            *("keep", *_NUMBERS, "trash_days", "guard_percent", "guard_files"),
            *("verify_days", "verify_bytes", "drill_days", "drill_files", "drill_cold_cents"),
        ]
        widgets = {"keep": forms.RadioSelect}
        labels = {
            "keep": "Older versions of a file",
            "keep_last": "So many newest versions",
            "keep_days": "All of so many last days",
            "keep_hourly": "The last of each hour, so many hours",
            "keep_daily": "The last of each day, so many days",
            "keep_weekly": "The last of each week, so many weeks",
            "keep_monthly": "The last of each month, so many months",
            "keep_yearly": "The last of each year, so many years",
            "trash_days": "Days in the trash, of what was deleted in Google",
            "guard_percent": "Ask before a run trashes or replaces more than this share (%)",
            "guard_files": "Ask before a run trashes or replaces more files than",
            "verify_days": "Days in which every stored copy is read back once",
            "verify_bytes": "Most bytes read back a day",
            "drill_days": "Days between restore drills",
            "drill_files": "Files in a drill",
            "drill_cold_cents": "Cents a month for drills from cold storage",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _NUMBERS:
            self.fields[name].required = False
            self.fields[name].help_text = ""
        inherited = "As in your default" if self.instance.source_id else "As built in: all"
        self.fields["keep"].choices = [  # type: ignore[attr-defined]
            (value, inherited if not value else label) for value, label in Policy.Keep.choices
        ]
        self.fields["keep"].required = False
        self._say_what_is_inherited()
        _style(self)

    def _say_what_is_inherited(self) -> None:
        """Of each number that may stay empty: which one holds then, and from where."""
        own = self.instance.source_id is not None
        above = effective_default(self.instance.owner_id) if own else resolve([])
        for name in BUILT_IN:
            value = getattr(above, name)
            if name == "verify_bytes" and not value:
                value = "no limit"
            origin = _ORIGINS[above.origins[name]]
            none = _NONE.get(name, "")
            self.fields[name].help_text = f"{none}Empty: {value} ({origin})."

    def clean(self) -> dict[str, Any]:
        """A number left out is no rule; rules without any would keep nothing old at all."""
        cleaned: dict[str, Any] = super().clean() or {}
        for name in _NUMBERS:
            if name not in self.errors:
                cleaned[name] = cleaned.get(name) or 0
        if cleaned.get("keep") == Policy.Keep.RULES and not any(cleaned.get(n) for n in _NUMBERS):
            self.add_error("keep", "Give at least one rule a number.")
        return cleaned


@dataclass(frozen=True, slots=True)
class Holding:
    """A value that holds: what, how much, and where it comes from."""

    label: str
    value: str
    origin: str


def holding(policy: Effective) -> Iterator[Holding]:
    """All values, in words."""

    def line(label: str, name: str, value: str) -> Holding:
        return Holding(label, value, _ORIGINS[policy.origins[name]])

    yield line("Older versions", "keep", rules_in_words(policy.rules))
    yield line("Trash", "trash_days", counted(policy.trash_days, "day"))
    yield line(
        "Asks first above this share", "guard_percent", f"{policy.guard_percent} % of the files"
    )
    yield line("Asks first above this number", "guard_files", counted(policy.guard_files, "file"))
    yield line("All read back within", "verify_days", counted(policy.verify_days, "day"))
    most = humanize.naturalsize(policy.verify_bytes) if policy.verify_bytes else "no limit"
    yield line("Read back a day", "verify_bytes", most)
    often = f"every {counted(policy.drill_days, 'day')}" if policy.drill_days else "none"
    yield line("Restore drills", "drill_days", often)
    yield line("In each drill", "drill_files", counted(policy.drill_files, "file"))
    cold = f"{counted(policy.drill_cold_cents, 'cent')} a month" if policy.drill_cold_cents else ""
    yield line("Drills from cold storage", "drill_cold_cents", cold or "none")


def rules_in_words(rules: Rules) -> str:
    """What is kept, as a sentence's end."""
    if rules.everything:
        return "all, for ever"
    words = {"last": "the last {}", "days": "all of the last {} days"}
    told = [
        words.get(rule, f"{{}} {rule}").format(number)
        for rule in RULES
        if (number := getattr(rules, rule))
    ]
    return ", ".join(told) or "only the newest"
