"""Files whose path is another one now: noted, so that their copies are moved at the destinations.

In sets, and only what lies below a folder that changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from syncapp.engine.naming import Known
from syncapp.engine.sets import among, by_pk
from syncapp.models import Copy, File, Version
from syncapp.types import Content


def note(source_id: int, rows: Sequence[Known]) -> None:
    """These files and folders have another place or name: `move_due` for all that is stored,
    or may have been sent."""
    files = [row.pk for row in rows if row.content != Content.FOLDER]
    folders = [row.remote_id for row in rows if row.content == Content.FOLDER]
    note_files(files)
    if folders:
        _note_below(source_id, folders)


def note_files(pks: Sequence[int]) -> None:
    """The copies of these files are to follow them into the trash, or out of it."""
    if pks:
        _mark(*among("id", pks))


def note_all(source_id: int) -> None:
    """A destination was not told of moves for a while: every copy's key is looked at anew."""
    files = File.objects.filter(source_id=source_id, move_due=False)
    for batch in by_pk(files.exclude(content=Content.FOLDER.value)):
        note_files([pk for (pk,) in batch])


def _note_below(source_id: int, folders: Sequence[str]) -> None:
    """Everything below these folders, however deep."""
    condition, given = among("remote_id", folders)
    table = File._meta.db_table
    below = (
        "WITH RECURSIVE below(remote_id) AS ("  # noqa: S608
        f"SELECT remote_id FROM {table} WHERE source_id = %s AND {condition} UNION "
        f"SELECT f.remote_id FROM below JOIN {table} f ON f.source_id = %s"
        " AND f.parent_id = below.remote_id AND f.content = %s) "
        "SELECT remote_id FROM below"
    )
    _mark(
        # What is in the trash stays there, wherever its folder goes.
        f"source_id = %s AND parent_id IN ({below}) AND content <> %s"
        " AND trashed_at IS NULL AND vanished_at IS NULL",
        [source_id, source_id, *given, source_id, Content.FOLDER.value, Content.FOLDER.value],
    )


def _mark(condition: str, given: Sequence[Any]) -> None:
    file, version, copy = (model._meta.db_table for model in (File, Version, Copy))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {file} SET move_due = %s WHERE {condition} AND NOT move_due AND EXISTS ("  # noqa: S608
            f"SELECT 1 FROM {version} v JOIN {copy} c ON c.version_id = v.id"
            f" WHERE v.file_id = {file}.id AND c.object_key <> '')",
            [True, *given],
        )
