"""What a person has set up: sources and destinations."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from accounts.fields import EncryptedTextField
from accounts.models import GoogleAccount
from syncapp import destinations as destination_kinds
from syncapp import sources as source_kinds
from syncapp.models.bounded import BoundedField


def _source_kinds() -> list[tuple[str, str]]:
    return [(kind, kind.replace("_", " ").title()) for kind in source_kinds.KINDS]


def _destination_kinds() -> list[tuple[str, str]]:
    labels = {"s3": "S3-compatible bucket", "local": "Folder on this server"}
    return [(kind, labels.get(kind, kind)) for kind in destination_kinds.KINDS]


_BWLIMIT = (
    "Bytes per second, as rclone writes them: 10M, or a timetable such as "
    "“08:00,512k 19:00,10M 23:00,off”. Empty: no limit."
)


def _new_mark() -> str:
    return uuid.uuid4().hex


class Installation(models.Model):
    """This database: the only row, ONLY. Its mark lies at every destination, so that no other
    installation writes at the same place; `succeeds` are those whose place it has taken."""

    ONLY = 1

    mark = models.CharField(max_length=32, default=_new_mark)
    succeeds = models.JSONField(default=list)
    # Backups of the database that were begun before hold what was erased then.
    erased_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.mark


class Destination(models.Model):
    """One bucket or folder of one's own. Options are plain; `secrets` is encrypted JSON."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="destinations"
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=32, choices=_destination_kinds)
    options = models.JSONField(default=dict, blank=True)
    secrets = EncryptedTextField(blank=True, editable=False)
    enabled = models.BooleanField(default=True)
    bwlimit = models.CharField("bandwidth limit", max_length=255, blank=True, help_text=_BWLIMIT)
    # Why it takes nothing at the moment (a person must act), "" while it works.
    blocked_code = models.CharField(max_length=64, blank=True, editable=False)
    blocked_reason = models.TextField(blank=True, editable=False)
    blocked_at = models.DateTimeField(null=True, editable=False)
    # Since when this installation's mark lies there (`engine/marks`).
    marked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="destination_name_once")
        ]

    def __str__(self) -> str:
        return self.name


class Source(models.Model):
    """One Google service of one account, and where it is kept.

    `next_at` is when it is looked at next: a poll of the change log (real-time), a backup
    (scheduled), or None. Whoever moves it on, by compare-and-set, is the one who acts.
    """

    class Mode(models.TextChoices):
        REALTIME = "realtime", "Real-time: a minute after each change"
        SCHEDULED = "scheduled", "On a schedule"
        MANUAL = "manual", "Only when asked"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sources"
    )
    account = models.ForeignKey(GoogleAccount, on_delete=models.PROTECT, related_name="sources")
    name = models.CharField(max_length=100)
    # First folder of every key; never changes, so that keys stay stable.
    slug = models.SlugField(max_length=60, editable=False)
    kind = models.CharField(max_length=32, choices=_source_kinds, default="google_drive")
    destinations = models.ManyToManyField(Destination, related_name="sources", blank=True)
    paused = models.BooleanField(default=False)
    mode = models.CharField(max_length=12, choices=Mode.choices, default=Mode.REALTIME)
    cron = models.CharField("schedule", max_length=100, blank=True, default="0 3 * * *")
    time_zone = models.CharField(max_length=64, blank=True)  # of `cron`; "": the server's
    reconcile_days = BoundedField("days between full comparisons", default=7, most=365)
    bwlimit = models.CharField("bandwidth limit", max_length=255, blank=True, help_text=_BWLIMIT)
    next_at = models.DateTimeField(null=True, editable=False)
    # Position in every change log; {} asks for a full scan.
    cursor = models.JSONField(default=dict, blank=True, editable=False)
    scanned_at = models.DateTimeField(null=True, editable=False)  # the last full scan's end
    polled_at = models.DateTimeField(null=True, editable=False)  # when a change log was last read
    # Destinations for which the whole catalog was planned; another set means planning it anew.
    planned_for = models.JSONField(default=list, blank=True, editable=False)
    blocked_code = models.CharField(max_length=64, blank=True, editable=False)
    blocked_reason = models.TextField(blank=True, editable=False)
    # How many files a person has allowed the next run to trash or replace, beyond its guards.
    approved_changes = models.PositiveIntegerField(default=0, editable=False)
    # When a drill last restored what it asked for, every byte: "last proven restorable on".
    proven_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "slug"], name="source_slug_once"),
            models.UniqueConstraint(fields=["account", "kind"], name="source_kind_once"),
        ]

    def __str__(self) -> str:
        return self.name
