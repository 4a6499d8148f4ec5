"""The catalog, read-only: what is stored where."""

from __future__ import annotations

from django.contrib import admin

from syncapp.admin.base import ReadOnlyAdmin
from syncapp.models import Copy, File, Place, Span, Version
from syncapp.visible import visible


@admin.register(File)
class FileAdmin(ReadOnlyAdmin):
    """Files of all sources. A search walks the table: seconds for a million files."""

    list_display = ("__str__", "source", "content", "mime_type", "problem", "remote_modified_at")
    list_filter = ("source", "content", ("problem", admin.EmptyFieldListFilter))
    list_select_related = ("source",)
    search_fields = ("name", "=remote_id", "owner_email")
    exclude = ("name", "key_name", "key_fold")
    readonly_fields = ("shown_name",)
    search_help_text = "A part of the name or of the owner's address, or the whole id in Drive."

    @admin.display(description="name")
    def shown_name(self, file: File) -> str:
        """The name, with what steers text shown."""
        return str(file)


@admin.register(Place)
class PlaceAdmin(ReadOnlyAdmin):
    """Where files were before, and what they were called."""

    list_display = ("__str__", "source", "from_at", "until_at")
    list_filter = ("source",)
    list_select_related = ("source",)
    search_fields = ("name", "=file__remote_id")
    exclude = ("name",)
    readonly_fields = ("shown_name",)
    search_help_text = "A part of the name, or the whole id in Drive."

    @admin.display(description="name")
    def shown_name(self, place: Place) -> str:
        """The name, with what steers text shown."""
        return str(place)


@admin.register(Version)
class VersionAdmin(ReadOnlyAdmin):
    """Versions: the work, and how it went."""

    list_display = ("file", "source", "state", "current", "size", "attempts", "error_code")
    list_filter = ("state", "source", "current", "checksum_disputed")
    list_select_related = ("file", "source")
    search_fields = ("=sha256", "=md5", "=file__remote_id", "=error_code")
    search_help_text = "A whole checksum, id in Drive or error code."


@admin.register(Span)
class SpanAdmin(ReadOnlyAdmin):
    """When versions that came back were their files' contents before."""

    list_display = ("version", "from_at", "until_at")
    list_filter = ("version__source",)
    list_select_related = ("version",)
    search_fields = ("=version__file__remote_id", "=version__sha256")
    search_help_text = "The whole id in Drive, or a whole checksum."


@admin.register(Copy)
class CopyAdmin(ReadOnlyAdmin):
    """Copies: what each destination holds."""

    list_display = ("__str__", "destination", "state", "stored_at", "verified_at", "error_code")
    list_filter = ("state", "destination")
    list_select_related = ("destination",)
    search_fields = ("=object_key", "=error_code")
    search_help_text = "A whole object key or error code."
    exclude = ("object_key",)
    readonly_fields = ("shown_key",)

    @admin.display(description="object key")
    def shown_key(self, copy: Copy) -> str:
        """The key, with what steers text shown."""
        return visible(copy.object_key)
