"""The catalog, read-only: what is stored where."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from syncapp.admin.base import ReadOnlyAdmin
from syncapp.engine.search_leads import found_by_name
from syncapp.models import Copy, File, Place, Source, Span, Version
from syncapp.visible import visible

MOST_FOUND = 500
_MOST_SECONDS = 0.15


class NamedAdmin(ReadOnlyAdmin):
    """Rows that are searched through the index of names, or by the whole id in Drive."""

    search_fields = ("name",)  # it is `get_search_results` that searches
    search_help_text = (
        "Words of three letters and more of the name, or the whole id in Drive. "
        f"{MOST_FOUND} are shown."
    )
    of_file = "pk"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """At most MOST_FOUND by name; it is told where there are more."""
        if not search_term.strip():
            return queryset, False
        chosen = request.GET.get("source__id__exact", "")
        sources = Source.objects.filter(pk=chosen) if chosen.isdecimal() else Source.objects.all()
        ids = list(sources.order_by().values_list("pk", flat=True))
        found, whole = found_by_name(self.model, ids, search_term, MOST_FOUND, _MOST_SECONDS)
        if not whole:
            told = f"These are not all: only {len(found)} names have been held against the filters."
            self.message_user(request, told, messages.WARNING)
        files = File.objects.filter(source__in=ids, remote_id=search_term.strip())
        of_files = list(files.values_list("pk", flat=True))
        exact = self.model.objects.filter(**{f"{self.of_file}__in": of_files})
        return queryset.filter(pk__in=[*found, *exact.values_list("pk", flat=True)]), False


@admin.register(File)
class FileAdmin(NamedAdmin):
    """Files of all sources."""

    list_display = ("__str__", "source", "content", "mime_type", "problem", "remote_modified_at")
    list_filter = ("source", "content", ("problem", admin.EmptyFieldListFilter))
    list_select_related = ("source",)
    exclude = ("name", "key_name", "key_fold")
    readonly_fields = ("shown_name",)

    @admin.display(description="name")
    def shown_name(self, file: File) -> str:
        """The name, with what steers text shown."""
        return str(file)


@admin.register(Place)
class PlaceAdmin(NamedAdmin):
    """Where files were before, and what they were called."""

    of_file = "file"
    list_display = ("__str__", "source", "from_at", "until_at")
    list_filter = ("source",)
    list_select_related = ("source",)
    exclude = ("name",)
    readonly_fields = ("shown_name",)

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
