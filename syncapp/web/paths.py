"""Folders of files, found by walking up their parents: one query for a whole page of files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection

_MAX_DEPTH = 100  # Drive allows 100 levels; also the end of a loop of folders, should there be one

# Parents are remote ids within a source, so the join can't be expressed as a relation.
_WALK = """
WITH RECURSIVE up(leaf, depth, source_id, remote_id, parent_id, name) AS (
    SELECT id, 0, source_id, remote_id, parent_id, name FROM syncapp_file WHERE id IN ({ids})
    UNION ALL
    SELECT up.leaf, up.depth + 1, f.source_id, f.remote_id, f.parent_id, f.name
    FROM up JOIN syncapp_file f ON f.source_id = up.source_id AND f.remote_id = up.parent_id
    WHERE up.parent_id <> '' AND up.depth < %s
)
SELECT leaf, remote_id, name FROM up WHERE depth > 0 ORDER BY leaf, depth DESC
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """One step of a path."""

    remote_id: str
    name: str


def folders_of(file_ids: Collection[int]) -> dict[int, list[Folder]]:
    """The folders above each file, outermost first."""
    found: dict[int, list[Folder]] = {file_id: [] for file_id in file_ids}
    if not found:
        return found
    marks = ", ".join(["%s"] * len(found))
    with connection.cursor() as cursor:
        cursor.execute(_WALK.format(ids=marks), [*found, _MAX_DEPTH])
        for leaf, remote_id, name in cursor.fetchall():
            found[leaf].append(Folder(remote_id, name))
    return found
