"""The move lane: what was renamed or moved at the source follows at the destinations.

Each store copies within itself; nothing is read from Google. Destinations work side by side, and
one that fails holds up no other: its copies stay where they are, their files stay due, and the
next run tries again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.db import connection
from django.utils import timezone

from syncapp.engine import breakers, leftovers, marks, record, runs, wishes
from syncapp.engine.adapters import destination_for
from syncapp.engine.beat import Beat
from syncapp.engine.folders import Folders
from syncapp.engine.ledger import Ledger
from syncapp.engine.relocation import Outcome, Relocation
from syncapp.engine.settle import block_destination
from syncapp.engine.sites import Site
from syncapp.errors import BackupError, ConfigurationError
from syncapp.models import Destination, Event, Lane, Run
from syncapp.words import counted

T = TypeVar("T")
BATCH = 500  # files
PASSES = 5  # more than one only where keys are handed on from batch to batch


def next_stage(run: Run) -> str:
    """The stage after the plan: moving if anything is to be moved; two look-ups in an index."""
    wanted = run.source.destinations.filter(enabled=True).values_list("pk", flat=True)
    begun = wishes.unfinished(run.source_id, list(wanted))
    moves = wishes.due(run.source_id).exists() or begun.exists()
    moves = moves or leftovers.due(run.source_id, list(wanted)).exists()
    return Run.Stage.MOVE if moves else Run.Stage.TRANSFER


def move(run: Run, lane: Lane, beat: Beat) -> None:
    """Move what is due, then open the transfers; returns early when told to stop."""
    if MoveLane(run, lane, beat).run():
        runs.move_on(run, Run.Stage.MOVE, Run.Stage.TRANSFER)


def _reach(site: Site) -> bool:
    """Whether it answers, and is no other installation's."""
    if not site.reach():
        return False
    return not isinstance(site.call(partial(marks.check, site.store)), BackupError)


