"""What checks have found, what interrupted work may have left, and what drills always try."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from syncapp.models.catalog import Copy, File
from syncapp.models.history import Run
from syncapp.models.setup import Destination, Source
from syncapp.visible import visible


class Finding(models.Model):
    """Something at a destination that is not as the catalog has it; open until `healed_at`.

    A FOREIGN object is one that no copy claims: reported, never touched. `known_at`: a person has
    said that it may lie there.
    """

    class Kind(models.TextChoices):
        MISSING = "missing", "Missing"
        SIZE = "size", "Another size"
        CONTENT = "content", "Other bytes"
        FOREIGN = "foreign", "Not ours"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="findings")
    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="findings")
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="findings")
    copy = models.ForeignKey(Copy, null=True, on_delete=models.CASCADE, related_name="findings")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    object_key = models.TextField()
    message = models.TextField()
    found_at = models.DateTimeField(default=timezone.now)
    healed_at = models.DateTimeField(null=True)
    healed_from = models.CharField(max_length=100, blank=True)  # a destination's name, or Google
    known_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["source", "-id"], condition=Q(healed_at__isnull=True), name="finding_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {visible(self.object_key)}"


class Leftover(models.Model):
    """A key under which bytes of ours may lie although no copy names it any more.

    Written before the copy's row lets go of the key (or before an object is made that no row names
    yet), or when an object is met that a copy makes needless; with what the object must be to be
    known as ours. Removed with the object, or once a copy that is stored has the key.
    """

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="leftovers")
    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="leftovers")
    object_key = models.TextField()
    # The store's id of that very version; "" for whatever lies openly under the key.
    store_version = models.CharField(max_length=255, blank=True, default="")
    remote_id = models.CharField(max_length=255)
    revision = models.CharField(max_length=255)
    size = models.BigIntegerField(null=True)
    md5 = models.CharField(max_length=32, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    modified_at = models.DateTimeField(null=True)
    noted_at = models.DateTimeField(default=timezone.now)
    looked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["destination", "object_key", "store_version", "remote_id", "revision"],
                name="leftover_once",
            )
        ]

    def __str__(self) -> str:
        return visible(self.object_key)


class Canary(models.Model):
    """A file that every drill of its source restores, beside the random sample."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="canaries")
    file = models.OneToOneField(File, on_delete=models.CASCADE, related_name="canary")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "canaries"

    def __str__(self) -> str:
        return visible(self.file.name)
