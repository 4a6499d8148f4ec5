"""Pages by key: each starts behind the last row of the one before, so no page is slower.

Never an offset, never a full count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)
PAGE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and where the next page starts; `next` is "" on the last one."""

    rows: Sequence[Row]
    next: str
    first: bool

    def __len__(self) -> int:
        return len(self.rows)


def newest_first(rows: QuerySet[Row], before: str, size: int = PAGE_ROWS) -> Page[Row]:
    """A page of rows by falling id; `before` is what the page before gave as `next`."""
    start = row_number(before)
    if start is not None:
        rows = rows.filter(pk__lt=start)
    return _cut(list(rows.order_by("-pk")[: size + 1]), size, first=start is None)


def oldest_first(rows: QuerySet[Row], after: str, size: int = PAGE_ROWS) -> Page[Row]:
    """A page of rows by rising id."""
    start = row_number(after)
    if start is not None:
        rows = rows.filter(pk__gt=start)
    return _cut(list(rows.order_by("pk")[: size + 1]), size, first=start is None)


def row_number(raw: str) -> int | None:
    """The id in an address or a form, None for what can be none: SQLite's have 64 bits."""
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 19 else None


def _cut(rows: list[Row], size: int, *, first: bool) -> Page[Row]:
    more = len(rows) > size
    shown = rows[:size]
    return Page(shown, str(shown[-1].pk) if more else "", first)
