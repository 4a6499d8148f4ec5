"""What the lists of large tables have in common: never a full count, nothing to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.functional import cached_property

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    _ModelAdmin, _Paginator = admin.ModelAdmin, Paginator

ROWS_COUNTED = 10_000


class CappedPaginator(_Paginator):
    """Counts only so far; whoever wants rows beyond that searches or filters."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most ROWS_COUNTED."""
        rows: Any = self.object_list
        return int(rows.order_by()[:ROWS_COUNTED].count())


class LargeTableAdmin(_ModelAdmin):
    """A list by falling id; no sorting by columns without an index, no count of all rows."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-pk",)
    sortable_by = ()

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """The newest first."""
        return ("-pk",)


class ReadOnlyAdmin(LargeTableAdmin):
    """Rows that only the engine writes."""

    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False
