"""A run with nothing to move asks two indexes (SQLite's planner tells; PostgreSQL's needs rows)."""

from __future__ import annotations

import pytest
from django.db.models import QuerySet

from syncapp.engine import wishes


def plan(rows: QuerySet) -> str:  # type: ignore[type-arg]
    """How SQLite finds them."""
    return rows.explain()


@pytest.mark.django_db
def test_what_is_due_and_what_was_begun_are_found_in_their_partial_indexes() -> None:
    assert "file_to_move" in plan(wishes.due(1).values("pk"))
    assert "copy_by_old_key" in plan(wishes.unfinished(1, [1, 2]).values("pk"))
