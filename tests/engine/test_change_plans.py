"""How PostgreSQL notes changed files: by a plan that suits a single row and thousands alike."""

from __future__ import annotations

from django.db import connection


def test_no_note_of_changes_compares_each_row_with_every_other(db: None) -> None:
    """A session plans a trigger's statement once, for as many rows as there were then."""
    if connection.vendor == "postgresql":  # the other has no such plans
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT p.proname, p.proconfig FROM pg_proc p JOIN pg_trigger t "
                "ON t.tgfoid = p.oid WHERE p.prosrc LIKE '%new_rows%old_rows%'"
            )
            found = dict(cursor.fetchall())
        assert found
        assert all(settings == ["enable_nestloop=off"] for settings in found.values())
