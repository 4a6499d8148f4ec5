"""A restore drill: a sample is really restored, to a scratch folder, and compared byte by byte.

With the parts that restores use: `fetch` reads from the one destination that is to be proven,
a folder target writes, and what then stands on the disk is read and hashed: against the catalog,
and against what Google declared where the file is still as it was. Every item is a row, written
down as it is settled, so a drill goes on after a crash. The scratch folder lies below the data
folder, holds what the temporary space allows, and is removed at the end or by the next drill.
What is to come from cold storage (`cold_drill`) is asked back and looked for later and later.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from syncapp.engine import cold_drill, damage, runs, samples, scratch
from syncapp.engine.beat import Beat
from syncapp.engine.budget import Disk
from syncapp.engine.fetch import Archived, Stored, locate, not_stored
from syncapp.engine.limits import ReadingBack
from syncapp.engine.origins import Origins
from syncapp.engine.policies import effective
from syncapp.engine.rates import Rates
from syncapp.engine.readback import Sites
from syncapp.engine.restore_lane import THAW_DAYS, Content, next_look
from syncapp.engine.sets import update_many
from syncapp.errors import (
    BackupError,
    IntegrityError,
    Interrupted,
    PermanentError,
    TransientError,
)
from syncapp.models import File, Lane, Restore, RestoreItem, Run, Source, Version
from syncapp.restore_targets.base import OVERWRITE, Item
from syncapp.restore_targets.folder import FolderTarget
from syncapp.types import Content as Kind
from syncapp.words import counted

log = logging.getLogger(__name__)
HANDS = 4
BATCH = 16
TRIES = 3
ROOM = 1024**3  # bytes of the disk that are left free
_CHUNK = 1024**2
State = RestoreItem.State
UNFINISHED = [State.PENDING, State.THAWING]


class Todo(NamedTuple):
    """An item, where it comes from, and the hashes that Google declared, as far as they hold."""

    item_id: int
    destination_id: int
    stored: Stored | None
    declared_md5: str
    declared_sha256: str
    attempts: int = 0
    retrieved: bool = False  # from cold storage, if need be


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item; `error` None: every byte as it was."""

    todo: Todo
    content: Content | None = None
    error: BackupError | None = None
    look_at: datetime | None = None  # again then: it is being retrieved


def drill(run: Run, lane: Lane, beat: Beat) -> None:
    """Plan the sample, restore it item by item, end the run; returns early when told to stop."""
    wish, _ = Restore.objects.get_or_create(
        run=run, defaults={"target": Restore.Target.SCRATCH, "options": {}}
    )
    scratch.sweep()
    _plan(run, wish, beat)
    work = _Drill(run, wish, beat, scratch.folder_of(run) / str(lane.pk))
    try:
        done = work.run()
    finally:
        work.close()
    if done:
        shutil.rmtree(scratch.folder_of(run), ignore_errors=True)
        _end(run, wish)


def _plan(run: Run, wish: Restore, beat: Beat) -> None:
    """Write the sample down, once."""
    if wish.planned_at is not None:
        return
    policy = effective(run.source)
    chosen = samples.choose(run, int(wish.options.get("files") or policy.drill_files))
    asked = bool(wish.options.get("from_cold"))
    cold, cents = cold_drill.choose(run, policy, asked=asked)
    chosen += cold
    wish.options |= {cold_drill.COLD: [[s.version_id, s.destination_id] for s in cold]}
    wish.options |= {cold_drill.CENTS: dict(cents)}
    names = dict(
        Version.objects.filter(pk__in={sample.version_id for sample in chosen}).values_list(
            "pk", "file_id"
        )
    )
    shown = dict(File.objects.filter(pk__in=names.values()).values_list("pk", "name"))
    with transaction.atomic():
        beat.fence()
        RestoreItem.objects.bulk_create(
            RestoreItem(
                restore=wish,
                file_id=names[sample.version_id],
                version_id=sample.version_id,
                origin_id=sample.destination_id,
                path=shown[names[sample.version_id]],
                size=sample.size,
            )
            for sample in chosen
        )
        Restore.objects.filter(pk=wish.pk).update(planned_at=timezone.now(), options=wish.options)
        Run.objects.filter(pk=run.pk).update(
            files_total=len(chosen), bytes_total=sum(sample.size for sample in chosen)
        )


