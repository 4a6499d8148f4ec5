"""A file's component in object keys: assigned when its name or folder is new, then kept.

Siblings are known in the catalog, in sets, so this is where they are held apart; `keys` has the
rules.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from syncapp.engine import keys
from syncapp.engine.sets import chunks
from syncapp.models import File
from syncapp.types import Content, RemoteFile


class Known(NamedTuple):
    """What the catalog has of a file that is looked at more closely. Fields are columns."""

    pk: int
    remote_id: str
    fingerprint: str
    parent_id: str
    name: str
    extension: str
    content: str
    key_name: str
    placed_at: datetime
    trashed_at: datetime | None
    vanished_at: datetime | None

    @property
    def place(self) -> tuple[str, str]:
        """What its own part of the path depends on."""
        return self.parent_id, self.key_name


def components(
    source_id: int, files: Sequence[RemoteFile], known: Mapping[str, Known]
) -> dict[str, str]:
    """Each file's key component: kept if its name and folder are the same, otherwise made."""
    kept: dict[str, str] = {}
    fresh: list[RemoteFile] = []
    for file in files:
        row = known.get(file.remote_id)
        same = row is not None and (row.parent_id, row.name, row.extension) == (
            file.parent_id, file.name, file.extension,
        )  # fmt: skip
        if row is not None and row.key_name and same:
            kept[file.remote_id] = row.key_name
        else:
            fresh.append(file)
    return kept | _made(source_id, fresh)


def leaving(
    files: Iterable[RemoteFile], known: Mapping[str, Known], names: Mapping[str, str]
) -> list[Known]:
    """Those of the known that get another name or folder."""
    return [
        row
        for file in files
        if (row := known.get(file.remote_id))
        and row.place != (file.parent_id, names[file.remote_id])
    ]


def free(rows: Iterable[Known]) -> None:
    """Let others in the same page have the names of these, in whatever order they are written."""
    for batch in chunks([row.pk for row in rows], 500):
        File.objects.filter(pk__in=batch).update(key_fold="")


def _made(source_id: int, fresh: Sequence[RemoteFile]) -> dict[str, str]:
    ordered = sorted(fresh, key=lambda f: (f.content is not Content.FOLDER, f.remote_id))
    plain = [keys.component(f.name, f.extension, f.remote_id, ()) for f in ordered]
    taken = _taken(source_id, ordered, plain)
    made: dict[str, str] = {}
    for file, name in zip(ordered, plain, strict=True):
        siblings = taken.setdefault(file.parent_id, set())
        fold = keys.fold(name)
        if fold in siblings:
            name = keys.component(file.name, file.extension, file.remote_id, siblings)
            fold = keys.fold(name)
        siblings.add(fold)
        made[file.remote_id] = name
    return made


def _taken(
    source_id: int, fresh: Sequence[RemoteFile], plain: Sequence[str]
) -> dict[str, set[str]]:
    """Folds already used in the folders of these files, as far as they could be in the way."""
    leaving = {file.remote_id for file in fresh}
    wanted = [(f.parent_id, keys.fold(name)) for f, name in zip(fresh, plain, strict=True)]
    times = Counter(wanted)
    taken: dict[str, set[str]] = {}
    _look(source_id, times, leaving, taken)
    # Those that need a mark: it may be taken too, by a file that bears it as its name.
    marked = []
    for file, (parent_id, fold) in zip(fresh, wanted, strict=True):
        if times[parent_id, fold] > 1 or fold in taken.get(parent_id, ()):
            name = keys.component(file.name, file.extension, file.remote_id, {fold})
            marked.append((parent_id, keys.fold(name)))
    _look(source_id, marked, leaving, taken)
    return taken


def _look(
    source_id: int,
    pairs: Iterable[tuple[str, str]],
    leaving: Container[str],
    taken: dict[str, set[str]],
) -> None:
    """Which of these (folder, fold) pairs the catalog has, but for files that leave theirs."""
    listed = list(pairs)
    if not listed:
        return
    given: list[Any]
    if connection.vendor == "postgresql":
        pair = "unnest(%s::text[], %s::text[]) AS pair(parent_id, key_fold)"
        given = [list(column) for column in zip(*listed, strict=True)]
    else:
        pair = (
            "(SELECT json_extract(value, '$[0]') AS parent_id, json_extract(value, '$[1]')"
            " AS key_fold FROM json_each(%s)) AS pair"
        )
        given = [json.dumps(listed)]
    table = File._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT f.remote_id, f.parent_id, f.key_fold FROM {pair} CROSS JOIN {table} AS f"  # noqa: S608
            " WHERE f.source_id = %s AND f.parent_id = pair.parent_id"
            " AND f.key_fold = pair.key_fold AND NOT (f.key_fold = '')",
            [*given, source_id],
        )
        for remote_id, parent_id, key_fold in cursor.fetchall():
            if remote_id not in leaving:
                taken.setdefault(parent_id, set()).add(key_fold)
