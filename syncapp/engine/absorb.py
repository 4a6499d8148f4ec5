"""One page of a listing or change log into the catalog: in sets, in one transaction.

What bears the mark that the catalog has is only noted as seen; everything else is translated and
compared by its fingerprint, and only what differs is written, with its Versions and the Copies
that are wanted of them. Idempotent: the same page twice writes nothing the second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from syncapp.engine import erased, keys, moved, naming, places, versions
from syncapp.engine.naming import Known
from syncapp.engine.seen import Seen
from syncapp.engine.sets import among, update_many, upsert_many
from syncapp.models import File, Source
from syncapp.types import Content, ItemPage, RemoteFile

MOST_DIFFERING = 10_000
IN_TRASH = "in_trash"
_IN_TRASH_MESSAGE = "In Google's trash; it is backed up once it is taken out."
_UPDATED = [
    "parent_id", "name", "mime_type", "content", "owner_email", "drive_id", "extension",
    "key_name", "key_fold", "fingerprint", "mark", "problem", "problem_message", "extra",
    "metadata", "remote_created_at", "remote_modified_at", "placed_at", "trashed_at",
    "vanished_at",
]  # fmt: skip
_COLUMNS = ["source_id", "remote_id", "move_due", "first_seen_at", *_UPDATED]


@dataclass
class Counts:
    """What was found, folders aside; `vanished`: gone, also into the trash."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    vanished: int = 0


