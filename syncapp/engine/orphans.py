"""Folders that files lie in but no listing ever named: each gets a placeholder below "Orphans".

So the files keep their true folder, and when that is named after all, the placeholder becomes it
and what lies below is moved there. A placeholder has no fingerprint.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import connection
from django.utils import timezone

from syncapp.engine import keys
from syncapp.engine.sets import upsert_many
from syncapp.models import File, Source
from syncapp.types import Content

ORPHANS = "~orphans"
_COLUMNS = [
    "source_id", "remote_id", "parent_id", "name", "mime_type", "content", "owner_email",
    "drive_id", "extension", "key_name", "key_fold", "fingerprint", "mark", "move_due", "problem",
    "problem_message", "extra", "metadata", "first_seen_at", "placed_at",
]  # fmt: skip


def adopt(source: Source, parents: Collection[str] | None = None) -> int:
    """Placeholders for the folders among `parents` that are not there; how many.

    None looks at all folders that any file of the source lies in: about 10 µs a folder.
    """
    lost = _lost_among(source.pk, parents) if parents is not None else _lost(source.pk)
    now = timezone.now()
    rows: list[tuple[Any, ...]] = []
    for remote_id in lost:
        above = "" if remote_id == ORPHANS else ORPHANS
        name = "Orphans" if remote_id == ORPHANS else remote_id
        component = keys.encode(remote_id)
        rows.append(
            (source.pk, remote_id, above, name, "", Content.FOLDER.value, "", "", "", component,
             keys.fold(component), "", 0, False, "", "", {}, {}, now, now)
        )  # fmt: skip
    upsert_many(File, _COLUMNS, rows, unique=["source_id", "remote_id"], update=["source_id"])
    return len(rows)


def _lost_among(source_id: int, parents: Collection[str]) -> list[str]:
    there = File.objects.filter(source_id=source_id, remote_id__in=parents)
    return sorted({p for p in parents if p} - set(there.values_list("remote_id", flat=True)))


def _lost(source_id: int) -> list[str]:
    """From one distinct parent to the next through the index, whatever lies in each."""
    table = File._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE parent(id) AS ("  # noqa: S608
            f"SELECT MIN(parent_id) FROM {table} WHERE source_id = %s UNION ALL "
            f"SELECT (SELECT MIN(parent_id) FROM {table} WHERE source_id = %s"
            " AND parent_id > parent.id) FROM parent WHERE parent.id IS NOT NULL) "
            "SELECT id FROM parent WHERE id <> '' AND NOT EXISTS ("
            f"SELECT 1 FROM {table} WHERE source_id = %s AND remote_id = parent.id)",
            [source_id, source_id, source_id],
        )
        return [remote_id for (remote_id,) in cursor.fetchall()]
