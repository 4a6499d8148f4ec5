"""What happened, read-only."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from syncapp.admin.base import ReadOnlyAdmin
from syncapp.models import Attempt, Channel, Event, Lane, Run, ScanProgress, Worker


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs of all sources. There are few enough for a date hierarchy."""

    list_display = (
        *("id", "kind", "source", "stage", "outcome", "created_at", "ended_at"),
        *("files_done", "files_refused", "files_failed", "bytes_done"),
    )
    list_filter = ("outcome", "kind", "stage", "source")
    list_select_related = ("source",)
    search_fields = ("source__name", "=error_code")
    date_hierarchy = "created_at"


@admin.register(ScanProgress)
class ScanProgressAdmin(ReadOnlyAdmin):
    """How far whole listings that are under way have come."""

    list_display = ("__str__", "files_seen")
    list_filter = ("run__source",)
    search_fields = ("=run__id",)
    exclude = ("seen",)


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Tries, and why they failed."""

    list_display = ("version", "run", "number", "started_at", "seconds", "bytes_read", "error_code")
    list_filter = (("error_code", admin.EmptyFieldListFilter), "destination")
    list_select_related = ("version", "run")
    search_fields = ("=error_code", "=version__file__remote_id")
    search_help_text = "A whole error code or id in Drive."


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Everybody's log."""

    list_display = ("created_at", "level", "code", "owner", "source", "__str__", "acknowledged_at")
    list_filter = ("level", ("acknowledged_at", admin.EmptyFieldListFilter), "source")
    list_select_related = ("owner", "source")
    search_fields = ("=code", "message", "owner__username")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Who is at work."""

    list_display = ("host", "pid", "started_at", "heartbeat_at")
    list_filter = ("host",)
    search_fields = ("host",)


@admin.register(Lane)
class LaneAdmin(ReadOnlyAdmin):
    """Lanes of runs."""

    list_display = ("id", "run_link", "stage", "owner", "asked_at", "heartbeat_at", "ended_at")
    list_filter = ("stage", ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("run",)
    search_fields = ("owner",)

    @admin.display(description="run")
    def run_link(self, lane: Lane) -> SafeString:
        """The run, as a link to its admin page."""
        return format_html('<a href="../run/{}/change/">{}</a>', lane.run_id, lane.run)


@admin.register(Channel)
class ChannelAdmin(ReadOnlyAdmin):
    """Push channels of Google's. Their tokens are shown by nothing."""

    list_display = ("channel_id", "source", "scope", "expires_at", "last_message_at", "messages")
    list_filter = ("source",)
    list_select_related = ("source",)
    search_fields = ("=channel_id", "=scope")
    search_help_text = "A whole channel id, or a shared drive's id."
    exclude = ("token",)
