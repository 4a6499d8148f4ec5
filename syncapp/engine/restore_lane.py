"""The work of a restore's lane: items side by side, each read, checked and placed; settled in sets.

Threads know no database: the lane's thread gives out items and writes down what became of them,
fenced by the lane's row. An item that was placed and not written down before a crash is found whole
by the target and only then noted. What lies in cold storage is asked back and comes again later.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from syncapp import pacing
from syncapp.engine import damage
from syncapp.engine.beat import Beat
from syncapp.engine.damage import Damage
from syncapp.engine.fetch import Archived, Reading, Stored, locate, not_stored
from syncapp.engine.origins import Origins
from syncapp.engine.rates import Rates
from syncapp.engine.restore_plan import google_names
from syncapp.engine.sets import update_many
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    IntegrityError,
    Interrupted,
    TransientError,
)
from syncapp.models import Restore, RestoreItem, Run
from syncapp.restore_targets.base import Item, Placed, Target
from syncapp.sources.drive_formats import SHORTCUT
from syncapp.types import JsonObject

BATCH = 200
SETTLE_S = 0.25
LONG_S = 60.0  # nobody waits for the end of a file that takes longer
OUTAGE_TRIES = 12  # the last one about two hours after the first
THAW_DAYS = 3
FIRST_THAW_LOOK, MOST_THAW_LOOK = timedelta(minutes=5), timedelta(hours=1)
State = RestoreItem.State
_LAST = Q(file__mime_type=SHORTCUT)  # in Drive what they point to has to be there before


class Row(NamedTuple):
    """An item with what is needed to place it."""

    pk: int
    version_id: int | None
    path: str
    size: int
    attempts: int
    modified_at: datetime | None
    # None where the file's row has gone meanwhile, or of a folder.
    remote_id: str | None
    mime_type: str | None
    content_type: str | None
    metadata: JsonObject | None


_COLUMNS = [
    *("pk", "version_id", "path", "size", "attempts", "version__modified_at"),
    *("file__remote_id", "file__mime_type", "version__content_type", "file__metadata"),
]


@dataclass
class Content:
    """The bytes of one version for a target: each iteration reads them anew."""

    stored: Stored
    origins: Origins
    beat: Beat
    rates: Rates
    damages: list[Damage] = field(default_factory=list)
    origin_id: int | None = None

    @property
    def size(self) -> int:
        return self.stored.size

    @property
    def sha256(self) -> str:
        return self.stored.sha256

    def __iter__(self) -> Iterator[bytes]:
        return self.from_offset(0)

    def from_offset(self, start: int) -> Iterator[bytes]:
        reading = Reading(self.stored, self.origins, start=start, damages=self.damages)
        for chunk in reading:
            if self.beat.halted():
                raise Interrupted("The restore was asked to stop.")
            self.rates.add(len(chunk))
            self.origin_id = reading.origin_id
            yield chunk
        self.origin_id = reading.origin_id


@dataclass
class Result:
    """What became of one item."""

    row: Row
    state: State
    placed: str = ""
    origin_id: int | None = None
    error: BackupError | None = None
    due_at: datetime | None = None
    damages: list[Damage] = field(default_factory=list)
    note: str = ""  # what could not be as it was, of an item that is whole

    @property
    def stops_all(self) -> bool:
        """Whether a person has to act before anything more can be placed."""
        return isinstance(self.error, ConfigurationError) and self.state == State.PENDING


class RestoreLane:
    """One lane; `stopped_by` is set if the target needs a person."""

    def __init__(self, run: Run, restore: Restore, target: Target, beat: Beat) -> None:
        self._run, self._restore, self._target, self._beat = run, restore, target, beat
        self._to_drive = restore.target == Restore.Target.DRIVE
        self._origins = Origins(restore.prefer, restore.origin_id)
        self._rates = Rates(run)
        self._ready: deque[tuple[Row, Stored | None]] = deque()
        # Item, and since when (monotonic).
        self._at_work: dict[Future[Result], tuple[int, float]] = {}
        self._results: list[Result] = []
        self._settled_at = 0.0
        self._chance = random.Random()
        self.stopped_by: ConfigurationError | None = None

    def work(self) -> None:
        """Until nothing is due now, or the lane is told to stop."""
        with ThreadPoolExecutor(settings.RESTORES_IN_FLIGHT, "restore") as pool:
            try:
                while self._feed(pool) or self._at_work:
                    done, _ = wait(self._at_work, SETTLE_S, FIRST_COMPLETED)
                    self._take(done)
                    self._beat.raise_if_lost()
            finally:
                wait(self._at_work)
                self._take(set(self._at_work))
                self._settle()
                self._rates.tell(self._run, last=True)

    def _feed(self, pool: ThreadPoolExecutor) -> bool:
        """Keep every thread busy; whether more may follow."""
        while len(self._at_work) < settings.RESTORES_IN_FLIGHT:
            if not self._may_begin():
                self._ready.clear()
                return False
            if not self._ready and not self._load():
                return False
            row, stored = self._ready.popleft()
            self._at_work[pool.submit(self._bring, row, stored)] = (row.pk, time.monotonic())
        return True

    def _may_begin(self) -> bool:
        """Whether to take up more. A lane that is to end, but can't for a big file, goes on."""
        if self.stopped_by or self._beat.halted():
            return False
        since = time.monotonic() - LONG_S
        return self._beat.may_take() or any(at < since for _, at in self._at_work.values())

    def _load(self) -> bool:
        """The next items that are due, with all that is known about them; a few queries."""
        self._settle()
        busy = [pk for pk, _ in self._at_work.values()]
        rows: list[Row] = []
        for state in (State.THAWING, State.PENDING):  # what was waited for comes first
            due = RestoreItem.objects.filter(
                restore=self._restore, state=state, due_at__lte=timezone.now()
            ).exclude(pk__in=busy)
            found = self._ordered(due.exclude(_LAST) if self._to_drive else due)
            rows += [Row(*values) for values in found[: BATCH - len(rows)]]
        if not rows and self._to_drive:
            due = RestoreItem.objects.filter(_LAST, restore=self._restore, state=State.PENDING)
            found = self._ordered(due.filter(due_at__lte=timezone.now()).exclude(pk__in=busy))
            rows = [Row(*values) for values in found[:BATCH]]
        stored = locate([row.version_id for row in rows if row.version_id is not None])
        self._origins.load({p.destination_id for s in stored.values() for p in s.places})
        self._ready.extend((row, stored.get(row.version_id or 0)) for row in rows)
        return bool(rows)

    def _ordered(self, due: QuerySet[RestoreItem]) -> Any:
        return due.order_by("due_at", "pk").values_list(*_COLUMNS)

    def _bring(self, row: Row, stored: Stored | None) -> Result:
        """One item, in a thread of its own."""
        content: Content | None = None
        path = tuple(row.path.split("/"))
        item = Item(
            row.pk,
            path,
            google_names(path),
            row.modified_at,
            row.remote_id or "",
            row.mime_type or "",
            row.content_type or "",
            row.metadata or {},
        )
        try:
            if row.version_id is None:
                return self._done(row, self._target.folder(item), None)
            if stored is None:
                return self._failed(row, not_stored(), None)
            content = Content(stored, self._origins, self._beat, self._rates)
            placed = self._target.place(item, content, self._restore.collision)
            return self._done(row, placed, content)
        except Archived as error:
            return self._thaw(row, error, content)
        except BackupError as error:
            return self._failed(row, error, content)
        finally:
            connection.close()  # a target that reads tokens has opened one

    def _done(self, row: Row, placed: Placed, content: Content | None) -> Result:
        state = State.SKIPPED if placed.kept else State.DONE
        made = Result(row, state, placed.where, note=placed.note)
        if content:
            made.origin_id, made.damages = content.origin_id, content.damages
        return made

    def _failed(self, row: Row, error: BackupError, content: Content | None) -> Result:
        damages = content.damages if content else []
        made = Result(row, State.PENDING, error=error, damages=damages)
        if isinstance(error, Interrupted | ConfigurationError):
            return made
        attempt = row.attempts + 1
        # A copy that was found wrong is not read again: another one may be right.
        temporary = isinstance(error, TransientError)
        again = bool(damages) or temporary or isinstance(error, IntegrityError)
        if not again or attempt >= (OUTAGE_TRIES if temporary else pacing.MAX_ATTEMPTS):
            made.state = State.FAILED
        elif temporary:
            wait_s = pacing.attempt_delay_s(error, attempt, self._chance)
            made.due_at = timezone.now() + timedelta(seconds=wait_s)
        else:
            made.due_at = timezone.now()
        return made

    def _thaw(self, row: Row, error: Archived, content: Content | None) -> Result:
        """Ask one place to give it back, and look again later and later."""
        place, refusal = error.places[0], None
        try:
            self._origins.store(place.destination_id).thaw(
                place.key, version_id=place.store_version, days=THAW_DAYS
            )
        except BackupError as caught:
            refusal = caught
        if refusal is not None and not isinstance(refusal, TransientError):
            return Result(row, State.FAILED, error=refusal)
        look = min(FIRST_THAW_LOOK * 2 ** min(row.attempts, 10), MOST_THAW_LOOK)
        damages = content.damages if content else []
        due_at = timezone.now() + look
        return Result(
            row, State.THAWING, "", place.destination_id, refusal or error, due_at, damages
        )

    def _take(self, done: set[Future[Result]]) -> None:
        for future in done:
            del self._at_work[future]
            result = future.result()
            if result.stops_all and isinstance(result.error, ConfigurationError):
                self.stopped_by = result.error
            elif not isinstance(result.error, Interrupted):
                self._results.append(result)
        if time.monotonic() - self._settled_at >= SETTLE_S:
            self._settle()
            self._rates.tell(self._run)

    def _settle(self) -> None:
        """Write down what became of items; nothing is lost if this never happens."""
        results, self._results = self._results, []
        self._settled_at = time.monotonic()
        if not results:
            return
        damage.note([one for result in results for one in result.damages], self._run)
        now = timezone.now()
        rows = [_written(result, now) for result in results]
        counts = {state: sum(r.state == state for r in results) for state in State}
        done = sum(r.row.size for r in results if r.state == State.DONE)
        columns = ["state", "attempts", "due_at", "origin_id", "placed"]
        with transaction.atomic():
            self._beat.fence()
            update_many(
                RestoreItem, [*columns, "error_code", "error_message"], ["id", "restore_id"],
                [(*row, self._restore.pk) for row in rows],
            )  # fmt: skip
            Run.objects.filter(pk=self._run.pk).update(
                files_done=F("files_done") + counts[State.DONE],
                files_failed=F("files_failed") + counts[State.FAILED],
                files_skipped=F("files_skipped") + counts[State.SKIPPED],
                bytes_done=F("bytes_done") + done,
            )


def _written(result: Result, now: datetime) -> tuple[object, ...]:
    error = result.error
    return (
        result.state,
        result.row.attempts + (error is not None),
        result.due_at or now,
        result.origin_id,
        result.placed,
        error.code[:64] if error else "",
        error.message if error else result.note,
        result.row.pk,
    )
