"""The work of a restore's lane: items side by side, each read, checked and placed; settled in sets.

Threads know no database: the lane's thread gives out items and writes down what became of them,
fenced by the lane's row. Where the target finishes many files at once, the lane has it do so before
it writes them down. An item that was placed and not written down before a crash is found whole by
the target and only then noted: as restored, because what is given out is written down first, while
anything else that is found whole was there already. What lies in cold storage is asked back and
comes again later.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from syncapp import pacing
from syncapp.engine import damage
from syncapp.engine.beat import Beat
from syncapp.engine.damage import Damage
from syncapp.engine.fetch import Archived, Reading, Stored, locate, not_stored
from syncapp.engine.hands import Hands
from syncapp.engine.limits import ReadingBack
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
from syncapp.restore_targets.base import Item, Placed, Target, Unnamed
from syncapp.sources.drive_formats import SHORTCUT
from syncapp.types import JsonObject

BATCH = 400
ENOUGH = 250  # so many are settled before SETTLE_S have passed
SETTLE_S = 0.25
LONG_S = 60.0  # nobody waits for the end of a file that takes longer
OUTAGE_TRIES = 12  # the last one about two hours after the first
THAW_DAYS = 3
FIRST_THAW_LOOK, MOST_THAW_LOOK = timedelta(minutes=5), timedelta(hours=1)
State = RestoreItem.State
_LEFT_ALONE = "Something else of this name is there, and was left alone."
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
    pace: ReadingBack
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
            if self.origin_id is not None:
                self.pace.take(self.origin_id, len(chunk))
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
    written: Unnamed | None = None  # the target has to finish it yet
    content: Content | None = None

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
        self._pace = ReadingBack(beat.halted)
        self._out: set[int] = set()  # items given out and not settled yet
        self._earlier = set(restore.in_hand)  # so, by lanes before
        self._in_hand = set(restore.in_hand)  # as the restore's row has it
        self._written: list[Result] = []
        self._results: list[Result] = []
        self._settled_at = self._looked_at = 0.0
        self._chance = random.Random()
        self.stopped_by: ConfigurationError | None = None

    def work(self) -> None:
        """Until nothing is due now, or the lane is told to stop."""
        hands = Hands(settings.RESTORES_IN_FLIGHT, self._bring, enough=ENOUGH)
        try:
            with hands:
                while self._feed(hands) or hands.are_busy:
                    hands.due.wait(SETTLE_S)
                    hands.due.clear()
                    self._take(hands)
                    self._beat.raise_if_lost()
        finally:
            self._take(hands)
            self._settle()
            self._write_down_in_hand()
            self._rates.tell(self._run, last=True)

    def _feed(self, hands: _Hands) -> bool:
        """Keep every thread busy; whether more may follow."""
        if not self._may_begin(hands):
            self._out.difference_update(row.pk for row, _ in hands.recall())
            return False
        if not hands.are_short:
            return True
        if hands.are_busy and time.monotonic() - self._looked_at < SETTLE_S:
            return True  # there was nothing more a moment ago
        more = self._load()
        if not more:
            self._looked_at = time.monotonic()
        hands.give(more)
        return bool(more)

    def _may_begin(self, hands: _Hands) -> bool:
        """Whether to take up more. A lane that is to end, but can't for a big file, goes on."""
        if self.stopped_by or self._beat.halted():
            return False
        return self._beat.may_take() or hands.longest_s() > LONG_S

    def _load(self) -> list[_Task]:
        """The next items that are due, with all that is known about them; a few queries."""
        self._settle()
        rows: list[Row] = []
        for state in (State.THAWING, State.PENDING):  # what was waited for comes first
            due = self._due(state)
            rows += self._first(due.exclude(_LAST) if self._to_drive else due, BATCH - len(rows))
        if not rows and self._to_drive and not self._out:
            rows = self._first(self._due(State.PENDING).filter(_LAST), BATCH)
        stored = locate([row.version_id for row in rows if row.version_id is not None])
        self._origins.load({p.destination_id for s in stored.values() for p in s.places})
        self._out.update(row.pk for row in rows)
        self._write_down_in_hand()
        return [(row, stored.get(row.version_id or 0)) for row in rows]

    def _write_down_in_hand(self) -> None:
        """Before anything of these items can lie at the target; a few numbers a batch."""
        in_hand = self._out | self._earlier
        if in_hand == self._in_hand:
            return
        with transaction.atomic():
            self._beat.fence()
            Restore.objects.filter(pk=self._restore.pk).update(in_hand=sorted(in_hand))
        self._in_hand = in_hand

    def _due(self, state: State) -> QuerySet[RestoreItem]:
        now = timezone.now()
        return RestoreItem.objects.filter(restore=self._restore, state=state, due_at__lte=now)

    def _first(self, due: QuerySet[RestoreItem], most: int) -> list[Row]:
        """Those that are not given out yet; few are, so that they are left out here."""
        rows = due.order_by("due_at", "pk").values_list(*_COLUMNS)[: most + len(self._out)]
        return [Row(*values) for values in rows if values[0] not in self._out][:most]

    def _bring(self, task: _Task) -> Result:
        """One item, in a thread of many."""
        row, stored = task
        content: Content | None = None
        path = tuple(row.path.split("/"))
        item = Item(
            row.pk,
            path,
            google_names(path) if self._to_drive else path,
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
            content = Content(stored, self._origins, self._beat, self._rates, self._pace)
            if self._beat.halted():
                raise Interrupted("The restore was asked to stop.")
            written = self._target.write(item, content, self._restore.collision)
            if isinstance(written, Unnamed):
                return Result(row, State.PENDING, written=written, content=content)
            return self._done(row, written, content)
        except Archived as error:
            return self._thaw(row, error, content)
        except BackupError as error:
            return self._failed(row, error, content)
        finally:
            if connection.connection is not None:
                connection.close()  # a target that reads tokens has opened one

    def _done(self, row: Row, placed: Placed, content: Content | None) -> Result:
        state, note = State.DONE, placed.note
        if placed.kept:
            state, note = State.SKIPPED, _LEFT_ALONE
        elif placed.there and not row.attempts and row.pk not in self._earlier:
            state = State.THERE
        made = Result(row, state, placed.where, note=note)
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
        damages = content.damages if content else []
        due_at = timezone.now() + next_look(row.attempts)
        return Result(
            row, State.THAWING, "", place.destination_id, refusal or error, due_at, damages
        )

    def _take(self, hands: _Hands) -> None:
        for result in hands.take():
            if result.written:
                self._written.append(result)
            else:
                self._keep(result)
        waiting = len(self._written) + len(self._results)
        if waiting >= ENOUGH or time.monotonic() - self._settled_at >= SETTLE_S:
            self._settle()
            self._rates.tell(self._run)

    def _keep(self, result: Result) -> None:
        if result.stops_all and isinstance(result.error, ConfigurationError):
            self.stopped_by = result.error
        elif not isinstance(result.error, Interrupted):
            self._results.append(result)

    def _finish(self) -> None:
        """Have the target make durable, and name, what was written."""
        results, self._written = self._written, []
        written = [result.written for result in results if result.written]
        if not written:
            return
        self._beat.raise_if_lost()
        try:
            answers = self._target.name(written)
        except BackupError as error:
            answers = [error] * len(written)
        for result, answer in zip(results, answers, strict=True):
            if isinstance(answer, BackupError):
                self._keep(self._failed(result.row, answer, result.content))
            else:
                self._keep(self._done(result.row, answer, result.content))

    def _settle(self) -> None:
        """Write down what became of items; nothing is lost if this never happens."""
        self._finish()
        results, self._results = self._results, []
        self._settled_at = time.monotonic()
        if not results:
            return
        settled = {result.row.pk for result in results}
        self._out -= settled
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
                files_there=F("files_there") + counts[State.THERE],
                bytes_done=F("bytes_done") + done,
            )
        self._earlier -= settled


_Task = tuple[Row, Stored | None]
_Hands = Hands[_Task, Result]


def next_look(attempts: int) -> timedelta:
    """How long what is asked back from cold storage is waited for: longer and longer."""
    look: timedelta = FIRST_THAW_LOOK * 2 ** min(attempts, 10)
    return min(look, MOST_THAW_LOOK)


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
