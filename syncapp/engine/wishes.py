"""What is to be moved: where each copy of a renamed file lies, and where it should.

Per file and destination the newest stored copy lies under the file's path; what an older version
left elsewhere in the tree goes to the kept versions, or out of sight where the store itself keeps
them. Of a file that is gone at the source the newest copy goes to the trash, and stays there until
the file comes back. Only asks, changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import QuerySet

from syncapp.engine import keys
from syncapp.engine.folders import Folders
from syncapp.engine.move_order import Holder, Wish
from syncapp.engine.occupied import STORED, copies_of, holders, in_the_way
from syncapp.engine.sets import by_pk
from syncapp.models import Copy, File, Source

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_UNMADE = [Copy.State.PENDING, Copy.State.FAILED]  # not what is damaged, or being removed
MOST_PULLED = 2000  # files in a batch after those that hold others' keys were taken along


class Row(NamedTuple):
    """A copy and what its version is; in the order of the columns asked for."""

    pk: int
    destination_id: int
    state: str
    object_key: str
    old_key: str
    old_store_version: str
    store_version: str
    stored_at: datetime | None
    file_id: int
    version_id: int
    current: bool
    size: int | None
    md5: str
    revision: str
    modified_at: datetime | None


class _Moved(NamedTuple):
    """A file whose copies are to follow it; fields are columns."""

    pk: int
    remote_id: str
    parent_id: str
    key_name: str
    trashed_at: datetime | None
    vanished_at: datetime | None

    @property
    def gone_at(self) -> datetime | None:
        return self.trashed_at or self.vanished_at


_COLUMNS = [
    "pk", "destination_id", "state", "object_key", "old_key", "old_store_version",
    "store_version", "stored_at",
    "version__file_id", "version_id", "version__current", "version__size", "version__md5",
    "version__revision", "version__modified_at",
]  # fmt: skip


@dataclass
class Batch:
    """Renamed files and what is to be done for them, by destination."""

    files: list[int]
    last: int  # where the next batch begins
    rows: dict[int, Row] = field(default_factory=dict)  # copies, by their key
    wishes: dict[int, list[Wish]] = field(default_factory=dict)
    stale: dict[int, list[Row]] = field(default_factory=dict)  # shown under a name that is gone
    leftovers: dict[int, list[Row]] = field(default_factory=dict)  # never stored, perhaps sent
    unready: set[int] = field(default_factory=set)  # copies that an earlier move has still to leave
    held: dict[int, dict[str, Holder]] = field(default_factory=dict)


def due(source_id: int) -> QuerySet[File]:
    """Files whose copies are to be moved, in the index's order."""
    return File.objects.filter(source_id=source_id, move_due=True).exclude(key_name="")


def unfinished(source_id: int, destinations: Collection[int]) -> QuerySet[Copy]:
    """Copies that were moved, or were to be, and whose second key is still to be freed."""
    # Said twice: as the partial index has it, and as a range of that index.
    begun = Copy.objects.filter(destination_id__in=destinations, old_key__gt="").exclude(old_key="")
    return begun.filter(version__source_id=source_id, state__in=STORED)


def second_keys(source_id: int, destination_id: int) -> Iterator[tuple[list[Row], set[int]]]:
    """The copies of `unfinished` at one destination, in batches; and those of them whose second
    key is another copy's by now."""
    for found in by_pk(unfinished(source_id, [destination_id]), size=500):
        asked = Copy.objects.filter(pk__in=[pk for (pk,) in found])
        rows = [Row(*values) for values in asked.values_list(*_COLUMNS)]
        yield rows, lain_by_others(rows, second=True)


def lain_by_others(rows: Sequence[Row], *, second: bool = False) -> set[int]:
    """Copies under whose key (or second key) the stored copy of somebody else lies."""
    keys_of = {row.pk: row.old_key if second else row.object_key for row in rows}
    lying: dict[tuple[int, str], list[Copy]] = {}
    others = Copy.objects.filter(
        destination_id__in={row.destination_id for row in rows},
        object_key__in=set(keys_of.values()),
        state__in=STORED,
    ).select_related("version")
    for other in others:
        lying.setdefault((other.destination_id, other.object_key), []).append(other)
    return {
        row.pk
        for row in rows
        for other in lying.get((row.destination_id, keys_of[row.pk]), [])
        if other.pk != row.pk
        # Of a key that was only meant to be gone to, nobody knows whose object lies there.
        and (in_the_way(other, row.file_id) or (second and not row.old_store_version))
    }


