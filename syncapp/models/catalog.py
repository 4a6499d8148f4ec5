"""The catalog: files, their versions, and the copies of those. Written in sets by the engine."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone

from syncapp.models.setup import Destination, Source
from syncapp.types import Content, SentPart
from syncapp.visible import visible

# Of a File: no longer there at the source. As the index `file_gone` has it.
GONE = Q(trashed_at__isnull=False) | Q(vanished_at__isnull=False)


class File(models.Model):
    """A thing in a source, folders included, keyed by its remote id.

    `key_name` is its component in object keys (encoded, unique among its siblings, assigned once
    and kept); `key_fold` its case-folded form, by which siblings are held apart.
    """

    source = models.ForeignKey(
        Source, on_delete=models.CASCADE, related_name="files", db_index=False
    )  # every index below begins with it
    remote_id = models.CharField(max_length=255)
    parent_id = models.CharField("parent's remote id", max_length=255, blank=True)
    name = models.TextField()
    mime_type = models.CharField(max_length=255)
    content = models.CharField(max_length=16, choices=[(c.value, c.value) for c in Content])
    owner_email = models.CharField(max_length=320, blank=True)
    drive_id = models.CharField(max_length=255, blank=True)
    extension = models.CharField(max_length=32, blank=True)
    key_name = models.TextField(blank=True)
    key_fold = models.TextField(blank=True)
    # Equal fingerprints mean: nothing to write at a rescan.
    fingerprint = models.CharField(max_length=32)
    # A hash of the item as the listing gave it, so that nothing else need be looked at.
    mark = models.BigIntegerField(default=0)
    # Its path changed since its copies were named: they are to be moved at the destinations.
    move_due = models.BooleanField(default=False)
    problem = models.CharField(max_length=64, blank=True)
    problem_message = models.TextField(blank=True)
    extra = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    remote_created_at = models.DateTimeField(null=True)
    remote_modified_at = models.DateTimeField(null=True)
    first_seen_at = models.DateTimeField(default=timezone.now)
    # Since when it has been seen at this place under this name; earlier ones are its Places.
    placed_at = models.DateTimeField(default=timezone.now)
    trashed_at = models.DateTimeField(null=True)
    vanished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "remote_id"], name="file_once"),
            models.UniqueConstraint(
                fields=["source", "parent_id", "key_fold"],
                condition=~Q(key_fold=""),
                name="file_key_once_per_folder",
            ),
        ]
        indexes = [
            # A rescan reads nothing but this of what has not changed.
            models.Index(
                fields=["source", "remote_id", "mark", "vanished_at", "content", "id"],
                name="file_by_mark",
            ),
            models.Index(fields=["source", "parent_id"], name="file_by_parent"),
            models.Index(
                fields=["source", "id"], condition=Q(key_name=""), name="file_without_key"
            ),
            models.Index(fields=["source", "id"], condition=~Q(problem=""), name="file_problem"),
            models.Index(
                fields=["source", "vanished_at"],
                condition=~Q(problem="") & ~Q(problem="in_trash"),
                name="file_refused",
            ),
            models.Index(fields=["source", "id"], condition=Q(move_due=True), name="file_to_move"),
            models.Index(
                fields=["source", "id"],
                condition=GONE,
                name="file_gone",
            ),
            models.Index(fields=["source", "mime_type", "id"], name="file_by_type"),
        ]

    def __str__(self) -> str:
        return visible(self.name)


class Place(models.Model):
    """Where a file was and what it was called, from one moment until another; over since then.

    Written when a file is renamed, moved, or gone: its present place is in the File itself.
    """

    source = models.ForeignKey(
        Source, on_delete=models.CASCADE, related_name="places", db_index=False
    )
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="places")
    parent_id = models.CharField("parent's remote id", max_length=255, blank=True)
    name = models.TextField()
    from_at = models.DateTimeField()
    until_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["source", "parent_id", "until_at"], name="place_by_parent")]

    def __str__(self) -> str:
        return visible(self.name)


class Version(models.Model):
    """One immutable content of a file. Carries the work: who has it leased, when it is due.

    While PENDING, `due_at` is when it may next be leased; leasing moves it to the lease's end, so
    an expired lease is simply due again. `declared_*` is the source's claim, `md5`, `sha256` and
    `size` what was read.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        STORED = "stored", "Stored"
        REFUSED = "refused", "Refused by Google"
        FAILED = "failed", "Failed"
        SUPERSEDED = "superseded", "Replaced before it was read"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="versions")
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="versions")
    revision = models.CharField(max_length=255)
    current = models.BooleanField(default=True)
    declared_size = models.BigIntegerField(null=True)
    declared_md5 = models.CharField(max_length=32, blank=True)
    declared_sha256 = models.CharField(max_length=64, blank=True)
    modified_at = models.DateTimeField(null=True)
    size = models.BigIntegerField(null=True)
    md5 = models.CharField(max_length=32, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    content_type = models.CharField(max_length=255, blank=True)
    # The bytes agreed with themselves over two reads, but not with the source's own checksum.
    checksum_disputed = models.BooleanField(default=False)
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    due_at = models.DateTimeField(default=timezone.now)
    lease_owner = models.CharField(max_length=64, blank=True)
    leases = models.PositiveSmallIntegerField(default=0)  # taken without a result so far
    attempts = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    modified_by = models.CharField("who changed it", max_length=320, blank=True)
    first_seen_at = models.DateTimeField(default=timezone.now)
    # When it became the content again, the last time; None if it was so but once. Before: Spans.
    returned_at = models.DateTimeField(null=True)
    # When another content took its place; None while it is current (or was, when the file went).
    replaced_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["file", "revision"], name="version_once"),
            models.UniqueConstraint(
                fields=["file"], condition=Q(current=True), name="version_one_current"
            ),
        ]
        indexes = [
            models.Index(
                fields=["source", "due_at"], condition=Q(state="pending"), name="version_due"
            ),
            # One each: SQLite takes a partial index only for the very condition that it has.
            models.Index(
                fields=["source", "id"], condition=Q(state="failed"), name="version_failed"
            ),
            models.Index(
                fields=["source", "id"], condition=Q(state="refused"), name="version_refused"
            ),
            # For searching. Partial, so that SQLite does not take one for a mere source in place of
            # version_due: a question about what waits would then walk a million rows.
            models.Index(
                fields=["source", "size", "id"],
                condition=Q(size__isnull=False),
                name="version_by_size",
            ),
            models.Index(
                fields=["source", "modified_at", "id"],
                condition=Q(modified_at__isnull=False),
                name="version_by_date",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.file_id}@{self.revision}"

    @property
    def since(self) -> datetime:
        """When it became the content, the last time."""
        return self.returned_at or self.first_seen_at


class Span(models.Model):
    """When a version that came back was its file's content before; over since then.

    Written when it comes back: its last spell is in the Version itself, from `returned_at`, or else
    `first_seen_at`, until `replaced_at`.
    """

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="spans")
    from_at = models.DateTimeField()
    until_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.version_id} {self.from_at}"