class MoveLane:
    """One lane of a run's moves."""

    def __init__(self, run: Run, lane: Lane, beat: Beat) -> None:
        self.of_run, self.beat = run, beat
        self.ledger = Ledger(run, lane)
        self.folders = Folders(run.source_id)
        self.sites: list[Site] = []
        self._absent: set[int] = set()  # destinations that are not asked
        self._tried: set[int] = set()  # let alone before: whether they answer is seen now
        self._undone: Counter[int] = Counter()  # files by destination, in the last pass
        self._given_up: Counter[int] = Counter()
        self._lost = 0
        self._began, self._moved = time.monotonic(), 0

    def run(self) -> bool:
        """Work until nothing more can be moved (True) or the lane is told to stop (False)."""
        with ExitStack() as stack:
            self._open(stack)
            self._each(lambda site: self._at(site).free(self.of_run.source_id))
            self._each(lambda site: leftovers.clear(self.of_run, site, self.beat))
            for _ in range(PASSES):
                if not self._pass():
                    break
            stopped = not self.beat.may_take() or any(site.stopped for site in self.sites)
        if not stopped:
            self._tell()
        return not stopped

    def _open(self, stack: ExitStack) -> None:
        rows = self.of_run.source.destinations.filter(enabled=True).select_related("owner")
        for row in rows:
            retry_at = breakers.down_until(row)
            let_alone = retry_at is not None and retry_at > timezone.now()
            if let_alone or row.blocked_code == marks.OTHER:
                self._absent.add(row.pk)
                continue
            try:
                store = destination_for(row)
            except ConfigurationError as error:
                block_destination(row.pk, error, self.of_run)
                self._absent.add(row.pk)
                continue
            site = Site(row.pk, store, self.beat, settings.FILES_IN_FLIGHT)
            stack.callback(site.close)
            self.sites.append(site)
            self._tried |= {row.pk} if retry_at is not None else set()
        for site, answers in self._each(_reach):
            if answers and site.destination_id in self._tried:
                breakers.close(breakers.destination_key(site.destination_id), self.of_run)

    def _at(self, site: Site) -> Relocation:
        return Relocation(site, self.ledger, self.beat)

    def _carry_out(self, batch: wishes.Batch, site: Site) -> Outcome:
        return self._at(site).carry_out(batch)

    def _each(self, work: Callable[[Site], T]) -> list[tuple[Site, T]]:
        """The work of all destinations that answer, side by side."""

        def done(site: Site) -> tuple[Site, T]:
            try:
                return site, work(site)
            finally:
                connection.close()  # this thread's own: nothing else will

        at_work = [site for site in self.sites if site.error is None]
        if not at_work:
            return []
        with ThreadPoolExecutor(len(at_work), "site") as pool:
            return list(pool.map(done, at_work))

    def _pass(self) -> bool:
        """All that is due, once; whether another pass can do more."""
        self._undone.clear()
        after, again = 0, False
        source, before = self.of_run.source, self._moved
        while self.beat.may_take():
            self.beat.raise_if_lost()
            at_work = {s.destination_id: s.keeps_versions for s in self.sites if s.error is None}
            batch = wishes.load(source, self.folders, at_work, after, BATCH)
            if batch is None:
                return again and self._moved > before
            after = batch.last
            outcomes = self._each(partial(self._carry_out, batch))
            self._settle(batch, at_work.keys(), outcomes)
            again = again or any(outcome.again for _, outcome in outcomes)
        return False

    def _settle(
        self, batch: wishes.Batch, asked: Collection[int], outcomes: list[tuple[Site, Outcome]]
    ) -> None:
        """Note the files whose copies all lie where they should, and count."""
        absent = self._absent | {s.destination_id for s in self.sites} - set(asked)
        undone = {batch.rows[pk].file_id for pk in batch.unready}
        undone |= wishes.with_copies_at(batch.files, absent)
        moved = set[int]()
        for site, outcome in outcomes:
            undone |= outcome.undone
            moved |= outcome.moved
            self._undone[site.destination_id] += len(outcome.undone)
            self._given_up[site.destination_id] += len(outcome.given_up)
            self._lost += len(outcome.lost)
        self.ledger.settle(set(batch.files) - undone, len(moved - undone))
        self._moved += len(moved)
        run = self.of_run
        run.refresh_from_db()
        rate = self._moved / max(time.monotonic() - self._began, 1.0)
        record.progress(run, run.source.owner_id, files_per_s=rate, bytes_per_s=0)

    def _tell(self) -> None:
        """What was moved, and what was not and why."""
        run = self.of_run
        run.refresh_from_db()
        name = run.source.name
        if run.files_moved:
            gone = f"{counted(run.files_vanished, 'file')} of {name} gone from the source. "
            message = (
                f"{gone if run.files_vanished else ''}{counted(run.files_moved, 'file')} of {name}"
                f" {runs.moved_or_trashed(run)}, no byte read from Google."
            )
            self._event("files_moved", message, Event.Level.INFO)
        if any(self._undone.values()) or self._absent:
            Run.objects.filter(pk=run.pk).update(error_code=runs.NOT_MOVED)
        if self._lost:
            message = f"{name}: {counted(self._lost, 'file')} not where it was stored"
            self._event("moved_objects_missing", f"{message}; what is missing is stored anew.")
        for site in self.sites:
            self._stop(site)
            self._tell_of(site)

    def _stop(self, site: Site) -> None:
        """Let the transfers know at once that a destination does not work."""
        key, error = breakers.destination_key(site.destination_id), site.error
        if error is not None and breakers.is_outage(error):
            breakers.outage(key, error, self.of_run)
        elif isinstance(error, ConfigurationError):
            block_destination(site.destination_id, error, self.of_run)

    def _tell_of(self, site: Site) -> None:
        """What did not follow at one destination."""
        error = site.error or site.last_error
        reason = f": {error.message}" if error else "."
        undone, given_up = self._undone[site.destination_id], self._given_up[site.destination_id]
        where = Destination.objects.get(pk=site.destination_id)
        if undone or site.error:
            count = counted(undone, "file") if undone else "renamed files"
            message = f"{where.name}: {count} left under an old name until the next run{reason}"
            self._event("move_put_off", message, where=where)
        if given_up:
            message = f"{where.name}: {counted(given_up, 'file')} left under an old name{reason}"
            self._event("move_refused", message, where=where)

    def _event(
        self,
        code: str,
        message: str,
        level: str = Event.Level.WARNING,
        where: Destination | None = None,
    ) -> None:
        run = self.of_run
        record.event(
            run.source.owner,
            code,
            message,
            level=level,
            source=run.source,
            destination=where,
            run=run,
        )
