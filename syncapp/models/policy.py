"""What is kept for how long, when a run must ask first, and the upkeep that comes by itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from syncapp.models.bounded import DAYS, BoundedField
from syncapp.models.setup import Source

_INHERITED = "Empty: as in the default."
_MILLION = 1_000_000
_PETABYTE = 10**15


def _number(label: str, *, most: int, least: int = 0, help_text: str = _INHERITED) -> Any:
    """A number that is inherited while it is empty."""
    return BoundedField(label, null=True, blank=True, least=least, most=most, help_text=help_text)


class Policy(models.Model):
    """Wishes of a person for all their sources (`source` None), or for one of them.

    What is empty is inherited: a source's from the person's, that from the built-in one. The rules
    for versions (`keep` and its numbers) are inherited together. `syncapp/retention.py` is what
    they mean.
    """

    class Keep(models.TextChoices):
        INHERITED = "", "As in the default"
        ALL = "all", "Every version, for ever"
        RULES = "rules", "What any of the rules below keeps"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="policies"
    )
    source = models.OneToOneField(
        Source, null=True, blank=True, on_delete=models.CASCADE, related_name="policy"
    )
    keep = models.CharField("versions", max_length=8, choices=Keep.choices, blank=True)
    keep_last = BoundedField("last versions", default=0, most=_MILLION)
    keep_days = BoundedField("all of the last days", default=0, most=DAYS)
    keep_hourly = BoundedField("hourly", default=0, most=24 * DAYS)
    keep_daily = BoundedField("daily", default=0, most=DAYS)
    keep_weekly = BoundedField("weekly", default=0, most=DAYS // 7)
    keep_monthly = BoundedField("monthly", default=0, most=12 * 100)
    keep_yearly = BoundedField("yearly", default=0, most=100)
    trash_days = _number("days in the trash", most=DAYS)
    guard_percent = _number("ask before changing more than this share (%)", most=100)
    guard_files = _number("ask before changing more files than", most=1000 * _MILLION)
    verify_days = _number("days in which every copy is read back", least=1, most=DAYS)
    verify_bytes = models.PositiveBigIntegerField(
        "most bytes read back a day",
        null=True,
        blank=True,
        validators=[MaxValueValidator(_PETABYTE)],
        help_text=_INHERITED,
    )
    drill_days = _number(
        "days between restore drills",
        most=DAYS,
        help_text="0: no drills. Empty: as in the default.",
    )
    drill_files = _number("files in a drill", least=1, most=10_000)
    drill_cold_cents = _number(
        "cents a month for drills from cold storage",
        most=_MILLION,
        help_text="In the service's currency. 0: none. Empty: as in the default.",
    )

    class Meta:
        verbose_name_plural = "policies"
        constraints = [
            models.UniqueConstraint(
                fields=["owner"], condition=Q(source__isnull=True), name="policy_one_default"
            )
        ]

    def __str__(self) -> str:
        return f"policy of {self.source}" if self.source else "default policy"


class Upkeep(models.Model):
    """Work on a source that comes by itself, and when it comes next.

    Whoever moves `next_at` on, by compare-and-set, is the one who begins it.
    """

    class Kind(models.TextChoices):
        VERIFY = "verify", "Verification"
        DRILL = "drill", "Restore drill"
        PRUNE = "prune", "Pruning"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="upkeep")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    next_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "upkeep"
        constraints = [models.UniqueConstraint(fields=["source", "kind"], name="upkeep_once")]

    def __str__(self) -> str:
        return f"{self.kind} of source {self.source_id}"
