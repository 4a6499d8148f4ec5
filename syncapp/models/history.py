"""What happened: runs, attempts, events; and who is at work: workers and their lanes."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from syncapp.models.catalog import Version
from syncapp.models.setup import Destination, Source
from syncapp.visible import visible


class Run(models.Model):
    """One execution of a backup, or of another kind of work, on one source."""

    class Kind(models.TextChoices):
        BACKUP = "backup", "Backup"
        VERIFY = "verify", "Verification"
        RESTORE = "restore", "Restore"
        DRILL = "drill", "Restore drill"
        PRUNE = "prune", "Pruning"
        ERASE = "erase", "Erasure"

    class Stage(models.TextChoices):
        QUEUED = "queued", "Queued"
        SCAN = "scan", "Scanning"
        PLAN = "plan", "Planning"
        MOVE = "move", "Moving"
        TRANSFER = "transfer", "Transferring"
        VERIFY = "verify", "Verifying"
        REMAKE = "remake", "Sending large damaged copies again"
        HEAL = "heal", "Making damaged copies anew"
        DRILL = "drill", "Restoring a sample"
        RESTORE = "restore", "Restoring"
        PRUNE = "prune", "Pruning"
        ERASE = "erase", "Erasing"
        DONE = "done", "Done"

    class Outcome(models.TextChoices):
        RUNNING = "running", "Running"
        OK = "ok", "Complete"
        WARNINGS = "warnings", "Complete, with warnings"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    class Scan(models.TextChoices):
        FULL = "full", "Whole listing"
        CHANGES = "changes", "Change log"

    class Trigger(models.TextChoices):
        PERSON = "person", "Asked for"
        SCHEDULE = "schedule", "Schedule"
        CHANGE = "change", "A change in Google"
        RECONCILE = "reconcile", "Regular full comparison"
        DEFERRED = "deferred", "Files that had to wait"
        DAMAGE = "damage", "Damaged copies"
        DESTINATION = "destination", "A new destination"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.BACKUP)
    stage = models.CharField(max_length=12, choices=Stage.choices, default=Stage.QUEUED)
    outcome = models.CharField(max_length=12, choices=Outcome.choices, default=Outcome.RUNNING)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    trigger = models.CharField(max_length=12, choices=Trigger.choices, default=Trigger.PERSON)
    # How the source was read; "" until that is decided. A person may ask for the whole listing.
    scan = models.CharField(max_length=8, choices=Scan.choices, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    transfer_started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    paused = models.BooleanField(default=False)  # by a person; a source's pause holds its backups
    retry_at = models.DateTimeField(null=True)  # no lane before this: one that failed waits
    faults = models.PositiveSmallIntegerField(default=0)  # lanes that failed in a row
    # Scan
    files_seen = models.PositiveBigIntegerField(default=0)
    files_new = models.PositiveBigIntegerField(default=0)
    files_changed = models.PositiveBigIntegerField(default=0)
    # Gone at the source: into its trash, or vanished.
    files_vanished = models.PositiveBigIntegerField(default=0)
    files_moved = models.PositiveBigIntegerField(default=0)
    # What a full scan found that the change log should have told (a reconciliation's drift).
    files_drifted = models.PositiveBigIntegerField(default=0)
    # A verification reads copies back that were not read since then (everything, if that is when it
    # was asked for); None until that is decided.
    read_before = models.DateTimeField(null=True)
    # Transfer and verify: versions (copies in a verification) and their bytes
    files_total = models.PositiveBigIntegerField(default=0)
    bytes_total = models.PositiveBigIntegerField(default=0)
    files_done = models.PositiveBigIntegerField(default=0)
    files_refused = models.PositiveBigIntegerField(default=0)
    files_failed = models.PositiveBigIntegerField(default=0)
    files_skipped = models.PositiveBigIntegerField(default=0)  # of a restore: left alone
    files_there = models.PositiveBigIntegerField(default=0)  # of a restore: there already, the same
    files_deferred = models.PositiveBigIntegerField(default=0)  # for a later run, by Google's wish
    bytes_done = models.PositiveBigIntegerField(default=0)
    bytes_read = models.PositiveBigIntegerField(default=0)  # from Google, retries included

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "kind"],
                condition=Q(ended_at__isnull=True) & ~Q(kind="restore"),
                name="run_one_active",
            )
        ]
        indexes = [models.Index(fields=["source", "-id"], name="run_latest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def files_settled(self) -> int:
        """Files that need nothing more in this run: stored, refused, left or given up."""
        needing_nothing = self.files_refused + self.files_skipped + self.files_there
        return self.files_done + needing_nothing + self.files_failed

    @property
    def units(self) -> tuple[str, str]:
        """What its `files_total` and the like count: one, and several."""
        if self.kind in (Run.Kind.VERIFY, Run.Kind.PRUNE, Run.Kind.ERASE):
            return "copy", "copies"
        return ("item", "items") if self.kind == Run.Kind.RESTORE else ("file", "files")

    @property
    def unit(self) -> str:
        """The same, of several; items are files and empty folders."""
        return self.units[1]


class ScanProgress(models.Model):
    """How far the whole listing of a run has come, so that another lane can go on.

    `cursor` is where the change logs stood before it began, `after` its position, `seen` the keys
    of the files named so far (packed), `differing` what no change log had told of.
    """

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="progress")
    cursor = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    seen = models.BinaryField(default=bytes)
    files_seen = models.PositiveBigIntegerField(default=0)
    differing = models.JSONField(default=list)

    class Meta:
        verbose_name_plural = "scan progress"

    def __str__(self) -> str:
        return f"scan of run {self.run_id}"


class Attempt(models.Model):
    """One try to bring one version to its destinations; `error_code` "" if all went well."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="tries")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    seconds = models.FloatField()
    bytes_read = models.BigIntegerField(default=0)
    destination = models.ForeignKey(
        Destination, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # the one that failed, None if it was the source or nothing failed
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["run", "error_code"], name="attempt_by_error")]

    def __str__(self) -> str:
        return f"attempt {self.number} of version {self.version_id}"


