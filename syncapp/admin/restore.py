"""Restores, read-only: what was asked back, and what became of each file."""

from __future__ import annotations

from django.contrib import admin

from syncapp.admin.base import ReadOnlyAdmin
from syncapp.models import (
    DriveId,
    Restore,
    RestoreFolder,
    RestoreItem,
    RestorePart,
    RestoreUpload,
)
from syncapp.visible import visible


@admin.register(Restore)
class RestoreAdmin(ReadOnlyAdmin):
    """Everybody's restores."""

    list_display = ("run", "source", "target", "at", "prefer", "collision", "planned_at")
    list_filter = ("target", "collision", "run__source")
    list_select_related = ("run__source",)
    search_fields = ("=run__id",)
    search_help_text = "The id of a run."

    @admin.display(description="source")
    def source(self, restore: Restore) -> str:
        """Whose files."""
        return str(restore.run.source)


@admin.register(RestoreItem)
class RestoreItemAdmin(ReadOnlyAdmin):
    """Their items."""

    list_display = ("__str__", "restore", "state", "size", "origin", "attempts", "error_code")
    list_filter = ("state", "origin")
    list_select_related = ("restore__run", "origin")
    search_fields = ("=restore__run__id", "=error_code")
    search_help_text = "The id of a run, or a whole error code."
    exclude = ("path", "placed")
    readonly_fields = ("shown_path", "shown_place")

    @admin.display(description="path")
    def shown_path(self, item: RestoreItem) -> str:
        """The path, with what steers text shown."""
        return str(item)

    @admin.display(description="placed at")
    def shown_place(self, item: RestoreItem) -> str:
        """Where it is, with what steers text shown."""
        return visible(item.placed)


@admin.register(DriveId)
class DriveIdAdmin(ReadOnlyAdmin):
    """What restores have made in Drives."""

    list_display = ("remote_id", "restore", "key", "made")
    list_filter = ("made",)
    list_select_related = ("restore__run",)
    search_fields = ("=remote_id", "=restore__run__id")
    search_help_text = "A whole id in Drive, or the id of a run."


@admin.register(RestoreUpload)
class RestoreUploadAdmin(ReadOnlyAdmin):
    """Big files whose upload a restore began and did not complete yet."""

    list_display = ("__str__", "part_bytes", "started_at")
    list_filter = ("started_at",)
    search_fields = ("=object_key",)
    raw_id_fields = ("item",)


@admin.register(RestorePart)
class RestorePartAdmin(ReadOnlyAdmin):
    """Parts of them that the destination has confirmed."""

    list_display = ("__str__", "size", "md5", "etag")
    list_filter = ("upload__started_at",)
    search_fields = ("=md5", "=etag")
    raw_id_fields = ("upload",)


@admin.register(RestoreFolder)
class RestoreFolderAdmin(ReadOnlyAdmin):
    """Folders that get their times and their sharing at a restore's end."""

    list_display = ("__str__", "restore", "modified_at", "done")
    list_filter = ("done",)
    list_select_related = ("restore__run",)
    search_fields = ("=restore__run__id",)
    raw_id_fields = ("restore", "file")
    exclude = ("path",)