def with_copies_at(files: Sequence[int], destinations: Collection[int]) -> set[int]:
    """Those of the files that have a stored copy in one of the destinations."""
    if not destinations:
        return set()
    stored = copies_of(files).filter(state__in=STORED)
    found = stored.values_list("version__file_id", "destination_id")
    return {file_id for file_id, destination_id in found if destination_id in destinations}


def load(
    source: Source, folders: Folders, versioned: dict[int, bool], after: int, limit: int
) -> Batch | None:
    """The next batch of files above `after`, None when there is none.

    `versioned` has the destinations at work, and whether each keeps versions. Files that hold the
    keys of others and are to be moved themselves are taken along.
    """
    first = list(
        due(source.pk).filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:limit]
    )
    if not first:
        return None
    batch, more = Batch(list(first), first[-1]), first
    while more:
        _add(batch, source.slug, more, versioned, folders)
        more = _hold(batch, versioned, source.pk)
        batch.files += more
    return batch


def _add(
    batch: Batch, slug: str, ids: Sequence[int], versioned: dict[int, bool], folders: Folders
) -> None:
    files = [_Moved(*row) for row in File.objects.filter(pk__in=ids).values_list(*_Moved._fields)]
    folders.load({file.parent_id for file in files})
    copies: dict[tuple[int, int], list[Row]] = {}
    for values in copies_of(ids).values_list(*_COLUMNS):
        row = Row(*values)
        if row.destination_id in versioned:
            batch.rows[row.pk] = row
            copies.setdefault((row.file_id, row.destination_id), []).append(row)
    for file in files:
        above = folders.components(file.parent_id)
        key = keys.newest_key(slug, file.gone_at, above, file.key_name, file.remote_id)
        for destination_id, keeps in versioned.items():
            rows = copies.get((file.pk, destination_id), [])
            _want(batch, rows, key, file, keeps=keeps)


def _want(batch: Batch, rows: list[Row], key: str, file: _Moved, *, keeps: bool) -> None:
    """What one file's copies at one destination need."""
    if not rows:
        return
    destination_id = rows[0].destination_id
    for row in rows:
        if row.state in _UNMADE and row.current and row.object_key not in ("", key):
            batch.leftovers.setdefault(destination_id, []).append(row)
    shown = [row for row in rows if row.state in STORED and _is_shown(row.object_key)]
    shown.sort(key=lambda row: (row.current, row.stored_at or _LONG_AGO, row.pk), reverse=True)
    if not shown:
        return
    newest, older = shown[0], [row for row in shown[1:] if row.object_key != shown[0].object_key]
    if file.gone_at is None or not keys.is_in(keys.TRASH, newest.object_key):
        _wish(batch, newest, key, keys.apart(key, file.remote_id))
    for row in older if not keeps else [row for row in older if not row.store_version]:
        kept = keys.previous_key(key, row.revision, row.modified_at)
        _wish(batch, row, kept, keys.apart(kept, file.remote_id))
    if keeps and (hidden := [row for row in older if row.store_version]):
        # Only the newest of them can still be what the store shows under its key.
        batch.stale.setdefault(destination_id, []).append(hidden[0])


def _is_shown(key: str) -> bool:
    """Whether the key lies in the tree that mirrors the source, or in the trash."""
    return keys.is_in(keys.FILES, key) or keys.is_in(keys.TRASH, key)


def _wish(batch: Batch, row: Row, there: str, aside: str) -> None:
    if row.old_key:
        batch.unready.add(row.pk)
    elif row.object_key != there:
        wish = Wish(row.pk, row.object_key, there, aside)
        batch.wishes.setdefault(row.destination_id, []).append(wish)


def _hold(batch: Batch, destinations: Iterable[int], source_id: int) -> list[int]:
    """Note who holds the wanted keys; files that do and are to be moved too, to be taken along."""
    wanted = {key for some in batch.wishes.values() for w in some for key in (w.there, w.aside)}
    there = holders(wanted, list(destinations))
    owners = {
        wish.copy_id: batch.rows[wish.copy_id].file_id
        for some in batch.wishes.values()
        for wish in some
    }
    batch.held = {destination_id: {} for destination_id in destinations}
    leaving = set(
        due(source_id)
        .filter(pk__in={row.version.file_id for row in there.values()})
        .values_list("pk", flat=True)
    )
    for destination_id, some in batch.wishes.items():
        for wish in some:
            for key in (wish.there, wish.aside):
                row = there.get((destination_id, key))
                if (
                    row is not None
                    and row.pk != wish.copy_id
                    and in_the_way(row, owners[wish.copy_id])
                ):
                    leaves = row.version.file_id in leaving
                    batch.held[destination_id][key] = Holder(row.pk, leaves)
    more = sorted(leaving - set(batch.files))
    return more if len(batch.files) + len(more) <= MOST_PULLED else []
