"""What is to be forgotten, what was, and what must not come back."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from syncapp.models.history import Run
from syncapp.models.setup import Destination, Source
from syncapp.visible import visible


class Erasure(models.Model):
    """A person's wish to have files, or all of an account, erased everywhere; and how far it is.

    Outlives its run and its source, as the head of the report. `what` and the objects' keys are the
    only names that stay, here and in backups of the database made since; they go with the report
    (`erasure_report.forget`).
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="erasures"
    )
    source = models.ForeignKey(
        Source, null=True, on_delete=models.SET_NULL, related_name="erasures"
    )
    run = models.OneToOneField(Run, null=True, on_delete=models.SET_NULL, related_name="erasure")
    source_name = models.CharField(max_length=100)
    what = models.TextField()
    files = models.JSONField(default=list)  # ids of files and folders; [] is everything
    account = models.BooleanField(default=False)  # the source and its account are to go too
    all_but_locked = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    surveyed_at = models.DateTimeField(null=True)  # every object and its lock is known
    marked_at = models.DateTimeField(null=True)  # from here on nothing of it comes back
    removed_at = models.DateTimeField(null=True)
    rewritten_at = models.DateTimeField(null=True)  # segments and backups of the database
    proven_at = models.DateTimeField(null=True)
    files_erased = models.PositiveBigIntegerField(default=0)
    notes = models.JSONField(default=list)  # what was done beside the objects, in words
    given_up = models.JSONField(default=list)  # lost destinations: {destination, place, at, by}

    def __str__(self) -> str:
        return f"erasure {self.pk} in {visible(self.source_name)}"


class ErasedObject(models.Model):
    """One stored object that is to be gone, and when it was asked for and found absent.

    A `stray` is one that no copy claims: left by a killed worker, or by a move under a lock.
    """

    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="objects_erased")
    destination = models.ForeignKey(
        Destination, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    place = models.CharField("destination's name", max_length=100)
    object_key = models.TextField()
    store_version = models.CharField("store's version id", max_length=255, blank=True)
    stray = models.BooleanField(default=False)
    locked_until = models.DateTimeField(null=True)
    absent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["erasure", "destination", "object_key", "store_version"],
                name="erased_object_once",
            )
        ]

    def __str__(self) -> str:
        return visible(self.object_key)


class Erased(models.Model):
    """A file of a source that must not come back: its remote id, as a hash.

    `erasure` and `file_pk` are the worklist while it runs.
    """

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="erased")
    digest = models.CharField("SHA-256 of the remote id", max_length=64)
    erasure = models.ForeignKey(
        Erasure, null=True, on_delete=models.SET_NULL, related_name="erased"
    )
    file_pk = models.BigIntegerField(null=True)
    erased_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "erased"
        constraints = [models.UniqueConstraint(fields=["source", "digest"], name="erased_once")]

    def __str__(self) -> str:
        return self.digest
