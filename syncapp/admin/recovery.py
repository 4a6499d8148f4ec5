"""The catalog beside the data, read-only: what was written where, what waits, what was rebuilt."""

from __future__ import annotations

from django.contrib import admin

from syncapp.admin.base import ReadOnlyAdmin
from syncapp.models import Change, DatabaseBackup, Recovery, Segment, SegmentCopy, SegmentTurn
from syncapp.visible import visible


@admin.register(Segment)
class SegmentAdmin(ReadOnlyAdmin):
    """Segments, of all sources."""

    list_display = ("number", "source", "kind", "after", "parts", "lines", "bytes", "created_at")
    list_filter = ("source", "kind")
    list_select_related = ("source",)
    search_fields = ("=number",)
    search_help_text = "A whole number."


@admin.register(SegmentCopy)
class SegmentCopyAdmin(ReadOnlyAdmin):
    """Which destination holds which."""

    list_display = ("segment", "destination", "stored_at")
    list_filter = ("destination", "segment__source")
    list_select_related = ("segment", "destination")
    search_fields = ("=segment__number",)
    search_help_text = "A segment's whole number."


@admin.register(SegmentTurn)
class SegmentTurnAdmin(ReadOnlyAdmin):
    """Who writes, and when it was written last."""

    list_display = ("source", "written_at", "next_at", "drained", "owner", "error_code")
    list_filter = (("error_code", admin.EmptyFieldListFilter),)
    list_select_related = ("source",)
    search_fields = ("=error_code",)
    search_help_text = "A whole error code."


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    """Files whose rows the segments don't have yet."""

    list_display = ("file_id", "source_id", "gone")
    list_filter = (("gone", admin.EmptyFieldListFilter),)
    search_fields = ("=file_id", "=source_id")
    search_help_text = "The id of a file or source."


@admin.register(Recovery)
class RecoveryAdmin(ReadOnlyAdmin):
    """Sources that were rebuilt from a destination, and what was found."""

    list_display = ("source", "destination", "done", "files", "rebuilt_at", "ended_at")
    list_filter = ("destination",)
    list_select_related = ("source", "destination")
    search_fields = ("=source__slug",)
    search_help_text = "A source's whole slug."
    exclude = ("notes", "plan")
    readonly_fields = ("shown_notes",)

    @admin.display(description="notes")
    def shown_notes(self, recovery: Recovery) -> str:
        """What was lost or odd, with what steers text shown."""
        return visible("\n".join(recovery.notes))


@admin.register(DatabaseBackup)
class DatabaseBackupAdmin(ReadOnlyAdmin):
    """The database's own backups."""

    list_display = ("destination", "stored_at", "size", "object_key", "next_at", "error_code")
    list_filter = (("error_code", admin.EmptyFieldListFilter),)
    list_select_related = ("destination",)
    search_fields = ("=error_code",)
    search_help_text = "A whole error code."
