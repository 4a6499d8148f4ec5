"""What checks have found, and the files that every drill restores; read-only."""

from __future__ import annotations

from django.contrib import admin

from syncapp.admin.base import ReadOnlyAdmin
from syncapp.models import Canary, Finding, Leftover
from syncapp.visible import visible


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    """Findings, open ones and healed ones."""

    list_display = ("__str__", "source", "destination", "kind", "found_at", "healed_at")
    list_filter = ("kind", ("healed_at", admin.EmptyFieldListFilter), "source", "destination")
    list_select_related = ("source", "destination")
    search_fields = ("=object_key",)
    search_help_text = "A whole object key."
    exclude = ("object_key", "message")
    readonly_fields = ("shown_key", "shown_message")

    @admin.display(description="object key")
    def shown_key(self, finding: Finding) -> str:
        """The key, with what steers text shown."""
        return visible(finding.object_key)

    @admin.display(description="message")
    def shown_message(self, finding: Finding) -> str:
        """What was found, with what steers text shown."""
        return visible(finding.message)


@admin.register(Leftover)
class LeftoverAdmin(ReadOnlyAdmin):
    """Keys under which interrupted work may have left something."""

    list_display = ("__str__", "source", "destination", "size", "noted_at", "looked_at")
    list_filter = ("source", "destination")
    list_select_related = ("source", "destination")
    search_fields = ("=object_key",)
    search_help_text = "A whole object key."
    exclude = ("object_key",)
    readonly_fields = ("shown_key",)

    @admin.display(description="object key")
    def shown_key(self, leftover: Leftover) -> str:
        """The key, with what steers text shown."""
        return visible(leftover.object_key)


@admin.register(Canary)
class CanaryAdmin(ReadOnlyAdmin):
    """Pinned files."""

    list_display = ("__str__", "source", "created_at")
    list_filter = ("source",)
    list_select_related = ("source", "file")
    search_fields = ("=file__remote_id",)
    search_help_text = "A whole id in Drive."
