"""Sums of what lies in an account, or below whole folders, now: a few queries instead of a walk.

For the dry run of a restore of the latest state. Only names of tables and numbers are put into
the queries' text (hence the noqa). What the database adds up is what `moment.descend`
would list: present files with their current content, by the destinations that have it. Files whose
current content is stored nowhere are told apart, for an older one may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db import connection

from syncapp.engine.occupied import STORED
from syncapp.models import Copy, File, Version
from syncapp.types import Content

MOST_CHOSEN = 500  # folders named in one query
_SIZES = (64 * 1024, 1024**2, 16 * 1024**2, 256 * 1024**2)  # reads of one class take alike
_FILE, _VERSION, _COPY = (model._meta.db_table for model in (File, Version, Copy))
_PRESENT = "f.trashed_at IS NULL AND f.vanished_at IS NULL"


class Sum(NamedTuple):
    """Files of about one size that the same destinations have."""

    destinations: tuple[int, ...]
    files: int
    bytes: int


class Scope:
    """All of a source, or what lies in and below the folders and files chosen."""

    def __init__(self, source_id: int, chosen: Sequence[int]) -> None:
        self._source_id, self._chosen = source_id, list(chosen)

    @property
    def fits(self) -> bool:
        """Whether all that is chosen is there now, and can be named in a query."""
        if not self._chosen:
            return True
        if len(self._chosen) > MOST_CHOSEN:
            return False
        present = File.objects.filter(
            source_id=self._source_id,
            pk__in=self._chosen,
            trashed_at__isnull=True,
            vanished_at__isnull=True,
        )
        return present.count() == len(set(self._chosen))

    def folders_and_files(self) -> tuple[int, int]:
        """How many empty folders there are, and how many files."""
        sql = f"""
            {self._with}
            SELECT count(CASE WHEN c.content = %s AND NOT EXISTS (
                       SELECT 1 FROM {_FILE} f WHERE f.source_id = %s
                       AND f.parent_id = c.remote_id AND {_PRESENT}) THEN 1 END),
                   count(CASE WHEN c.content <> %s THEN 1 END)
            FROM chosen c
        """  # noqa: S608
        folder = Content.FOLDER.value
        (row,) = self._rows(sql, [folder, self._source_id, folder])
        return int(row[0]), int(row[1])

    def sums(self, destinations: Sequence[int]) -> list[Sum]:
        """Files with a current content that is stored, by where it is and about how big it is."""
        bits = " ".join(f"WHEN {int(pk)} THEN {1 << n}" for n, pk in enumerate(destinations))
        sizes = " ".join(f"WHEN v.size < {size} THEN {n}" for n, size in enumerate(_SIZES))
        states = ", ".join(["%s"] * len(STORED))
        sql = f"""
            {self._with},
            stored AS (
                SELECT v.id, max(v.size) AS size, max(CASE {sizes} ELSE {len(_SIZES)} END) AS class,
                       sum(CASE k.destination_id {bits} ELSE 0 END) AS places
                FROM chosen c
                JOIN {_VERSION} v ON v.file_id = c.id AND v.current
                JOIN {_COPY} k ON k.version_id = v.id AND k.state IN ({states})
                WHERE v.size IS NOT NULL
                GROUP BY v.id
            )
            SELECT places, class, count(*), sum(size) FROM stored WHERE places > 0
            GROUP BY places, class
        """  # noqa: S608
        return [
            Sum(
                tuple(pk for n, pk in enumerate(destinations) if int(places) >> n & 1),
                int(files),
                int(size),
            )
            for places, _, files, size in self._rows(sql, list(STORED))
        ]

    def sample(self, about: int, files: int) -> list[int]:
        """About so many of the current versions, spread evenly over all."""
        step = max(files // max(about, 1), 1)
        sql = f"""
            {self._with}
            SELECT v.id FROM chosen c JOIN {_VERSION} v ON v.file_id = c.id AND v.current
            WHERE v.id %% %s = 0 LIMIT %s
        """  # noqa: S608
        return [int(pk) for (pk,) in self._rows(sql, [step, 2 * about])]

    def others(self) -> Iterator[int]:
        """Files whose current content is stored nowhere, by id."""
        states = ", ".join(["%s"] * len(STORED))
        sql = f"""
            {self._with}
            SELECT c.id FROM chosen c
            WHERE c.content <> %s AND NOT EXISTS (
                SELECT 1 FROM {_VERSION} v JOIN {_COPY} k ON k.version_id = v.id
                WHERE v.file_id = c.id AND v.current AND v.size IS NOT NULL
                AND k.state IN ({states}))
        """  # noqa: S608
        return (int(pk) for (pk,) in self._rows(sql, [Content.FOLDER.value, *STORED]))

    @property
    def _with(self) -> str:
        if not self._chosen:
            return f"""
                WITH chosen AS (
                    SELECT f.id, f.remote_id, f.content FROM {_FILE} f
                    WHERE f.source_id = %s AND {_PRESENT}
                )
            """  # noqa: S608
        ids = ", ".join(str(int(pk)) for pk in self._chosen)
        return f"""
            WITH RECURSIVE chosen(id, remote_id, content) AS (
                SELECT f.id, f.remote_id, f.content FROM {_FILE} f
                WHERE f.source_id = %s AND f.id IN ({ids})
                UNION
                SELECT f.id, f.remote_id, f.content FROM {_FILE} f
                JOIN chosen c ON f.parent_id = c.remote_id AND c.content = '{Content.FOLDER.value}'
                WHERE f.source_id = %s AND {_PRESENT}
            )
        """  # noqa: S608

    def _rows(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        sources = [self._source_id] * (2 if self._chosen else 1)
        with connection.cursor() as cursor:
            cursor.execute(sql, [*sources, *parameters])
            return list(cursor.fetchall())
