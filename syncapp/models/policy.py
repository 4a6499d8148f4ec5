"""What is kept for how long, when a run must ask first, and the upkeep that comes by itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from syncapp.models.setup import Source

_INHERITED = "Empty: as in the default."


def _number(label: str, help_text: str = _INHERITED) -> Any:
    """A number that is inherited while it is empty."""
    return models.PositiveIntegerField(label, null=True, blank=True, help_text=help_text)


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
    keep_last = models.PositiveIntegerField("last versions", default=0)
    keep_days = models.PositiveIntegerField("all of the last days", default=0)
    keep_hourly = models.PositiveIntegerField("hourly", default=0)
    keep_daily = models.PositiveIntegerField("daily", default=0)
    keep_weekly = models.PositiveIntegerField("weekly", default=0)
    keep_monthly = models.PositiveIntegerField("monthly", default=0)
    keep_yearly = models.PositiveIntegerField("yearly", default=0)
    trash_days = _number("days in the trash")
    guard_percent = models.PositiveSmallIntegerField(
        "ask before changing more than this share (%)",
        null=True,
        blank=True,
        validators=[MaxValueValidator(100)],
        help_text=_INHERITED,
    )
    guard_files = _number("ask before changing more files than")
    verify_days = _number("days in which every copy is read back")
    verify_bytes = models.PositiveBigIntegerField(
        "most bytes read back a day", null=True, blank=True, help_text=_INHERITED
    )
    drill_days = _number("days between restore drills", "0: no drills. Empty: as in the default.")
    drill_files = _number("files in a drill")
    drill_cold_cents = _number(
        "cents a month for drills from cold storage",
        "In the service's currency. 0: none. Empty: as in the default.",
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
