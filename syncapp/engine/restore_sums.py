"""Sums of what lay in an account, or below whole folders, at a moment: queries instead of a walk.

For the dry run of a restore. Only names of tables and numbers are put into the queries' text (hence
the noqa). What the database adds up is what `moment.descend` would list: files that were there,
with the content they had then, by the destinations that have it; if that is stored nowhere, with
an older one. It goes stretch by stretch, so that whoever has no more time has a part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from syncapp.engine.occupied import STORED
from syncapp.engine.sets import among, chunks
from syncapp.models import Copy, File, Place, Span, Version
from syncapp.types import Content

STRETCH = 50_000  # files of an account in one query: 0.2 to 0.6 s
_FOLDERS = 250  # whose children are one stretch
_SIZES = (64 * 1024, 1024**2, 16 * 1024**2, 256 * 1024**2)  # reads of one class take alike
_FILE, _VERSION, _COPY, _PLACE, _SPAN = (
    model._meta.db_table for model in (File, Version, Copy, Place, Span)
)
_COLUMNS = "f.id, f.remote_id, f.content"
_IS_FOLDER = f"content = '{Content.FOLDER.value}'"
_STATES = ", ".join(f"'{state.value}'" for state in STORED)
_STORED = f"SELECT 1 FROM {_COPY} k WHERE k.version_id = v.id AND k.state IN ({_STATES})"  # noqa: S608


class Sum(NamedTuple):
    """Files of about one size that the same destinations have; () : no content is stored."""

    destinations: tuple[int, ...]
    files: int
    bytes: int


class Query(NamedTuple):
    """A query and its parameters."""

    sql: str
    given: list[Any]


class Scope:
    """All of a source, or what lay in and below the folders and files chosen."""

    def __init__(
        self, source_id: int, chosen: Sequence[int], at: datetime | None, places: Sequence[int]
    ) -> None:
        """`at` None: the latest state. `places`: the owner's destinations."""
        self._source_id, self._chosen = int(source_id), list(chosen)
        self._past, self._moment = at is not None, at or timezone.now()
        self._places = list(places)
        self._then = connection.ops.adapt_datetimefield_value(self._moment)

    @property
    def fits(self) -> bool:
        """Whether no folder is chosen that was gone by then: what went along with it is told by a
        walk alone."""
        gone = Q(trashed_at__lte=self._moment) | Q(vanished_at__lte=self._moment)
        rows = File.objects.filter(gone, source=self._source_id, content=Content.FOLDER)
        return not any(rows.filter(pk__in=some).exists() for some in chunks(self._chosen, 500))

    def stretches(self) -> Iterator[Query]:
        """Files and folders, each once; together all that is to be added up."""
        return self._below_chosen() if self._chosen else self._everything()

    def empty_folders(self, stretch: Query) -> int:
        """How many of its folders had nothing in them."""
        inside = self._present("f.parent_id = h.remote_id", [])
        sql = (
            f"WITH here AS ({stretch.sql}) SELECT count(*) FROM here h"  # noqa: S608
            f" WHERE h.{_IS_FOLDER}"
            f" AND NOT EXISTS ({inside.sql})"
        )
        given = [*stretch.given, *inside.given]
        if self._past:
            was = self._was_there("p.parent_id = h.remote_id", [])
            sql, given = f"{sql} AND NOT EXISTS ({was.sql})", [*given, *was.given]
        return int(_rows(sql, given)[0][0])

    def sums(self, stretch: Query) -> list[Sum]:
        """Its files, by where their contents are and about how big they are."""
        if self._past:
            return self._added(self._then_best(stretch))
        found = self._added(self._current(stretch))
        if all(one.destinations for one in found):
            return found
        # There are few whose newest content is stored nowhere: an older one of them may be.
        others = Query(
            f"SELECT h.id, h.remote_id, h.content FROM ({stretch.sql}) h"  # noqa: S608
            f" WHERE NOT EXISTS (SELECT 1 FROM {_VERSION} v WHERE v.file_id = h.id AND v.current"
            f" AND v.size IS NOT NULL AND EXISTS ({_STORED}))",
            stretch.given,
        )
        return [one for one in found if one.destinations] + self._added(self._then_best(others))

    def sample(self, stretch: Query, wanted: int, files: int) -> list[int]:
        """At most so many contents of a stretch of so many files, spread over it."""
        step = max(files // max(wanted, 1), 1)
        sql = (
            f"WITH here AS ({stretch.sql}) SELECT v.id FROM here h"  # noqa: S608
            f" JOIN {_VERSION} v ON v.file_id = h.id AND v.current"
            f" WHERE v.id %% {int(step)} = 0 LIMIT {int(wanted)}"
        )
        return [int(pk) for (pk,) in _rows(sql, stretch.given)]

    def _everything(self) -> Iterator[Query]:
        """By the files' keys."""
        pks = (
            File.objects.filter(source=self._source_id).order_by("pk").values_list("pk", flat=True)
        )
        after, last = 0, pks.last() or 0
        while after < last:
            ends = pks.filter(pk__gt=after)[STRETCH - 1 : STRETCH]
            until = next(iter(ends), last)
            within = f"f.id > {int(after)} AND f.id <= {int(until)}"
            yield self._there(within, [], f"p.file_id > {int(after)} AND p.file_id <= {int(until)}")
            after = until

    def _below_chosen(self) -> Iterator[Query]:
        """Folder by folder; then the chosen files that lay in none of them."""
        rows = File.objects.filter(source=self._source_id)
        files, waiting, folders = list[tuple[int, str]](), list[str](), list[int]()
        for some in chunks(self._chosen, 500):
            chosen = rows.filter(pk__in=some)
            files += chosen.exclude(content=Content.FOLDER).values_list("pk", "parent_id")
            for pk, remote_id in chosen.filter(content=Content.FOLDER).values_list(
                "pk", "remote_id"
            ):
                folders.append(pk)
                waiting.append(remote_id)
        yield _these(folders)
        known = set(waiting)
        while waiting:
            parents, waiting = waiting[-_FOLDERS:], waiting[:-_FOLDERS]
            here, given = among("f.parent_id", parents)
            stretch = self._there(here, given, among("p.parent_id", parents)[0])
            yield stretch
            below = f"SELECT h.remote_id FROM ({stretch.sql}) h WHERE h.{_IS_FOLDER}"  # noqa: S608
            new = [row[0] for row in _rows(below, stretch.given) if row[0] not in known]
            known.update(new)
            waiting += new
        yield _these([pk for pk, parent in files if parent not in known])

    def _there(self, now: str, given: Sequence[Any], then: str) -> Query:
        """What meets `now` (of a file `f`) at the moment, or did (of a former place `p`)."""
        present = self._present(now, given)
        if not self._past:
            return present
        was = self._was_there(then, given)
        return Query(f"{present.sql} UNION {was.sql}", [*present.given, *was.given])

    def _present(self, where: str, given: Sequence[Any]) -> Query:
        sql = (
            f"SELECT {_COLUMNS} FROM {_FILE} f WHERE f.source_id = {self._source_id} AND {where}"  # noqa: S608
            " AND f.trashed_at IS NULL AND f.vanished_at IS NULL"
        )
        if not self._past:
            return Query(sql, [*given])
        return Query(f"{sql} AND f.placed_at <= %s", [*given, self._then])

    def _was_there(self, where: str, given: Sequence[Any]) -> Query:
        return Query(
            f"SELECT {_COLUMNS} FROM {_PLACE} p JOIN {_FILE} f ON f.id = p.file_id"  # noqa: S608
            f" WHERE p.source_id = {self._source_id} AND {where}"
            " AND p.until_at > %s AND p.from_at <= %s",
            [*given, self._then, self._then],
        )

    def _current(self, stretch: Query) -> Query:
        """Of each file its current content."""
        return Query(
            f"WITH here AS ({stretch.sql}), content AS ("  # noqa: S608
            f" SELECT v.id, v.size FROM here h LEFT JOIN {_VERSION} v"
            f" ON v.file_id = h.id AND v.current WHERE NOT h.{_IS_FOLDER})",
            stretch.given,
        )

    def _then_best(self, stretch: Query) -> Query:
        """Of each file the stored content that it had at the moment, or the last one before: as
        `moment` ranks them."""
        begun = f"FROM {_SPAN} s WHERE s.version_id = v.id AND s.from_at <= %s"
        first = "COALESCE(v.returned_at, v.first_seen_at)"
        sql = f"""
            WITH here AS ({stretch.sql}), spell AS (
                SELECT v.id, v.file_id, v.size,
                    CASE WHEN v.returned_at > %s THEN COALESCE(
                        (SELECT max(s.from_at) {begun}), {first}) ELSE {first} END AS since,
                    CASE WHEN v.returned_at > %s THEN COALESCE(
                        (SELECT max(s.until_at) {begun}), v.replaced_at)
                        ELSE v.replaced_at END AS until
                FROM here h JOIN {_VERSION} v ON v.file_id = h.id AND v.first_seen_at <= %s
                WHERE NOT h.{_IS_FOLDER} AND EXISTS ({_STORED})
            ), ranked AS (
                SELECT id, file_id, size, row_number() OVER (
                    PARTITION BY file_id ORDER BY
                    CASE WHEN until IS NULL OR until > %s THEN 0 ELSE 1 END, since DESC, id DESC
                ) AS place FROM spell
            ), content AS (
                SELECT r.id, r.size FROM here h
                LEFT JOIN ranked r ON r.file_id = h.id AND r.place = 1 WHERE NOT h.{_IS_FOLDER}
            )
        """  # noqa: S608
        return Query(sql, [*stretch.given, *[self._then] * 6])

    def _added(self, contents: Query) -> list[Sum]:
        bits = " ".join(f"WHEN {int(pk)} THEN {1 << n}" for n, pk in enumerate(self._places))
        where = f"CASE k.destination_id {bits} ELSE 0 END" if bits else "0"
        sizes = " ".join(f"WHEN size < {size} THEN {n}" for n, size in enumerate(_SIZES))
        sql = f"""
            {contents.sql}, counted AS (
                SELECT c.size, CASE WHEN c.size IS NULL THEN 0 ELSE COALESCE((
                    SELECT sum({where}) FROM {_COPY} k
                    WHERE k.version_id = c.id AND k.state IN ({_STATES})), 0) END AS places
                FROM content c
            )
            SELECT places, CASE {sizes} ELSE {len(_SIZES)} END AS class, count(*), sum(size)
            FROM counted GROUP BY places, class
        """  # noqa: S608
        return [
            Sum(
                tuple(pk for n, pk in enumerate(self._places) if int(places) >> n & 1),
                int(files),
                int(size or 0),
            )
            for places, _, files, size in _rows(sql, contents.given)
        ]


def _these(pks: Sequence[int]) -> Query:
    condition, given = among("f.id", pks)
    return Query(f"SELECT {_COLUMNS} FROM {_FILE} f WHERE {condition}", given)  # noqa: S608


def _rows(sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return list(cursor.fetchall())
