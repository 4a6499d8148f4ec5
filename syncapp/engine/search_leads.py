"""Where a search gets its candidates: one index at a time, from a place on, a few at a time.

A *leg* is one ordered walk along an index; a lead is a list of them, walked one after the other.
Each wish has one lead that fits it best: words the index of names (then that of former names), a
path the folders below what matches, sizes and dates that of versions, a type that of types, what is
gone the partial one of it, and the newest files whatever is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import Model, Q, QuerySet

from syncapp.engine.search_words import like, long_words, match
from syncapp.engine.sets import chunks
from syncapp.models import File, Place, Version
from syncapp.models.catalog import GONE
from syncapp.types import Content

Spot = tuple[Any, int]  # a value of the leading index, and the row's key
MOST_FOLDERS = 2000  # below what a path names
_FOLDERS_A_LEG = 50
_NAMES = {File: "syncapp_file_names", Place: "syncapp_place_names"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may match, and where in its leg it stands."""

    value: Any
    row: int
    file_id: int


@dataclass(frozen=True, slots=True)
class Leg:
    """`key`: legs are walked by rising key. `walk(after, limit)`: the candidates behind a place.

    `field`: of a leg along versions, what it is ordered by. `former`: along former names.
    """

    key: str
    walk: Callable[[Spot | None, int], Sequence[Candidate]]
    field: str = ""
    former: bool = False


def by_name(text: str) -> list[Leg]:
    """Files by rising age whose names have all words of three characters and more in them."""
    words = long_words(text)
    return [
        Leg("0", partial(_named, File, words)),
        Leg("1", partial(_named, Place, words), former=True),
    ]


def _named(
    model: type[Model], words: Sequence[str], after: Spot | None, limit: int
) -> list[Candidate]:
    table, index = model._meta.db_table, _NAMES[model]
    file_id = "id" if model is File else "file_id"
    given: list[Any]
    if connection.vendor == "postgresql":
        condition = " AND ".join(["name ILIKE %s"] * len(words))
        given = [like(word) for word in words]
        rows, key = f"{table}", "id"
    else:
        condition, given = f"{index} MATCH %s", [match(words)]
        rows, key = index, "rowid"
    if after is not None:
        condition, given = f"{condition} AND {key} < %s", [*given, after[1]]
    sql = f"SELECT {key} AS id FROM {rows} WHERE {condition} ORDER BY {key} DESC LIMIT %s"  # noqa: S608
    if model is Place:
        sql = f"SELECT id, {file_id} FROM {table} WHERE id IN ({sql}) ORDER BY id DESC"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [*given, limit])
        return [Candidate(0, row[0], row[-1]) for row in cursor.fetchall()]


def by_version(sources: Sequence[int], field: str, least: Any, most: Any) -> list[Leg]:
    """Files by their versions, the greatest or latest first; a file comes with each of them."""

    def walk(source_id: int, after: Spot | None, limit: int) -> list[Candidate]:
        rows = Version.objects.filter(source_id=source_id, **{f"{field}__isnull": False})
        if least is not None:
            rows = rows.filter(**{f"{field}__gte": least})
        if most is not None:
            rows = rows.filter(**{f"{field}__lte": most})
        if after is not None:
            value, pk = after
            rows = rows.filter(Q(**{f"{field}__lt": value}) | Q(**{field: value, "pk__lt": pk}))
            rows = rows.filter(**{f"{field}__lte": value})  # said again: this is what indexes see
        found = rows.order_by(f"-{field}", "-pk").values_list(field, "pk", "file_id")
        return [Candidate(*row) for row in found[:limit]]

    return [Leg(_key(pk), partial(walk, pk), field=field) for pk in sorted(sources)]


def by_type(sources: Sequence[int], starts: tuple[str, ...]) -> list[Leg]:
    """Files of these types, type by type, the newest first."""
    return [
        Leg(f"{_key(pk)}/{mime_type}", partial(_newest, _of_source(pk).filter(mime_type=mime_type)))
        for pk in sorted(sources)
        for mime_type in sorted(_types(pk))
        if mime_type.startswith(starts)
    ]


# One step along the index for each type that there is.
_TYPES = """
WITH RECURSIVE types(mime_type) AS (
    SELECT MIN(mime_type) FROM syncapp_file WHERE source_id = %s
    UNION ALL
    SELECT (SELECT MIN(f.mime_type) FROM syncapp_file f
            WHERE f.source_id = %s AND f.mime_type > types.mime_type)
    FROM types WHERE types.mime_type IS NOT NULL
)
SELECT mime_type FROM types WHERE mime_type IS NOT NULL
"""


def _types(source_id: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_TYPES, [source_id, source_id])
        return [row[0] for row in cursor.fetchall()]


def gone(sources: Sequence[int]) -> list[Leg]:
    """Files that are gone at the source, the newest first."""
    return [Leg(_key(pk), partial(_newest, _of_source(pk).filter(GONE))) for pk in sorted(sources)]


def newest(sources: Sequence[int]) -> list[Leg]:
    """All files, the newest first."""
    rows = File.objects.filter(source_id__in=sources)
    return [Leg("0", partial(_newest, rows))]


def below(sources: Sequence[int], path: str) -> Iterator[Leg]:
    """What has this path, and what lies below; no more than MOST_FOLDERS folders of it."""
    seen = 0
    for source_id in sorted(sources):
        for number, some in enumerate(chunks(_folders(source_id, path), _FOLDERS_A_LEG)):
            seen += len(some)
            rows = _of_source(source_id).filter(parent_id__in=some)
            yield Leg(f"{_key(source_id)}/{number:05}", partial(_newest, rows))
            if seen >= MOST_FOLDERS:
                return


def _folders(source_id: int, path: str) -> Iterator[str]:
    """Remote ids of the folders with the last of the path's names in theirs, then those below."""
    named = _named(File, long_words(path.rpartition("/")[2]), None, MOST_FOLDERS)
    folders = _of_source(source_id).filter(content=Content.FOLDER)
    level = folders.filter(pk__in=[candidate.file_id for candidate in named])
    known: set[str] = set()
    while ids := sorted({*level.values_list("remote_id", flat=True)[:MOST_FOLDERS]} - known):
        yield from ids
        known.update(ids)
        level = folders.filter(parent_id__in=ids)


def _of_source(source_id: int) -> QuerySet[File]:
    return File.objects.filter(source_id=source_id)


def _newest(rows: QuerySet[File], after: Spot | None, limit: int) -> list[Candidate]:
    if after is not None:
        rows = rows.filter(pk__lt=after[1])
    return [
        Candidate(0, pk, pk) for pk in rows.order_by("-pk").values_list("pk", flat=True)[:limit]
    ]


def _key(source_id: int) -> str:
    return f"{source_id:020}"
