"""The catalog beside the data: what is to be written down there, where it is, and the way back."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from syncapp.models.setup import Destination, Source


class Change(models.Model):
    """A file whose rows differ from what the segments hold; written by database triggers only.

    `number` is another one after every change, so that who writes segments removes exactly what
    was read. `gone` is the remote id of a file that was removed. No foreign keys: rows outlive
    what they are about (triggers: migration 0003).
    """

    file_id = models.BigIntegerField(primary_key=True)
    source_id = models.BigIntegerField(db_index=True)
    number = models.BigIntegerField()
    gone = models.CharField(max_length=255, blank=True, default="")

    def __str__(self) -> str:
        return f"change of file {self.file_id}"


class Segment(models.Model):
    """A piece of a source's catalog, as it was written to destinations (docs/format.md).

    `after` is the number of the segment whose state a delta builds on.
    """

    class Kind(models.TextChoices):
        FULL = "full", "Whole catalog"
        DELTA = "delta", "What changed"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="segments")
    number = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=5, choices=Kind.choices)
    after = models.PositiveBigIntegerField(default=0)
    parts = models.PositiveIntegerField(default=1)
    lines = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)  # compressed
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "number"], name="segment_number_once")
        ]

    def __str__(self) -> str:
        return f"segment {self.number} of source {self.source_id}"


class SegmentCopy(models.Model):
    """A segment that a destination has confirmed to hold, every part of it."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="copies")
    destination = models.ForeignKey(
        Destination, on_delete=models.CASCADE, related_name="segment_copies"
    )
    stored_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "segment copies"
        constraints = [
            models.UniqueConstraint(fields=["segment", "destination"], name="segment_copy_once")
        ]

    def __str__(self) -> str:
        return f"{self.segment_id} → {self.destination_id}"


class SegmentTurn(models.Model):
    """Whose turn it is to write a source's segments, and when they are looked at next.

    Whoever moves `next_at` on asks for the writing; whoever claims the turn (`owner`, until
    `leased_until`) writes. Both by compare-and-set. `drained` is the number of the last segment
    that took changes out of the table: what any later one builds on.
    """

    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="segment_turn")
    next_at = models.DateTimeField(default=timezone.now, db_index=True)
    owner = models.CharField(max_length=64, blank=True)
    leased_until = models.DateTimeField(null=True)
    drained = models.PositiveBigIntegerField(default=0)
    settings = models.CharField(max_length=32, blank=True)  # a hash of those last written
    written_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"segments of source {self.source_id}"


class Recovery(models.Model):
    """A source that is being rebuilt from a destination; kept afterwards to tell what was found.

    `plan` is the list of parts (keys), `done` how many of them are in the catalog.
    """

    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="recovery")
    destination = models.ForeignKey(
        Destination, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    plan = models.JSONField(default=list)
    done = models.PositiveIntegerField(default=0)
    files = models.PositiveBigIntegerField(default=0)
    notes = models.JSONField(default=list)  # what was lost or looked odd, in words
    damaged = models.BooleanField(default=False)  # segments were lost or damaged
    started_at = models.DateTimeField(default=timezone.now)
    rebuilt_at = models.DateTimeField(null=True)  # the segments are in the catalog
    ended_at = models.DateTimeField(null=True)  # and were compared with the destination

    class Meta:
        verbose_name_plural = "recoveries"

    def __str__(self) -> str:
        return f"recovery of source {self.source_id}"


class DatabaseBackup(models.Model):
    """The last backup of the database itself at a destination, and when the next one comes."""

    destination = models.OneToOneField(
        Destination, on_delete=models.CASCADE, related_name="database_backup"
    )
    next_at = models.DateTimeField(default=timezone.now, db_index=True)
    object_key = models.TextField(blank=True)
    under_way = models.TextField(blank=True)  # a key, until it is known what came of sending it
    size = models.BigIntegerField(default=0)
    stored_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"database backup at destination {self.destination_id}"