class Copy(models.Model):
    """A version in a destination. The key is written down before the bytes are sent.

    STORED: the destination confirmed the checksum. VERIFIED: it was read back and compared.
    DAMAGED: read back and found missing or different; the next run makes it anew. RELEASED:
    retention or a person has let it go; its object is being removed, and then the row.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        STORED = "stored", "Stored"
        VERIFIED = "verified", "Verified"
        FAILED = "failed", "Failed"
        DAMAGED = "damaged", "Damaged"
        RELEASED = "released", "Being removed"

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="copies")
    destination = models.ForeignKey(Destination, on_delete=models.PROTECT, related_name="copies")
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    object_key = models.TextField(blank=True)
    # Where it lay before a move, until that object is removed; nobody else may take that key.
    old_key = models.TextField(blank=True)
    old_store_version = models.CharField(max_length=255, blank=True)  # of what lies under old_key
    store_version = models.CharField("store's version id", max_length=255, blank=True)
    etag = models.CharField(max_length=128, blank=True)
    stored_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)  # last seen as it should be in a listing
    locked_until = models.DateTimeField(null=True)  # the store refused to remove it before
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "copies"
        constraints = [
            models.UniqueConstraint(fields=["version", "destination"], name="copy_once"),
            models.CheckConstraint(
                condition=~Q(state__in=["stored", "verified"])
                | (~Q(object_key="") & Q(stored_at__isnull=False)),
                name="copy_stored_has_key_and_time",
            ),
        ]
        indexes = [
            models.Index(fields=["destination", "object_key"], name="copy_by_key"),
            models.Index(
                fields=["destination", "old_key"], condition=~Q(old_key=""), name="copy_by_old_key"
            ),
            models.Index(
                fields=["destination", "version"],
                condition=Q(state="damaged"),
                name="copy_damaged",
            ),
            models.Index(
                fields=["destination", "version"], condition=Q(state="failed"), name="copy_failed"
            ),
            models.Index(
                fields=["destination", "version"],
                condition=Q(state="released"),
                name="copy_released",
            ),
            # SQLite takes no NULLS FIRST in an index; there, NULL comes first anyway.
            models.Index(
                fields=["destination", "verified_at"],
                condition=Q(state__in=["stored", "verified"]),
                name="copy_by_verified",
            ),
        ]

    def __str__(self) -> str:
        return visible(self.object_key) or f"{self.version_id} → {self.destination_id}"


class PartialUpload(models.Model):
    """A big copy that was begun at its destination: what a next worker goes on from.

    Written while the upload runs; gone when the copy is stored or the upload is aborted.
    """

    copy = models.OneToOneField(Copy, on_delete=models.CASCADE, related_name="partial_upload")
    object_key = models.TextField()
    upload_id = models.TextField()
    part_bytes = models.BigIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    # Of a copy that is healed, once every byte was sent and found right: the destination's name
    # that they came from.
    whole_from = models.TextField(blank=True)

    def __str__(self) -> str:
        return visible(self.object_key)


class ConfirmedPart(models.Model):
    """A part that a destination has confirmed. `md5` and `sha256` are hex, of its bytes; the latter
    only where it is needed again."""

    number = models.PositiveIntegerField()
    size = models.BigIntegerField()
    md5 = models.CharField(max_length=32)
    sha256 = models.CharField(max_length=64, blank=True)
    etag = models.CharField(max_length=255)

    class Meta:
        abstract = True

    @property
    def sent(self) -> SentPart:
        """As the destination's upload takes it."""
        md5, sha256 = bytes.fromhex(self.md5), bytes.fromhex(self.sha256)
        return SentPart(self.number, self.size, md5, self.etag, sha256)


class UploadedPart(ConfirmedPart):
    """One of a copy's upload."""

    upload = models.ForeignKey(PartialUpload, on_delete=models.CASCADE, related_name="parts")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "number"], name="part_once")]

    def __str__(self) -> str:
        return f"{self.upload_id}#{self.number}"
