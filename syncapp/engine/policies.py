"""The policy that holds for a source: its own wishes, then its owner's, then the built-in ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from syncapp.models import Policy, Source
from syncapp.retention import Rules


class Origin(StrEnum):
    """Where a value comes from."""

    BUILT_IN = "built-in"
    DEFAULT = "default"  # the owner's, for all sources
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds, and where each value comes from.

    `origins` has the fields' names of Policy; the rules are one: "keep". `verify_bytes` 0 is no
    limit, `drill_days` 0 no drills, `drill_cold_cents` 0 nothing that costs.
    """

    rules: Rules
    trash_days: int
    guard_percent: int
    guard_files: int
    verify_days: int
    verify_bytes: int
    drill_days: int
    drill_files: int
    drill_cold_cents: int
    origins: Mapping[str, Origin]


BUILT_IN: Mapping[str, int] = {
    "trash_days": 30,
    "guard_percent": 20,
    "guard_files": 500,
    "verify_days": 90,
    "verify_bytes": 0,
    "drill_days": 30,
    "drill_files": 20,
    "drill_cold_cents": 0,
}
RULES = ("last", "days", "hourly", "daily", "weekly", "monthly", "yearly")


def effective(source: Source) -> Effective:
    """What holds for the source."""
    found = Policy.objects.filter(owner_id=source.owner_id)
    own = found.filter(source=source).first()
    default = found.filter(source__isnull=True).first()
    return resolve([(Origin.SOURCE, own), (Origin.DEFAULT, default)])


def effective_default(owner_id: int) -> Effective:
    """What holds for a person's sources that have no wishes of their own."""
    default = Policy.objects.filter(owner_id=owner_id, source__isnull=True).first()
    return resolve([(Origin.DEFAULT, default)])


def resolve(wishes: Sequence[tuple[Origin, Policy | None]]) -> Effective:
    """The first wish for each value counts; one Policy need not be stored (a form's preview)."""
    made = [(origin, policy) for origin, policy in wishes if policy is not None]
    origins: dict[str, Origin] = {}
    values: dict[str, int] = {}
    for name, built_in in BUILT_IN.items():
        asked = ((origin, getattr(policy, name)) for origin, policy in made)
        told = ((origin, value) for origin, value in asked if value is not None)
        origins[name], values[name] = next(told, (Origin.BUILT_IN, built_in))
    ruled = ((origin, rules_of(policy)) for origin, policy in made if policy.keep)
    origins["keep"], rules = next(ruled, (Origin.BUILT_IN, Rules()))
    return Effective(rules=rules, origins=origins, **values)


def rules_of(policy: Policy) -> Rules:
    """A policy's own rules, as far as it does not inherit them."""
    if policy.keep != Policy.Keep.RULES:
        return Rules()
    return Rules(everything=False, **{name: getattr(policy, f"keep_{name}") for name in RULES})