class _Drill:
    """One lane's work."""

    def __init__(self, run: Run, wish: Restore, beat: Beat, folder: Path) -> None:
        self.of_run, self.wish, self.beat, self.folder = run, wish, beat, folder
        self.target = FolderTarget(str(folder), run.pk)
        self.disk = Disk(settings.SPOOL_DIR, settings.SPOOL_BUDGET)
        self.sites = Sites(run, beat)
        self.rates = Rates(run)
        self.pace = ReadingBack(beat.halted)
        self._origins: dict[int, Origins] = {}
        self._cold = {(version, place) for version, place in wish.options.get(cold_drill.COLD, ())}

    def close(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.disk.close()

    def run(self) -> bool:
        """All items that are due; False if some are left, or are still being retrieved."""
        self.target.begin()
        with ThreadPoolExecutor(HANDS, "drill") as pool:
            while batch := self._batch():
                self.beat.raise_if_lost()
                if not self.beat.may_take():
                    return False
                self._settle(list(pool.map(self._bring, batch)))
        return not self.wish.items.filter(state__in=UNFINISHED).exists()

    def _batch(self) -> list[Todo]:
        items = list(
            self.wish.items.filter(state__in=UNFINISHED, due_at__lte=timezone.now())
            .select_related("version__file")
            .order_by("pk")[:BATCH]
        )
        stored = locate([item.version_id for item in items if item.version_id])
        for item in items:
            if item.origin_id:
                only = Origins(Restore.Prefer.NAMED, item.origin_id)
                self._origins.setdefault(item.origin_id, only).load([item.origin_id])
        return [
            Todo(
                item.pk,
                item.origin_id or 0,
                stored.get(item.version_id or 0),
                *_declared(item),
                item.attempts,
                (item.version_id, item.origin_id) in self._cold,
            )
            for item in items
        ]

    def _bring(self, todo: Todo) -> Result:
        """Restore one and compare, in a thread, without the database."""
        content = self._content(todo)
        error: BackupError | None = None
        for number in range(TRIES):
            if content is None:
                return Result(todo, error=not_stored())
            try:
                self._restore(todo, _Metered(content, self.sites, todo.destination_id))
                return Result(todo, content)
            except Interrupted as stopped:
                return Result(todo, content, stopped)
            except TransientError as failed:
                error = failed
                self.beat.wait(2.0**number)
            except Archived as cold:
                return self._retrieve(todo, content, cold)
            except BackupError as failed:
                return Result(todo, content, failed)
        return Result(todo, content, error)

    def _retrieve(self, todo: Todo, content: Content, cold: Archived) -> Result:
        """Ask for it, if that was allowed, and look again later and later."""
        if not todo.retrieved:
            return Result(todo, content, cold)
        now, place = timezone.now(), cold.places[0]
        if now > self.of_run.created_at + cold_drill.PATIENCE:
            late = PermanentError("It did not come back from cold storage.", code="not_retrieved")
            return Result(todo, content, late)
        look = next_look(todo.attempts)
        try:
            content.origins.store(place.destination_id).thaw(
                place.key, version_id=place.store_version, days=THAW_DAYS
            )
        except TransientError as failed:
            return Result(todo, content, failed, now + look)
        except BackupError as failed:
            return Result(todo, content, failed)
        return Result(todo, content, cold, now + look)

    def _content(self, todo: Todo) -> Content | None:
        origins = self._origins.get(todo.destination_id)
        if todo.stored is None or origins is None:
            return None
        return Content(todo.stored, origins, self.beat, self.rates, self.pace)

    def _restore(self, todo: Todo, content: _Metered) -> None:
        """To the disk and back again; where there is no room, read through."""
        if not self._has_room(content.size):
            _compare(todo, content.size, iter(content))
            return
        try:
            name = (str(todo.item_id),)
            self.target.place(Item(todo.item_id, name, name), content, OVERWRITE)
            path = self.folder / name[0]
            with path.open("rb") as file:
                _compare(todo, path.stat().st_size, iter(lambda: file.read(_CHUNK), b""))
            path.unlink()
        finally:
            self.disk.give(content.size)

    def _has_room(self, size: int) -> bool:
        """Claims it, if there is."""
        return shutil.disk_usage(self.folder).free > size + ROOM and self.disk.take(size)

    def _settle(self, results: list[Result]) -> None:
        """Write down what is known now; what was interrupted, or moved, is tried again."""
        damage.note([d for r in results if r.content for d in r.content.damages], self.of_run)
        known = [result for result in results if not isinstance(result.error, Interrupted)]
        known = _where_they_were(known)
        good = [result for result in known if result.error is None]
        ended = [result for result in known if result.look_at is None]
        cold = [result for result in ended if isinstance(result.error, Archived)]
        rows = [_written(result) for result in known]
        size = sum(result.todo.stored.size for result in good if result.todo.stored)
        with transaction.atomic():
            self.beat.fence()
            columns = ["state", "due_at", "attempts", "error_code", "error_message"]
            update_many(RestoreItem, columns, ["id"], rows)
            Run.objects.filter(pk=self.of_run.pk).update(
                files_done=F("files_done") + len(good),
                files_failed=F("files_failed") + len(ended) - len(good) - len(cold),
                files_skipped=F("files_skipped") + len(cold),
                bytes_done=F("bytes_done") + size,
            )
        self.rates.tell(self.of_run)


def _where_they_were(results: list[Result]) -> list[Result]:
    """Without those whose copy was moved while it was read: such a failure is none."""
    places = {
        result.todo.item_id: place
        for result in results
        if result.error is not None and result.todo.stored is not None
        for place in result.todo.stored.places
        if place.destination_id == result.todo.destination_id
    }
    moved = damage.elsewhere(places.values())
    gone = {item_id for item_id, place in places.items() if place.copy_id in moved}
    return [result for result in results if result.todo.item_id not in gone]


def _written(result: Result) -> tuple[State, datetime, int, str, str, int]:
    """An item's columns, and its id. What nobody knew to be in cold storage is no failure: it is
    read neither here nor by anyone else without a retrieval."""
    error, item_id = result.error, result.todo.item_id
    when, attempts = result.look_at or timezone.now(), result.todo.attempts + 1
    if error is None:
        return State.DONE, when, attempts, "", "", item_id
    state = State.SKIPPED if isinstance(error, Archived) else State.FAILED
    state = State.THAWING if result.look_at else state
    return state, when, attempts, error.code[:64], error.message, item_id


@dataclass
class _Metered:
    """A version's bytes, no faster than its destination's limit."""

    content: Content
    sites: Sites
    destination_id: int

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def sha256(self) -> str:
        return self.content.sha256

    def __iter__(self) -> Iterator[bytes]:
        return self.from_offset(0)

    def from_offset(self, start: int) -> Iterator[bytes]:
        for chunk in self.content.from_offset(start):
            self.sites.took(self.destination_id, len(chunk))
            yield chunk


def _declared(item: RestoreItem) -> tuple[str, str]:
    """Google's SHA-256, or its MD5 where it names no other; while the file is as it was read."""
    version = item.version
    if version is None or not version.current or version.checksum_disputed:
        return "", ""
    file = version.file
    if file.content != Kind.BLOB or file.vanished_at is not None:
        return "", ""
    # Of a file whose SHA-256 is right, an MD5 that Google has wrong may be known to nobody.
    return "" if version.declared_sha256 else version.declared_md5, version.declared_sha256


def _compare(todo: Todo, size: int, chunks: Iterator[bytes]) -> None:
    """IntegrityError unless these are the bytes that were backed up."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
        if todo.declared_md5:
            md5.update(chunk)
    stored = todo.stored
    if stored is None or (size, sha256.hexdigest()) != (stored.size, stored.sha256):
        raise IntegrityError("What was restored is not what was backed up.")
    of_google = (todo.declared_md5 or md5.hexdigest(), todo.declared_sha256 or sha256.hexdigest())
    if of_google != (md5.hexdigest(), sha256.hexdigest()):
        raise IntegrityError("What was restored is not what Google declared of this file.")


def _end(run: Run, wish: Restore) -> None:
    """Say how it went: proven, or an alert with names; what was found damaged is healed."""
    run.refresh_from_db()
    source, failed = run.source, wish.items.filter(state=State.FAILED)
    if number := failed.count():
        some = [
            f"{item.file or item.path} from {item.origin or 'nowhere'} ({item.error_message})"
            for item in failed.select_related("file", "origin").order_by("pk")[:3]
        ]
        more = f" and {number - len(some)} more" if number > len(some) else ""
        which = f"{number:,} of {counted(run.files_total, 'file')}"
        message = f"{which} can't be restored: {'; '.join(some)}{more}."
        runs.fail(run, DrillFailed(message))
        if run.findings.exists():
            runs.request_verify(source, trigger=Run.Trigger.DAMAGE)
        return
    if not run.files_done:
        told = (
            "All that was drawn lies in cold storage: nothing is proven."
            if run.files_skipped
            else "Nothing is stored yet that could be restored outside cold storage."
        )
        runs.complete(run, told, outcome=Run.Outcome.WARNINGS)
        return
    Source.objects.filter(pk=source.pk).update(proven_at=timezone.now())
    places = wish.items.filter(state=State.DONE).values("origin").distinct().count()
    where = counted(places, "destination")
    told = f"{counted(run.files_done, 'file')} restored from {where}, every byte as backed up."
    if run.files_skipped:
        told += f" {run.files_skipped} in cold storage were left out."
    if wish.options.get(cold_drill.COLD):
        cost = cold_drill.told(wish.options.get(cold_drill.CENTS, {}))
        told += f" Retrieving from cold storage: {cost + ' at most' if cost else 'cost not known'}."
    if missing := samples.unstored_pins(source):
        names = ", ".join(map(str, missing[:3])) + (", …" if missing[3:] else "")
        told += (
            f" Left out, because nothing of it is stored: {counted(len(missing), 'pinned file')}"
        )
        told += f" ({names})."
    runs.complete(run, told, outcome=Run.Outcome.WARNINGS if missing else Run.Outcome.OK)


class DrillFailed(BackupError):
    """Ends a drill that could not bring everything back."""

    code = "drill_failed"
