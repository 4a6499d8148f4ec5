"""Where files were before: a Place for each that leaves its folder or name, or goes. In sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import connection

from syncapp.engine.naming import Known
from syncapp.engine.sets import among, insert_many
from syncapp.models import File, Place
from syncapp.types import RemoteFile

_COLUMNS = ["source_id", "file_id", "parent_id", "name", "from_at", "until_at"]


def since(file: RemoteFile, known: Known | None, now: datetime) -> datetime:
    """`placed_at` of a file as a listing gives it now."""
    if known is None or (not file.trashed and (_is_gone(known) or _elsewhere(file, known))):
        return now
    return known.placed_at


def leave(
    source_id: int, files: Iterable[RemoteFile], known: Mapping[str, Known], now: datetime
) -> None:
    """Note the places that these files are no longer at, whether moved or in the trash."""
    rows = [
        (source_id, row.pk, row.parent_id, row.name, row.placed_at, now)
        for file in files
        if (row := known.get(file.remote_id)) is not None
        and not _is_gone(row)
        and (file.trashed or _elsewhere(file, row))
    ]
    insert_many(Place, _COLUMNS, rows)


def vanish(pks: Sequence[int], now: datetime) -> None:
    """Note the places of files about to be marked as vanished; not of those gone before."""
    condition, given = among("id", pks)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Place._meta.db_table} ({', '.join(_COLUMNS)}) "  # noqa: S608
            f"SELECT source_id, id, parent_id, name, placed_at, %s FROM {File._meta.db_table}"
            f" WHERE {condition} AND vanished_at IS NULL AND trashed_at IS NULL",
            [connection.ops.adapt_datetimefield_value(now), *given],
        )


def _is_gone(row: Known) -> bool:
    return row.trashed_at is not None or row.vanished_at is not None


def _elsewhere(file: RemoteFile, row: Known) -> bool:
    return (file.parent_id, file.name) != (row.parent_id, row.name)
