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
from time import monotonic
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from syncapp.engine.search_walks import (
    Candidate,
    Named,
    Spot,
    Step,
    everything,
    newest,
    step_of,
    steps,
)
from syncapp.engine.search_words import long_words
from syncapp.engine.sets import chunks
from syncapp.models import File, Place, Version
from syncapp.models.catalog import GONE
from syncapp.types import Content

MOST_FOLDERS = 2000  # below what a path names; with more, all files are held against the path
FEW = 2000  # files gone, up to which they lead whatever else is wanted
_FOLDERS_A_LEG = 50
_FOLDERS_SECONDS = 0.05  # to find those that a path names
_NAMED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Leg:
    """`key`: legs are walked by rising key. `walk(after, limit)`: the step behind a place.

    `field`: of a leg along versions, what it is ordered by. `former`: along former names.
    """

    key: str
    walk: Callable[[Spot | None, int], Step]
    field: str = ""
    former: bool = False


def by_name(sources: Sequence[int], text: str, *, only_folders: bool) -> Iterator[Leg]:
    """Folders, then files, whose names have all words of three characters and more in them, the
    newest first; then those that had such a name."""
    words = long_words(text)
    for pk in sorted(sources):
        yield Leg(f"0/{_key(pk)}/0", Named(File, pk, words, folders=True))
        if not only_folders:
            yield Leg(f"0/{_key(pk)}/1", Named(File, pk, words, folders=False))
    for pk in sorted(sources):
        yield Leg(f"1/{_key(pk)}", Named(Place, pk, words, folders=False), former=True)


def found_by_name(
    model: type[File | Place], sources: Sequence[int], text: str, most: int, seconds: float
) -> tuple[list[int], bool]:
    """Keys of rows whose names have the words in them, and whether those are all there are.

    Words of less than three characters are not looked for; without others nothing is found.
    """
    found: list[int] = []
    words, ends = long_words(text), monotonic() + seconds
    if not words:
        return [], False
    ways = (True, False) if model is File else (False,)
    for walk in (Named(model, pk, words, folders=way) for pk in sorted(sources) for way in ways):
        for step in steps(walk, _NAMED_AT_ONCE):
            found += [candidate.row for candidate in step.candidates]
            if len(found) >= most or monotonic() > ends:
                return found[:most], False
    return found, True


def by_version(sources: Sequence[int], field: str, least: Any, most: Any) -> list[Leg]:
    """Files by their versions, the greatest or latest first; a file comes with each of them."""

    def walk(source_id: int, after: Spot | None, limit: int) -> Step:
        rows = Version.objects.filter(source_id=source_id, **{f"{field}__isnull": False})
        if least is not None:
            rows = rows.filter(**{f"{field}__gte": least})
        if most is not None:
            rows = rows.filter(**{f"{field}__lte": most})
        if after is not None:
            value, pk = after
            rows = rows.filter(Q(**{f"{field}__lt": value}) | Q(**{field: value, "pk__lt": pk}))
            rows = rows.filter(**{f"{field}__lte": value})  # said again: this is what indexes see
        ordered = rows.order_by(f"-{field}", "-pk").values_list(field, "pk", "file_id")
        found = [Candidate(*row) for row in ordered[:limit]]
        return step_of(found, limit)

    return [Leg(_key(pk), partial(walk, pk), field=field) for pk in sorted(sources)]


def by_type(sources: Sequence[int], fits: Callable[[str], bool]) -> list[Leg]:
    """Files of the types that fit, type by type, the newest first."""
    return [
        Leg(f"{_key(pk)}/{mime_type}", partial(newest, _of_source(pk).filter(mime_type=mime_type)))
        for pk in sorted(sources)
        for mime_type in sorted(_types(pk))
        if fits(mime_type)
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


def few_are_gone(sources: Sequence[int]) -> bool:
    """Whether so few files are gone that all of them can be looked at."""
    some = (_of_source(pk).filter(GONE).order_by()[: FEW + 1].count() for pk in sources)
    return sum(some) <= FEW


def gone(sources: Sequence[int]) -> list[Leg]:
    """Files that are gone at the source, the newest first."""
    return [Leg(_key(pk), partial(newest, _of_source(pk).filter(GONE))) for pk in sorted(sources)]


def everywhere(sources: Sequence[int]) -> list[Leg]:
    """All files, the newest first."""
    return [Leg(_key(pk), partial(everything, pk)) for pk in sorted(sources)]


def below(sources: Sequence[int], path: str) -> Iterator[Leg]:
    """What may have this path: what lies below folders of its last name, or, if those are too many
    to be walked one by one, everything."""
    for source_id in sorted(sources):
        rows = _of_source(source_id)
        folders = _folders(source_id, path)
        if folders is None:
            yield Leg(f"{_key(source_id)}/all", partial(everything, source_id))
            continue
        for number, some in enumerate(chunks(folders, _FOLDERS_A_LEG)):
            inside = rows.filter(parent_id__in=some)
            yield Leg(f"{_key(source_id)}/{number:05}", partial(newest, inside))


def _folders(source_id: int, path: str) -> list[str] | None:
    """Remote ids of the folders with the last of the path's names in theirs, then those below;
    None if they are more than MOST_FOLDERS."""
    words = long_words(path.rpartition("/")[2])
    walk = Named(File, source_id, words, folders=True)
    named: list[int] = []
    ends = monotonic() + _FOLDERS_SECONDS
    for step in steps(walk, _NAMED_AT_ONCE):
        named += [candidate.file_id for candidate in step.candidates]
        if step.after is not None and (len(named) > MOST_FOLDERS or monotonic() > ends):
            return None
    folders = _of_source(source_id).filter(content=Content.FOLDER).order_by()
    level = folders.filter(pk__in=named)
    known: dict[str, None] = {}  # in the order in which they were found
    while ids := sorted(
        {*level.values_list("remote_id", flat=True)[: MOST_FOLDERS + 1]} - {*known}
    ):
        known |= dict.fromkeys(ids)
        if len(known) > MOST_FOLDERS:
            return None
        level = folders.filter(parent_id__in=ids)
    return list(known)


def _of_source(source_id: int) -> QuerySet[File]:
    return File.objects.filter(source_id=source_id)


def _key(source_id: int) -> str:
    return f"{source_id:020}"
