"""Erasures and their reports. What they name is named nowhere else."""

from __future__ import annotations

from django.contrib import admin

from syncapp.admin.base import ReadOnlyAdmin
from syncapp.models import Erased, ErasedObject, Erasure


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    """Who wanted what erased, and how far it is."""

    list_display = ("id", "owner", "source_name", "account", "created_at", "proven_at")
    list_filter = ("account", "owner")
    list_select_related = ("owner",)
    search_fields = ("source_name", "owner__username")


@admin.register(ErasedObject)
class ErasedObjectAdmin(ReadOnlyAdmin):
    """Each object, and when it was found absent."""

    list_display = ("id", "erasure", "place", "__str__", "absent_at", "locked_until")
    list_filter = (("absent_at", admin.EmptyFieldListFilter),)
    list_select_related = ("erasure",)
    search_fields = ("=erasure__id",)


@admin.register(Erased)
class ErasedAdmin(ReadOnlyAdmin):
    """What must not come back, by hash."""

    list_display = ("digest", "source", "erased_at")
    list_filter = ("source",)
    list_select_related = ("source",)
    search_fields = ("=digest",)
