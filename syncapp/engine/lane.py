"""A transfer lane: one queue task that keeps many files in flight until nothing is left for it.

The lane's thread leases, settles and beats; crews of threads read from the source and write to
each destination. Whatever kills the process at whatever instruction: leases end by themselves,
the spool is swept by the next lane, and the catalog has only what was settled.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import ExitStack
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import drain, jobs, lease, limits, runs, settle, uploads
from syncapp.engine.adapters import source_for
from syncapp.engine.beat import Beat
from syncapp.engine.breakers import Breakers, End, destination_key, passes
from syncapp.engine.budget import Budget, Disk, Memory
from syncapp.engine.crew import Crew
from syncapp.engine.database import Patience
from syncapp.engine.feed import Note
from syncapp.engine.folders import Folders
from syncapp.engine.outcome import Down, decide
from syncapp.engine.parking import Parked, Parking
from syncapp.engine.rates import Rates
from syncapp.engine.stores import Stores
from syncapp.engine.transfer import Hands, Job, Result, Transfer
from syncapp.errors import ConfigurationError, Unavailable
from syncapp.models import Lane, Run, Version

log = logging.getLogger(__name__)
BATCH = 500  # results per commit
COMMIT_S = 0.25  # how long results may wait for one
LOOK_S = 0.1  # between looks at what is parked, when nothing else is in flight
AHEAD = 8  # leases per file in flight: reads never wait for the database
AHEAD_S = 1.0  # and where files are quick, as many as are done in this time, to ask seldom
MOST_AHEAD = 4 * AHEAD
MOST_ACTIVE = 4000  # versions that wait for a slow destination, at most
BIG = 32 * 1024**2
BIG_FILES = 4  # read at once: more would only crowd each other out of memory
LINGER = timedelta(seconds=20)  # a lane waits this long for a retry to come due
POISON_LEASES = 10


class TransferLane:
    """One lane of a run. `run()` until done, paused, out of time or asked to drain."""

    def __init__(self, run: Run, lane: Lane, beat: Beat) -> None:
        self.job_run, self.lane, self.beat = run, lane, beat
        self._patiently = Patience(run, drain.asked)
        self.owner = lane.owner
        self.folders = Folders(run.source_id)
        self.breakers = Breakers(run, run.source.destinations.values_list("pk", flat=True))
        self.stores = Stores(run, self.breakers, beat.halted)
        self.settlement = settle.Settlement(run, self.owner, self.folders)
        self.rates = Rates(run)
        self.most = settings.FILES_IN_FLIGHT
        self.readers = Crew("reader", self.most)
        crews = {pk: Crew(f"writer-{pk}", self.most) for pk in self.stores}
        budget = Budget(
            Memory(settings.SPOOL_MEMORY),
            Disk(settings.SPOOL_DIR, settings.SPOOL_BUDGET),
            at_once=self.most,
        )
        budget.on_pressure = self._release_oldest
        self._notes: deque[Note] = deque()
        check = partial(self.breakers.check, self.breakers.account)
        reader = source_for(run.source, beat.halted, check)
        self._download = limits.reading(run.source_id, beat.halted)
        self.hands = Hands(reader, budget, crews, self._on_bytes, self._notes.append, beat.halt)
        self.active: set[int] = set()
        self.parking = Parking()
        self._big: deque[Job] = deque()
        self._big_active = 0
        self._ended: list[tuple[Transfer, Result]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._due = False  # enough has ended to be settled now
        self._settled_at = time.monotonic()
        self._ahead = AHEAD * self.most
        self._ask_at = 0.0
        self._resting = False  # nobody could be served: what is due waits
        self._source_error: ConfigurationError | None = None

    def _on_bytes(self, size: int) -> None:
        self._download.take(size)
        self.rates.add(size)

    def run(self) -> None:
        """Work; returns with every lease settled or given back and the spool empty."""
        try:
            while self._step():
                pass
        finally:
            self._close()
        if self._source_error is not None:
            raise self._source_error

    def _step(self) -> bool:
        """One look around; False when the lane is done."""
        self.beat.raise_if_lost()
        taking = self.beat.may_take() and self._source_error is None
        self._patiently(self.breakers.look)
        if taking:
            self._try_down()
            self._retry_parked()
            self._take()
        self._wait()
        if self._due or time.monotonic() - self._settled_at >= COMMIT_S:
            self._settle(self._collect())
            self._write_notes()
            self.rates.tell(self.job_run)
        if self.active:
            return True
        if taking and len(self.parking):
            self.beat.wait(LOOK_S)
            return True
        return taking and self._more_soon()

    def _take(self) -> None:
        """Lease ahead of the readers, and give them what there is to read."""
        self._start_big()
        wanted = self._ahead - self.readers.waiting()
        full = len(self.active) >= MOST_ACTIVE or len(self._big) > BIG_FILES
        if wanted < self._ahead // 2 or full or time.monotonic() < self._ask_at:
            return
        if not self._may_lease():
            return
        if self.breakers.is_open(self.breakers.account):
            wanted = 1  # the try
        ids = self._patiently(
            lambda: lease.lease(self.job_run, self.owner, wanted, settings.LEASE_SECONDS)
        )
        if len(ids) < wanted:  # nothing more is due: ask again later
            self._ask_at = time.monotonic() + COMMIT_S
        busy = self.active | self.parking.ids()
        ids = [pk for pk in ids if pk not in busy]
        if not ids:
            return
        self._begin(ids, self.stores.up())

    def _begin(self, ids: list[int], stores: dict[int, Store]) -> None:
        """Start on leased versions, for these destinations."""
        self.beat.hold(ids)
        ids = self._without_poison(ids)
        built = jobs.build(ids, self.job_run, self.folders, stores)
        for job in built:
            self.active.add(job.version_id)
            if (job.file.size or 0) >= BIG:
                self._big.append(job)
            else:
                self._read(job)
        self._start_big()
        idle = set(ids) - {job.version_id for job in built}
        if idle:
            self._patiently(lambda: settle.unserved(self.owner, sorted(idle), self._down()))
            self.beat.drop(idle)

    def _down(self) -> Down:
        """What is let alone now."""
        account = self.breakers.is_open(self.breakers.account)
        return Down(self.breakers.down(), account, self.stores.up())

    def _may_lease(self) -> bool:
        """Not while nobody could be served; if the account is open, only to try it."""
        self._resting = bool(self.stores) and not self.stores.up()
        account = self.breakers.account
        if not self._resting and self.breakers.is_open(account):
            self._resting = not self.breakers.claim_try(account)
        return not self._resting

    def _try_down(self) -> None:
        """Make the tries that are due: from a spool that is kept, or with one more file."""
        for pk in self.breakers.down():
            key = destination_key(pk)
            if pk not in self.stores or not self.breakers.may_try(key):
                continue
            if parked := self.parking.take_for(pk):
                if self._claim_try(pk):
                    self._again(parked)
                else:
                    self.parking.add(parked)
            elif ids := lease.lease_for(self.job_run, pk, self.owner, settings.LEASE_SECONDS):
                if self._claim_try(pk):
                    self._begin(ids, self.stores.up(pk))
                else:
                    lease.release(self.owner, ids)

    def _claim_try(self, destination_id: int) -> bool:
        claimed = self.breakers.claim_try(destination_key(destination_id))
        return claimed and self.stores.renew(destination_id)

    def _without_poison(self, ids: list[int]) -> list[int]:
        """Give up versions that took their worker down again and again."""
        bad = list(
            lease.held(self.owner, ids)
            .filter(leases__gt=POISON_LEASES)
            .values_list("pk", flat=True)
        )
        if bad:
            settle.give_up_poisoned(self.job_run, self.owner, bad)
            self.beat.drop(bad)
        return [pk for pk in ids if pk not in bad]

    def _start_big(self) -> None:
        while self._big and self._big_active < BIG_FILES:
            self._big_active += 1
            self._read(self._big.popleft())

    def _read(self, job: Job) -> None:
        self.readers.submit(Transfer(job, self.hands, self._on_end).read)

    def _on_end(self, transfer: Transfer, result: Result) -> None:
        """An attempt has ended; any thread. The lane wakes if there is enough to do for it."""
        with self._lock:
            self._ended.append((transfer, result))
            ended = len(self._ended)
        least = max(self.most, self._ahead // 8)
        short = self.readers.waiting() < least and time.monotonic() >= self._ask_at
        if ended >= BATCH or ended >= len(self.active) or self._is_big(transfer.job):
            self._due = short = True
        if short:
            self._wake.set()

    def _is_big(self, job: Job) -> bool:
        return (job.file.size or 0) >= BIG

    def _wait(self) -> None:
        """Until there is enough to settle or little left to read, or results have waited long."""
        if self.active:
            self._wake.wait(max(self._settled_at + COMMIT_S - time.monotonic(), 0.0))
            self._wake.clear()

    def _collect(self) -> list[tuple[Transfer, Result]]:
        now = time.monotonic()
        with self._lock:
            got, self._ended = self._ended[:BATCH], self._ended[BATCH:]
            self._due = len(self._ended) >= BATCH
        quick = int(len(got) * AHEAD_S / max(now - self._settled_at, COMMIT_S))
        self._ahead = min(max(quick, AHEAD * self.most), MOST_AHEAD * self.most)
        self._settled_at = now
        for transfer, _ in got:
            self.active.discard(transfer.job.version_id)
            if self._is_big(transfer.job) and transfer.attempts == 1:
                self._big_active -= 1
        return got

    def _write_notes(self) -> None:
        notes = [self._notes.popleft() for _ in range(len(self._notes))]
        self._patiently(lambda: uploads.write(notes))

    def _settle(self, got: list[tuple[Transfer, Result]]) -> None:
        faults = [transfer for transfer, _ in got if transfer.fault is not None]
        for transfer in faults:
            transfer.close()
        self._settle_known([(t, result) for t, result in got if t.fault is None])
        for transfer in faults:
            if transfer.fault is not None:
                raise transfer.fault

    def _settle_known(self, got: list[tuple[Transfer, Result]]) -> None:
        if not got:
            return
        results = [result for _, result in got]
        self._patiently(lambda: self._count(results))
        down = self._down()
        for transfer, result in got:
            if isinstance(result.error, ConfigurationError):
                self._source_error = result.error
            if not self._park(transfer, result, down):
                transfer.close()
        parked = self.parking.ids()
        self._patiently(lambda: self.settlement.write(results, parked, down))
        self.beat.drop({transfer.job.version_id for transfer, _ in got} - parked)
        for _, result in got:
            for destination_id, error in result.failed.items():
                if isinstance(error, ConfigurationError) and not passes(error):
                    self.stores.drop(destination_id)

    def _count(self, results: list[Result]) -> None:
        """Tell the breakers how requests ended."""
        read = [r for r in results if not r.halted and r.job.origin is None]
        self.breakers.count(
            self.breakers.account, [End(r.job.version_id, r.job.attempt, r.error) for r in read]
        )
        for pk in self.stores:
            sent = [r for r in results if pk in r.stored or pk in r.failed]
            ends = [End(r.job.version_id, r.job.attempt, r.failed.get(pk)) for r in sent]
            self.breakers.count(destination_key(pk), ends)

    def _park(self, transfer: Transfer, result: Result, down: Down) -> bool:
        """Keep the spool for another try at what failed, if that is of use and there is room."""
        if not result.failed or result.halted:
            return False
        outcome = decide(result, down)
        if outcome.hopeless or not transfer.may_go_on() or not transfer.spool.spill():
            return False
        due = time.monotonic() + outcome.wait_s
        self.parking.add(Parked(transfer, outcome.attempts + 1, due, set(result.failed)))
        return True

    def _retry_parked(self) -> None:
        for parked in self.parking.take_due(time.monotonic(), self.most, self.breakers.down()):
            self._again(parked)

    def _again(self, parked: Parked) -> None:
        self.active.add(parked.transfer.job.version_id)
        parked.transfer.again(parked.attempt)

    def _release_oldest(self) -> bool:
        """The spool is full and a reader waits: give up the longest-kept spool.

        Called from a reader's thread; the beat gives the lease back.
        """
        parked = self.parking.take_oldest()
        if parked is None:
            return False
        parked.transfer.close()
        self.beat.give_back(parked.transfer.job.version_id, timezone.now() + timedelta(seconds=1))
        return True

    def _more_soon(self) -> bool:
        """Whether something of this source comes due while it is worth waiting for."""
        if self._resting:
            if self.breakers.is_silent(self.breakers.account):
                return False  # for long: another lane is asked for when it is over
            self._end_if_lasting()
            self.beat.wait(LOOK_S)
            return True
        soonest = (
            Version.objects.filter(source_id=self.job_run.source_id, state=Version.State.PENDING)
            .order_by("due_at")
            .values_list("due_at", flat=True)
            .first()
        )
        if soonest is None or soonest > timezone.now() + LINGER:
            return False
        due_in = (soonest - timezone.now()).total_seconds()
        self.beat.wait(min(max(due_in, 0.0), COMMIT_S))
        self._ask_at = 0.0
        return True

    def _end_if_lasting(self) -> None:
        """Nothing can be done, and has not been for long: the run ends, the next one goes on."""
        keys = [self.breakers.account, *map(destination_key, self.breakers.down())]
        lasting = next(filter(None, map(self.breakers.has_lasted, keys)), None)
        if lasting is not None:
            told = Unavailable(lasting.error_message, code=lasting.error_code)
            runs.fail(self.job_run, told)

    def _close(self) -> None:
        """Settle what is in flight, then give back leases, threads and temporary space."""
        with ExitStack() as last_first:
            last_first.callback(self.hands.budget.disk.close)
            last_first.callback(self._write_notes)
            for crew in self.hands.crews.values():
                last_first.callback(crew.close)
            last_first.callback(self._patiently, self.beat.release_all)
            last_first.callback(self.readers.close)
            last_first.callback(self._drain)
        self.rates.tell(self.job_run, last=True)

    def _drain(self) -> None:
        """Stop what is in flight and settle what came in; parked spools are given up."""
        self.beat.halt.set()
        self.active.difference_update(job.version_id for job in self._big)
        self._big.clear()
        while self.active:
            self._wait()
            self._settle(self._collect())
        for parked in self.parking.take_all():
            parked.transfer.close()


def transfer(run: Run, lane: Lane, beat: Beat) -> None:
    """Work on a run's transfers, then end the run if nothing is left."""
    TransferLane(run, lane, beat).run()
    runs.finish_if_done(run)
