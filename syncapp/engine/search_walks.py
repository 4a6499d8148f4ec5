"""Walks along an index: from a place on, a few candidates at a time, each step bounded in time.

By name (migration 0004) the index is asked within one source only, however much others have. On
SQLite a step looks through a stretch of it, wider from step to step as long as that is quick. On
PostgreSQL the planner chooses; what takes it longer than MOST_MS is given up, and from then on the
walk reads the source's rows themselves, so many a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from syncapp.engine.search_words import likes, match
from syncapp.engine.time_limits import OutOfTime, queries_until
from syncapp.models import File, Place
from syncapp.types import Content

Spot = tuple[Any, int]  # a value of the leading index, and the row's key
MOST_MS = 100
_ROWS = 20_000  # that a step reads where it reads rows, about 30 ms
_STRETCH = 1 << 16  # ids of a first step of SQLite
_BRISK = 0.01  # seconds
_IDS = 40  # bits of an id in SQLite's index of names; above them folder or not, and the source


class Candidate(NamedTuple):
    """A file that may match, and where in its walk it stands."""

    value: Any
    row: int
    file_id: int


class Step(NamedTuple):
    """Candidates, maybe none, and the place to go on from; None: there is nothing behind them."""

    candidates: Sequence[Candidate]
    after: Spot | None


def newest(rows: QuerySet[File], after: Spot | None, limit: int) -> Step:
    """Of these files the newest first."""
    if after is not None:
        rows = rows.filter(pk__lt=after[1])
    return _step(list(rows.order_by("-pk").values_list("pk", flat=True)[:limit]), limit)


def step_of(found: Sequence[Candidate], limit: int) -> Step:
    """What was asked for with a limit: with fewer there is nothing behind them."""
    return Step(found, (found[-1].value, found[-1].row) if len(found) == limit else None)


def _step(pks: Sequence[int], limit: int) -> Step:
    return step_of([Candidate(0, pk, pk) for pk in pks], limit)


def steps(walk: Callable[[Spot | None, int], Step], limit: int) -> Iterator[Step]:
    """One after the other, to the end."""
    after: Spot | None = None
    while True:
        step = walk(after, limit)
        yield step
        after = step.after
        if after is None:
            return


def everything(source_id: int, after: Spot | None, limit: int) -> Step:
    """Of all files of a source the newest first."""
    if connection.vendor == "postgresql":
        return newest(File.objects.filter(source_id=source_id), after, limit)
    table = File._meta.db_table
    ends = _ends(table, after)
    if ends is None:
        return Step([], None)
    oldest, behind = ends
    least = max(behind - _ROWS, oldest)
    # “+”: no index of sources, whose rows would all have to be sorted.
    sql = (
        f"SELECT id FROM {table} WHERE +source_id = %s AND id >= %s AND id < %s"  # noqa: S608
        " ORDER BY id DESC LIMIT %s"
    )
    found = _rows(sql, [source_id, least, behind, limit])
    return _onward(_step([row[0] for row in found], limit), least, oldest)


def _ends(table: str, after: Spot | None) -> tuple[int, int] | None:
    """The least id of the table, and the one that all to come are less than; None: no rows."""
    ends = (f"(SELECT {end}(id) FROM {table})" for end in ("MIN", "MAX"))  # noqa: S608
    oldest, latest = _rows(f"SELECT {', '.join(ends)}", [])[0]
    if latest is None:
        return None
    return oldest, latest + 1 if after is None else min(after[1], latest + 1)


def _onward(step: Step, least: int, oldest: int) -> Step:
    """With the stretch below to go on with, if this one is through and not the last."""
    return step if step.after or least <= oldest else step._replace(after=(0, least))


class Named:
    """Rows of one source whose names may have all the words in them, the newest first.

    `folders`: only folders, or only what is none; of Places there are no folders.
    """

    def __init__(
        self, model: type[File | Place], source_id: int, words: Sequence[str], *, folders: bool
    ) -> None:
        self._model, self._source_id, self._folders = model, source_id, folders
        self._table = model._meta.db_table
        self._stretch, self._given_up = _STRETCH, False
        if connection.vendor == "postgresql":
            self._look, self._match, self._given = self._in_rows, *_of_postgresql(words)
            if model is File:
                self._match += f" AND content {'=' if folders else '<>'} '{Content.FOLDER.value}'"
        else:
            self._look, self._match, self._given = self._in_index, "", [match(words)]

    def __call__(self, after: Spot | None, limit: int) -> Step:
        """The next of them."""
        step = self._look(after, limit)
        if self._model is File or not step.candidates:
            return step
        rows = Place.objects.filter(pk__in=[candidate.row for candidate in step.candidates])
        files = dict(rows.values_list("pk", "file_id"))
        of_files = [c._replace(file_id=files[c.row]) for c in step.candidates if c.row in files]
        return step._replace(candidates=of_files)

    def _in_index(self, after: Spot | None, limit: int) -> Step:
        """SQLite: a stretch of the index, from its upper end down."""
        ends = _ends(self._table, after)
        if ends is None:
            return Step([], None)
        oldest, behind = ends
        least = max(behind - self._stretch, oldest)
        base = (self._source_id << 1 | self._folders) << _IDS
        index, began = f"{self._table}_names", monotonic()
        sql = (
            f"SELECT rowid FROM {index} WHERE {index} MATCH %s AND rowid >= %s AND rowid < %s"  # noqa: S608
            " ORDER BY rowid DESC LIMIT %s"
        )
        found = _rows(sql, [*self._given, base + least, base + max(behind, least), limit])
        if monotonic() - began < _BRISK:
            self._stretch *= 4
        step = _step([row[0] - base for row in found], limit)
        return _onward(step, least, oldest)

    def _in_rows(self, after: Spot | None, limit: int) -> Step:
        """PostgreSQL: as its planner likes, and if that takes long, a number of rows."""
        own, given = "source_id = %s::bigint", [self._source_id]
        if after is not None:
            own, given = f"{own} AND id < %s", [*given, after[1]]
        order = "ORDER BY id DESC"
        if not self._given_up:
            sql = f"SELECT id FROM {self._table} WHERE {own} AND {self._match} {order} LIMIT %s"  # noqa: S608
            found = _timed(sql, [*given, *self._given, limit])
            if found is not None:
                return _step([row[0] for row in found], limit)
            self._given_up = True
        some = f"SELECT * FROM {self._table} WHERE {own} {order} LIMIT {_ROWS}"  # noqa: S608
        sql = f"SELECT id FROM ({some}) latest WHERE {self._match} {order} LIMIT %s"  # noqa: S608
        step = _step([row[0] for row in _rows(sql, [*given, *self._given, limit])], limit)
        if step.after is None:
            sql = f"SELECT id FROM {self._table} WHERE {own} {order} LIMIT 1 OFFSET {_ROWS - 1}"  # noqa: S608
            last = _rows(sql, given)
            return step._replace(after=(0, last[0][0]) if last else None)
        return step


def _of_postgresql(words: Sequence[str]) -> tuple[str, list[str]]:
    conditions, given = [], []
    for word in words:
        ways = likes(word)
        conditions.append(" OR ".join(["normalize(name, NFC) ILIKE %s"] * len(ways)))
        given += ways
    return " AND ".join(f"({condition})" for condition in conditions), given


def _rows(sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _timed(sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]] | None:
    """The rows; None if they could not be had in time."""
    try:
        with queries_until(monotonic() + MOST_MS / 1000):
            return _rows(sql, given)
    except OutOfTime:
        return None