class Absorber:
    """Writes the pages of one run. `destinations` get Copies planned as Versions are made.

    `fence` is called in each transaction: it raises if another has taken this one's place, and
    else keeps others out until the commit. `differing`, if it is set, collects ids of what is
    new, gone, or has another content, name or place than the catalog had: what a change log tells
    of; at most MOST_DIFFERING.
    """

    def __init__(
        self,
        source: Source,
        destinations: Sequence[int] = (),
        counts: Counts | None = None,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        self.source, self.destinations = source, destinations
        self.counts, self.seen, self._fence = counts or Counts(), Seen(), fence
        self.differing: set[str] | None = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction, behind the fence."""
        with transaction.atomic():
            self._fence()
            yield

    def differs(self, remote_ids: Iterable[str]) -> None:
        """These are not as the catalog had them."""
        if self.differing is not None and len(self.differing) < MOST_DIFFERING:
            self.differing.update(remote_ids)

    def absorb(self, page: ItemPage, then: Callable[[], None] | None = None) -> None:
        """Write one page. `then` is called in the same transaction, if there is one."""
        place = {remote_id: i for i, remote_id in enumerate(page.ids)}  # the last one counts
        known: list[str] = []
        unchanged, folders = self._same(page, place)
        if len(unchanged) == len(place):
            place = {}
        else:
            unchanged, known, folders = self._sorted_out(page, place)
        self.seen.add(unchanged)
        self.counts.seen += len(unchanged) - folders
        if not place and then is None:
            return
        marks = {remote_id: page.marks[i] for remote_id, i in place.items()}
        files = [page.file(i) for i in place.values()]
        with self.writing():
            if files:
                self._compare(files, marks, known)
            if then is not None:
                then()

    def _same(self, page: ItemPage, place: Mapping[str, int]) -> tuple[list[int], int]:
        """Keys of what bears its mark and has not vanished, and how many of them are folders."""
        if not page.trusted or connection.vendor != "sqlite":
            return [], 0
        return _bearing(self.source.pk, {i: page.marks[n] for i, n in place.items()})

    def _sorted_out(
        self, page: ItemPage, place: dict[str, int]
    ) -> tuple[list[int], list[str], int]:
        """The same, and of the others the ids that are known; `place` keeps the others."""
        unchanged, known, folders = [], [], 0
        for remote_id, pk, mark, alive, content in _marks(self.source.pk, place):
            if page.trusted and alive and mark == page.marks[place[remote_id]]:
                del place[remote_id]
                unchanged.append(pk)
                folders += content == Content.FOLDER
            else:
                known.append(remote_id)
        return unchanged, known, folders

    def _compare(
        self, files: Sequence[RemoteFile], marks: dict[str, int], there: Collection[str]
    ) -> None:
        """Write what differs from the catalog; of the rest, only the new mark."""
        files = erased.redact(self.source.pk, files)
        prints = {file.remote_id: fingerprint(file) for file in files}
        known = _known(self.source.pk, there)
        same, stale = [], []
        for file in files:
            row = known.get(file.remote_id)
            equal = row is not None and row.fingerprint == prints[file.remote_id]
            if row is not None and equal and row.vanished_at is None:
                same.append((marks[file.remote_id], row.pk))
            else:
                stale.append(file)
        update_many(File, ["mark"], ["id"], same)
        self.seen.add(pk for _, pk in same)
        if stale:
            known = {f.remote_id: known[f.remote_id] for f in stale if f.remote_id in known}
            self._write(stale, known, prints, marks)
        self._count(files, stale, known)

    def _write(
        self,
        stale: Sequence[RemoteFile],
        known: dict[str, Known],
        prints: dict[str, str],
        marks: dict[str, int],
    ) -> None:
        names = naming.components(self.source.pk, stale, known)
        leaving = naming.leaving(stale, known, names)
        naming.free(leaving)
        rows, now = [], timezone.now()
        places.leave(self.source.pk, stale, known, now)
        for file in stale:
            i = file.remote_id
            row = _row(file, names[i], prints[i], marks[i], known.get(i), now=now)
            rows.append((self.source.pk, *row))
        unique = ["source_id", "remote_id"]
        upsert_many(File, _COLUMNS, rows, unique=unique, update=_UPDATED)
        pks = {row.remote_id: row.pk for row in known.values()}
        pks |= _pks(self.source.pk, [f.remote_id for f in stale if f.remote_id not in pks])
        self.seen.add(pks.values())
        moved.note(self.source.pk, leaving)
        moved.note_files(_came_or_went(stale, known))
        fresh = versions.write(self.source.pk, stale, pks, set(known), self.destinations)
        self.differs(
            file.remote_id
            for file in stale
            if file.remote_id in fresh or _elsewhere(known.get(file.remote_id), file)
        )

    def _count(
        self, files: Iterable[RemoteFile], stale: Iterable[RemoteFile], known: Mapping[str, Known]
    ) -> None:
        counts = self.counts
        counts.seen += sum(file.content is not Content.FOLDER for file in files)
        for file in stale:
            if file.content is not Content.FOLDER:
                row = known.get(file.remote_id)
                goes = row is not None and file.trashed and not (row.trashed_at or row.vanished_at)
                counts.new += row is None
                counts.vanished += goes
                counts.changed += row is not None and not goes


def absorb_one(source: Source, file: RemoteFile, destinations: Sequence[int]) -> None:
    """Write one file that was looked up by itself, with Copies for all of these destinations."""
    Absorber(source, destinations).absorb(ItemPage.of(file.drive_id, [file]))


def fingerprint(file: RemoteFile) -> str:
    """A hash of everything that is kept of a file."""
    kept = [
        file.parent_id, file.name, file.mime_type, file.content, file.revision, file.size,
        file.md5, file.sha256, file.created_at, file.modified_at, file.trashed,
        file.owner, file.drive_id, file.extension, file.problem, file.extra, file.metadata,
    ]  # fmt: skip
    data = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _came_or_went(files: Iterable[RemoteFile], known: Mapping[str, Known]) -> list[int]:
    """Files that go to the trash or come back from it, or had vanished: what is stored follows."""
    return [
        row.pk
        for file in files
        if (row := known.get(file.remote_id))
        and file.content is not Content.FOLDER
        and file.trashed != (row.trashed_at is not None or row.vanished_at is not None)
    ]


def _elsewhere(row: Known | None, file: RemoteFile) -> bool:
    """Whether a person would say that it came, was moved, renamed, trashed or restored."""
    if row is None:
        return True
    before = (row.parent_id, row.name, row.trashed_at is not None, row.vanished_at is not None)
    return before != (file.parent_id, file.name, file.trashed, False)


def _row(
    file: RemoteFile, name: str, fingerprint: str, mark: int, known: Known | None, *, now: datetime
) -> tuple[Any, ...]:
    """Values of `_COLUMNS`, but for the source."""
    trashed_at = ((known and known.trashed_at) or now) if file.trashed else None
    return (
        file.remote_id, False, now, file.parent_id, file.name, file.mime_type[:255],
        file.content.value, file.owner[:320], file.drive_id, file.extension, name,
        keys.fold(name), fingerprint, mark, file.problem or (IN_TRASH if file.trashed else ""),
        file.problem_message or (_IN_TRASH_MESSAGE if file.trashed else ""),
        file.extra, file.metadata, file.created_at, file.modified_at,
        places.since(file, known, now), trashed_at, None,
    )  # fmt: skip


def _bearing(source_id: int, marks: Mapping[str, int]) -> tuple[list[int], int]:
    """Keys of the files that bear these marks and have not vanished; how many are folders.

    SQLite: one row, from one index. With a thread that reads the next page, each row that SQLite
    gives is a wait for the interpreter's lock.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT group_concat(f.id), COUNT(CASE WHEN f.content = %s THEN 1 END)"  # noqa: S608
            f" FROM json_each(%s) j CROSS JOIN {File._meta.db_table} f WHERE f.source_id = %s"
            " AND f.remote_id = j.key AND f.mark = j.value AND f.vanished_at IS NULL",
            [Content.FOLDER.value, orjson.dumps(marks).decode(), source_id],
        )
        found, folders = cursor.fetchone()
    return (orjson.loads(f"[{found}]") if found else []), folders


def _marks(source_id: int, ids: Collection[str]) -> list[tuple[str, int, int, bool, str]]:
    """Remote id, key, mark, whether it has not vanished, content: all from one index."""
    condition, given = among("remote_id", ids)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT remote_id, id, mark, vanished_at IS NULL, content"  # noqa: S608
            f" FROM {File._meta.db_table} WHERE source_id = %s AND {condition}",
            [source_id, *given],
        )
        return list(cursor.fetchall())


def _known(source_id: int, ids: Collection[str]) -> dict[str, Known]:
    columns = ["pk", *Known._fields[1:]]
    rows = File.objects.filter(source_id=source_id, remote_id__in=ids).values_list(*columns)
    return {row.remote_id: row for row in map(Known._make, rows)} if ids else {}


def _pks(source_id: int, ids: Collection[str]) -> dict[str, int]:
    return {remote_id: pk for remote_id, pk, *_ in _marks(source_id, ids)} if ids else {}