class Event(models.Model):
    """Everything a user may want to have seen; the live log is its tail.

    An ALERT needs a person and stays until acknowledged or until it has mended itself.
    """

    class Level(models.TextChoices):
        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        ERROR = "error", "Error"
        ALERT = "alert", "Alert"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="events"
    )
    source = models.ForeignKey(Source, null=True, on_delete=models.CASCADE, related_name="events")
    destination = models.ForeignKey(
        Destination, null=True, on_delete=models.CASCADE, related_name="events"
    )
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, related_name="events")
    version = models.ForeignKey(Version, null=True, on_delete=models.SET_NULL, related_name="+")
    level = models.CharField(max_length=8, choices=Level.choices, default=Level.INFO)
    code = models.CharField(max_length=64)
    message = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["owner", "-id"], name="event_tail"),
            models.Index(
                fields=["owner", "code"],
                condition=Q(level="alert", acknowledged_at__isnull=True),
                name="event_open_alert",
            ),
        ]

    def __str__(self) -> str:
        return visible(self.message)


class Worker(models.Model):
    """A supervisor process of a host; dead when its heartbeat is older than some seconds."""

    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "pid"], name="worker_once")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Lane(models.Model):
    """One long queue task on a stage of a run: asked for, then claimed by whichever worker."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="lanes")
    stage = models.CharField(max_length=12, choices=Run.Stage.choices)
    owner = models.CharField(max_length=64, blank=True)  # host:pid:thread of who claimed it
    asked_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["run"], condition=Q(ended_at__isnull=True), name="lane_open")
        ]

    def __str__(self) -> str:
        return f"lane {self.pk} of run {self.run_id}"
