"""The catalog beside the data: what changed is written to every destination, compacted at times.

A delta holds the files that the change table names; their rows leave it only after a destination
has confirmed the whole delta, and only if they have not changed again. A destination that missed
one gets a whole catalog. When the deltas have grown, a whole one is written everywhere, and what is
older than the one before it is removed: so there are always two ways to today's state.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice

from django.db import connection, transaction
from django.db.models import Max, Sum

from syncapp.destinations.base import Destination as Store
from syncapp.engine import database_backup, drain, marks, segment_rows, segment_store, settle
from syncapp.engine.segment_format import MOST_LINES, Name, PartWriter
from syncapp.engine.segment_header import header, mark
from syncapp.engine.segment_turns import Turn, TurnTaken, destinations, position
from syncapp.engine.sets import chunks
from syncapp.errors import BackupError, Interrupted, ObjectLocked
from syncapp.models import Change, Destination, File, Segment, SegmentCopy, Source
from syncapp.types import JsonObject
from syncapp.words import counted

log = logging.getLogger(__name__)
BATCH = 500  # files read at once
MOST_DELTAS = 200
FEW_LINES = 100  # deltas of so few files are not worth compacting
_DRAIN_BATCH = 5000


def write(source_id: int) -> None:
    """Write what is to be written of a source now; nothing if another worker is at it."""
    turn = Turn.claim(source_id)
    if turn is None:
        return
    try:
        _Writing(turn).run()
    except Interrupted:
        log.info("segments.interrupted source=%d", source_id)
    finally:
        turn.release()


class RewriteRefused(BackupError):
    """The old segments could not be removed everywhere; the message says where they remain."""

    code = "segments_remain"


def rewrite(source: Source) -> list[str]:
    """Write the whole catalog anew and remove all that was written before, and all backups of the
    database, so that nothing erased lives on in them. What was removed, in words.

    RewriteRefused and BackupsRemain name what could not be reached or removed; calling it again
    goes on. TurnTaken while another worker writes.
    """
    turn = Turn.claim(source.pk)
    if turn is None:
        raise TurnTaken
    try:
        writing = _Writing(turn)
        return [*writing.anew(), *database_backup.remove_everywhere()]
    finally:
        turn.release()


class _Writing:
    """One turn's work on a source."""

    def __init__(self, turn: Turn) -> None:
        self.turn, self.source_id = turn, turn.source_id
        self.slug = Source.objects.get(pk=turn.source_id).slug
        self.stores: dict[int, Store] = {}
        self.problem: BackupError | None = None
        self._open(destinations(turn.source_id))

    def run(self) -> None:
        """Deltas to those that have all before, a whole catalog to the others."""
        if not self.stores:
            return self._end()
        drained = max(self.turn.row.drained, 1)
        level = [pk for pk in self.stores if position(self.source_id, pk) >= drained]
        behind = [pk for pk in self.stores if pk not in level]
        settings = mark(self.source_id)
        changed = _Changed(self.source_id)
        if level and (len(changed) or settings != self.turn.row.settings):
            self._write(Segment.Kind.DELTA, level, changed)
        if behind:
            self._write(Segment.Kind.FULL, behind, None if level else changed)
        if level and self._grown(level[0]):
            self._write(Segment.Kind.FULL, list(self.stores), None)
            for pk in list(self.stores):
                self._remove_old(pk)
        return self._end()

    def anew(self) -> list[str]:
        """A whole catalog everywhere, all older ones removed."""
        held = Destination.objects.filter(segment_copies__segment__source_id=self.source_id)
        self._open([row for row in held.distinct() if row.pk not in self.stores])
        if not self.stores:
            if self.problem is not None:
                raise RewriteRefused(self.problem.message)
            return []
        segment = self._write(Segment.Kind.FULL, list(self.stores), _Changed(self.source_id))
        told = []
        for pk, store in list(self.stores.items()):
            name = Destination.objects.get(pk=pk).name
            try:
                gone = segment_store.remove(store, self.slug, segment.number)
            except BackupError as error:
                self._drop(pk, error)
                continue
            self._forget(pk, segment.number)
            told.append(f"{name}: {counted(gone, 'older part')} of the catalog removed")
        if self.problem is not None:
            raise RewriteRefused(self.problem.message)
        self._end()
        return told

    def _open(self, rows: Sequence[Destination]) -> None:
        for row in rows:
            try:
                store = segment_store.catalog_store(row, drain.asked)
                marks.hold(row, store)
                self.stores[row.pk] = store
            except BackupError as error:
                self._drop(row.pk, error)

    def _drop(self, destination_id: int, error: BackupError) -> None:
        """It gets nothing more in this turn; the next one begins it with a whole catalog."""
        self.stores.pop(destination_id, None)
        if isinstance(error, marks.OtherInstallation):
            settle.block_destination(destination_id, error)
        name = Destination.objects.get(pk=destination_id).name
        self.problem = BackupError(f"{name}: {error.message}", code=error.code)

    def _end(self) -> None:
        if self.problem is not None:
            self.turn.failed(self.problem)
        else:
            self.turn.succeeded()

    def _write(self, kind: str, to: list[int], drains: _Changed | None) -> Segment:
        """One segment to these destinations; a failing one is dropped. What `drains` names leaves
        the table with the first confirmation of the whole."""
        whole = kind == Segment.Kind.FULL
        ids = drains if drains is not None and not whole else _Everything(self.source_id)
        parts = max(-(-len(ids) // MOST_LINES), 1)
        segment = self._begin(kind, parts, to)
        settings, told = mark(self.source_id), header(segment)
        there = [pk for pk in to if pk in self.stores]
        files = iter(ids)
        for number in range(1, parts + 1):
            if not there:  # none could be reached
                break
            lines = self._lines(files, whole=whole)
            there = self._send(segment, number, told, lines, there)
        if there:
            self._confirmed(segment, there, drains, settings)
        return segment

    def _begin(self, kind: str, parts: int, to: list[int]) -> Segment:
        """Its row and number come first: no other writer can ever use that name."""
        last = Segment.objects.filter(source_id=self.source_id).aggregate(Max("number"))
        number = (last["number__max"] or 0) + 1
        for pk in to:
            number = max(number, self._numbers_there(pk) + 1)
        with transaction.atomic():
            self.turn.fence()
            return Segment.objects.create(
                source_id=self.source_id, number=number, kind=kind, parts=parts,
                after=0 if kind == Segment.Kind.FULL else self.turn.row.drained,
            )  # fmt: skip

    def _numbers_there(self, destination_id: int) -> int:
        """The highest number used there: before a recovery, or since a database backup that was
        gone back to, this catalog had another life."""
        store = self.stores.get(destination_id)
        if store is None:
            return 0
        try:
            return max((name.number for name in segment_store.names(store, self.slug)), default=0)
        except BackupError as error:
            self._drop(destination_id, error)
            return 0

    def _lines(self, files: Iterator[int], *, whole: bool) -> Iterator[JsonObject]:
        """The lines of one part."""
        left = MOST_LINES
        while batch := list(islice(files, min(BATCH, left))):
            left -= len(batch)
            if drain.asked():
                raise Interrupted("The worker is stopping.")
            self.turn.renew()
            yield from segment_rows.lines(batch)
            if not whole:
                yield from _gone(batch)

    def _send(
        self, segment: Segment, number: int, told: JsonObject, lines: Iterator[JsonObject],
        to: list[int],
    ) -> list[int]:  # fmt: skip
        """Make one part and send it to all; those that have confirmed it."""
        with segment_store.scratch() as file, ThreadPoolExecutor(len(to), "segments") as pool:
            part = PartWriter(file, {**told, "part": number, "parts": segment.parts})
            if number == 1 and segment.kind == Segment.Kind.FULL:
                lines = chain(segment_rows.erased(self.source_id), lines)
            for line in lines:
                part.add(line)
            part.close()
            segment.lines += part.lines
            sent = {}
            for pk in to:
                name = Name(self.slug, segment.number, segment.kind, number, segment.parts, pk)
                sent[pk] = pool.submit(segment_store.send, self.stores[pk], name.key, file)
            there = []
            size = 0
            for pk, future in sent.items():
                try:
                    size = future.result()
                    there.append(pk)
                except Interrupted:
                    raise
                except BackupError as error:
                    self._drop(pk, error)
            segment.bytes += size
        return there

    def _confirmed(
        self, segment: Segment, there: list[int], drains: _Changed | None, settings: str
    ) -> None:
        """Whole at these destinations: say so, and only then forget the changes."""
        with transaction.atomic():
            of_changes = {"drained": segment.number, "settings": settings}
            self.turn.fence(**(of_changes if drains is not None else {}))
            Segment.objects.filter(pk=segment.pk).update(lines=segment.lines, bytes=segment.bytes)
            SegmentCopy.objects.bulk_create(
                SegmentCopy(segment=segment, destination_id=pk) for pk in there
            )
        if drains is not None:
            drains.forget(self.turn)
        log.info(
            "segments.written source=%d number=%d kind=%s lines=%d bytes=%d",
            self.source_id, segment.number, segment.kind, segment.lines, segment.bytes,
        )  # fmt: skip

    def _grown(self, destination_id: int) -> bool:
        """Whether the deltas since the last whole catalog are worth writing a new one."""
        held = Segment.objects.filter(
            source_id=self.source_id, copies__destination_id=destination_id
        )
        whole = held.filter(kind=Segment.Kind.FULL).order_by("-number").first()
        if whole is None:
            return False
        deltas = held.filter(number__gt=whole.number)
        lines = deltas.aggregate(Sum("lines"))["lines__sum"] or 0
        return lines > max(whole.lines // 2, FEW_LINES) or deltas.count() > MOST_DELTAS

    def _remove_old(self, destination_id: int) -> None:
        """What is older than the whole catalog before the last one."""
        wholes = Segment.objects.filter(
            source_id=self.source_id, kind=Segment.Kind.FULL, copies__destination_id=destination_id
        ).order_by("-number")
        numbers = list(wholes.values_list("number", flat=True)[:2])
        if len(numbers) < 2:
            return
        try:
            segment_store.remove(self.stores[destination_id], self.slug, numbers[1])
        except ObjectLocked:
            pass  # they go with a later one
        except BackupError as error:
            self._drop(destination_id, error)
            return
        self._forget(destination_id, numbers[1])

    def _forget(self, destination_id: int, below: int) -> None:
        copies = SegmentCopy.objects.filter(
            segment__source_id=self.source_id, segment__number__lt=below
        )
        copies.filter(destination_id=destination_id).delete()
        Segment.objects.filter(
            source_id=self.source_id, number__lt=below, copies__isnull=True
        ).delete()


class _Everything:
    """Ids of all files of a source, a batch at a time; what comes meanwhile is a change."""

    def __init__(self, source_id: int) -> None:
        self._files = File.objects.filter(source_id=source_id)
        self._last = self._files.aggregate(Max("pk"))["pk__max"] or 0
        self._count = self._files.filter(pk__lte=self._last).count()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        at = 0
        while at < self._last:
            rows = self._files.filter(pk__gt=at, pk__lte=self._last).order_by("pk")
            batch = list(rows.values_list("pk", flat=True)[: BATCH * 4])
            yield from batch
            at = batch[-1] if batch else self._last


class _Changed:
    """The change table of a source as it was when this was made: 16 bytes a file."""

    def __init__(self, source_id: int) -> None:
        self._files, self._numbers = array("q"), array("q")
        rows = Change.objects.filter(source_id=source_id).order_by("file_id")
        for file_id, number in rows.values_list("file_id", "number").iterator(5000):
            self._files.append(file_id)
            self._numbers.append(number)

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[int]:
        return iter(self._files)

    def forget(self, turn: Turn) -> None:
        """Remove from the table what has not changed again since."""
        pairs = zip(self._files, self._numbers, strict=True)
        for batch in chunks(pairs, _DRAIN_BATCH):
            with transaction.atomic():
                turn.fence()
                _forget(batch)


def _forget(pairs: Sequence[tuple[int, int]]) -> None:
    table = Change._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            columns = [list(column) for column in zip(*pairs, strict=True)]
            cursor.execute(
                f"DELETE FROM {table} USING unnest(%s::bigint[], %s::bigint[]) AS v (f, n)"  # noqa: S608
                f" WHERE {table}.file_id = v.f AND {table}.number = v.n",
                columns,
            )
        else:
            cursor.executemany(f"DELETE FROM {table} WHERE file_id = %s AND number = %s", pairs)  # noqa: S608


def _gone(file_ids: Sequence[int]) -> Iterator[JsonObject]:
    """Tombstones of those that were removed and have not come back under another key."""
    rows = Change.objects.filter(file_id__in=file_ids).exclude(gone="")
    gone = {
        (source_id, remote_id) for source_id, remote_id in rows.values_list("source_id", "gone")
    }
    for source_id, remote_id in sorted(gone):
        if not File.objects.filter(source_id=source_id, remote_id=remote_id).exists():
            yield {"gone": remote_id}
