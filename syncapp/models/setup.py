"""What a person has set up: sources and destinations."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from accounts.fields import EncryptedTextField
from accounts.models import GoogleAccount
from syncapp import destinations as destination_kinds
from syncapp import sources as source_kinds


def _source_kinds() -> list[tuple[str, str]]:
    return [(kind, kind.replace("_", " ").title()) for kind in source_kinds.KINDS]


def _destination_kinds() -> list[tuple[str, str]]:
    labels = {"s3": "S3-compatible bucket", "local": "Folder on this server"}
    return [(kind, labels.get(kind, kind)) for kind in destination_kinds.KINDS]


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
    # Why it takes nothing at the moment (a person must act), "" while it works.
    blocked_code = models.CharField(max_length=64, blank=True, editable=False)
    blocked_reason = models.TextField(blank=True, editable=False)
    blocked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="destination_name_once")
        ]

    def __str__(self) -> str:
        return self.name


class Source(models.Model):
    """One Google service of one account, and where it is kept."""

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
    cursor = models.JSONField(default=dict, blank=True, editable=False)
    scanned_at = models.DateTimeField(null=True, editable=False)
    blocked_code = models.CharField(max_length=64, blank=True, editable=False)
    blocked_reason = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "slug"], name="source_slug_once"),
            models.UniqueConstraint(fields=["account", "kind"], name="source_kind_once"),
        ]

    def __str__(self) -> str:
        return self.name
