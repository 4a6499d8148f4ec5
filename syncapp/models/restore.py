"""What is asked back, and how far it has come."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from syncapp.models.catalog import ConfirmedPart, File, Version
from syncapp.models.history import Run
from syncapp.models.setup import Destination
from syncapp.visible import visible


class Restore(models.Model):
    """The wish behind a run of kind RESTORE or DRILL.

    `files` are ids of files and folders ([] is everything); `at` the moment whose state is wanted,
    None for the latest. `options` depend on the target: a folder's path, a destination's id and
    prefix, the folder's name in Drive.
    """

    class Target(models.TextChoices):
        FOLDER = "folder", "Folder on this server"
        DESTINATION = "destination", "Another destination"
        DRIVE = "drive", "Google Drive"
        SCRATCH = "scratch", "Scratch folder of a drill"

    class Prefer(models.TextChoices):
        FASTEST = "fastest", "The fastest healthy destination"
        CHEAPEST = "cheapest", "The cheapest destination"
        NAMED = "named", "One destination only"

    class Collision(models.TextChoices):
        SKIP = "skip", "Keep what is there"
        RENAME = "rename", "Keep both: restore under another name"
        OVERWRITE = "overwrite", "Replace what is there"

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="restore")
    files = models.JSONField(default=list)
    at = models.DateTimeField(null=True)
    target = models.CharField(max_length=12, choices=Target.choices)
    options = models.JSONField(default=dict)
    prefer = models.CharField(max_length=8, choices=Prefer.choices, default=Prefer.FASTEST)
    origin = models.ForeignKey(
        Destination, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # for `prefer` NAMED
    collision = models.CharField(max_length=12, choices=Collision.choices, default=Collision.SKIP)
    convert = models.BooleanField(default=False)  # Office files back to Google's own formats
    permissions = models.BooleanField(default=False)  # share as it was shared
    planned_at = models.DateTimeField(null=True)  # when all items were written down
    # Ids of items that were given out: what of them is found whole may be this restore's own work.
    in_hand = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"restore of run {self.run_id}"


class RestoreItem(models.Model):
    """One file (or empty folder: no version) of a restore, and what became of it."""

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        THAWING = "thawing", "Being retrieved from cold storage"
        DONE = "done", "Restored"
        THERE = "there", "There already"  # the same, byte for byte
        SKIPPED = "skipped", "Left alone"  # something else has the name
        FAILED = "failed", "Failed"

    restore = models.ForeignKey(Restore, on_delete=models.CASCADE, related_name="items")
    file = models.ForeignKey(File, null=True, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(Version, null=True, on_delete=models.CASCADE, related_name="+")
    path = models.TextField()  # below the target, in the encoding of `keys`, `/` between folders
    size = models.BigIntegerField(default=0)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    origin = models.ForeignKey(
        Destination, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # where its bytes came from
    placed = models.TextField(blank=True)  # where it was put: path, key or id
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["restore", "state", "due_at", "id"], name="restore_item_due")
        ]

    def __str__(self) -> str:
        return visible(self.path)


class RestoreFolder(models.Model):
    """A folder of a restore, to be given its time and its sharing once all is in it."""

    restore = models.ForeignKey(Restore, on_delete=models.CASCADE, related_name="folders")
    file = models.ForeignKey(File, null=True, on_delete=models.CASCADE, related_name="+")
    path = models.TextField()  # as an item's
    modified_at = models.DateTimeField(null=True)
    done = models.BooleanField(default=False)
    note = models.TextField(blank=True)  # what could not be as it was

    def __str__(self) -> str:
        return visible(self.path)


class RestoreUpload(models.Model):
    """A big file's upload that a restore began at another destination: what a next try goes on
    from. Gone when it is completed or aborted."""

    item = models.OneToOneField(RestoreItem, on_delete=models.CASCADE, related_name="upload")
    object_key = models.TextField()
    upload_id = models.TextField()
    part_bytes = models.BigIntegerField()
    started_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return visible(self.object_key)


class RestorePart(ConfirmedPart):
    """One of such an upload."""

    upload = models.ForeignKey(RestoreUpload, on_delete=models.CASCADE, related_name="parts")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upload", "number"], name="restore_part_once")
        ]

    def __str__(self) -> str:
        return f"{self.upload_id}#{self.number}"


class DriveId(models.Model):
    """The id of what a restore makes in a Drive, kept before it is made, so that it is made once.

    `key` is "item:" and the item's number, or the hash of a folder's path.
    """

    restore = models.ForeignKey(Restore, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    remote_id = models.CharField(max_length=255)
    made = models.BooleanField(default=False)  # told of folders only

    class Meta:
        constraints = [models.UniqueConstraint(fields=["restore", "key"], name="drive_id_once")]

    def __str__(self) -> str:
        return self.remote_id
