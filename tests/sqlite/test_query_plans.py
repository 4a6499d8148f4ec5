"""Which indexes are asked (SQLite's planner tells; PostgreSQL's needs rows)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db.models import QuerySet

from syncapp.engine import wishes
from syncapp.models import Version


def plan(rows: QuerySet) -> str:  # type: ignore[type-arg]
    """How SQLite finds them."""
    return rows.explain()


@pytest.mark.django_db
def test_what_is_due_and_what_was_begun_are_found_in_their_partial_indexes() -> None:
    assert "file_to_move" in plan(wishes.due(1).values("pk"))
    assert "copy_by_old_key" in plan(wishes.unfinished(1, [1, 2]).values("pk"))


@pytest.mark.django_db
def test_what_waits_is_found_in_its_partial_index_and_not_in_those_of_the_search() -> None:
    waiting = Version.objects.filter(source=1, state=Version.State.PENDING)
    assert "version_due" in plan(waiting.values("pk"))
    assert "version_due" in plan(waiting.filter(error_code="destination_down").values("pk"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"size__gte": 5}, "version_by_size"),
        ({"size__lte": 5}, "version_by_size"),
        ({"modified_at__lte": datetime(2026, 1, 1, tzinfo=UTC)}, "version_by_date"),
    ],
)
def test_a_search_by_size_or_date_walks_an_index(asked: dict[str, Any], index: str) -> None:
    assert index in plan(Version.objects.filter(source=1, **asked).values("pk"))
