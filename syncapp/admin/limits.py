"""What all workers share: paces, breakers, uploads that a next worker goes on with, and the mark by
which an installation knows its places."""

from __future__ import annotations

from django.contrib import admin

from syncapp.admin.base import ReadOnlyAdmin
from syncapp.models import Breaker, Installation, Pace, PartialUpload, UploadedPart


@admin.register(Pace)
class PaceAdmin(ReadOnlyAdmin):
    """How fast Google and the limited destinations are used now."""

    list_display = ("key", "now", "most", "filled_at", "slowed_at", "not_before")
    list_filter = (("slowed_at", admin.EmptyFieldListFilter),)
    search_fields = ("key",)

    @admin.display(description="units a second")
    def now(self, pace: Pace) -> str:
        """Google's quota units, or bytes."""
        return f"{pace.rate:,.1f}"

    @admin.display(description="at most")
    def most(self, pace: Pace) -> str:
        """What it grows back to."""
        return f"{pace.ceiling:,.1f}"


@admin.register(Breaker)
class BreakerAdmin(ReadOnlyAdmin):
    """What is let alone because it failed again and again, and when it is tried next."""

    list_display = ("key", "state", "failures", "opened", "opened_at", "retry_at", "error_message")
    list_filter = ("state",)
    search_fields = ("key", "=error_code")


@admin.register(PartialUpload)
class PartialUploadAdmin(ReadOnlyAdmin):
    """Big copies that were begun and not completed yet."""

    list_display = ("__str__", "part_bytes", "started_at")
    list_filter = ("copy__destination",)
    search_fields = ("=object_key",)
    raw_id_fields = ("copy",)


@admin.register(UploadedPart)
class UploadedPartAdmin(ReadOnlyAdmin):
    """Parts that a destination has confirmed."""

    list_display = ("__str__", "size", "md5", "etag")
    list_filter = ("upload__copy__destination",)
    search_fields = ("=md5", "=etag")
    raw_id_fields = ("upload",)


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    """The one row of this database: its mark at every destination, and those it has succeeded."""

    list_display = ("mark", "succeeds")
    list_filter = ("mark",)
    search_fields = ("=mark",)
