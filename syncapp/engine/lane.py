"""A transfer lane: one queue task that keeps many files in flight until nothing is left for it.

The lane's thread leases, settles and beats; the files' threads read and write. Whatever kills
the process at whatever instruction: leases end by themselves, the spool is swept by the next
lane, and the catalog has only what was settled.
"""

from __future__ import annotations

import logging
import queue
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import jobs, lease, runs, settle
from syncapp.engine.adapters import destination_for, source_for
from syncapp.engine.beat import Beat
from syncapp.engine.budget import Budget, Disk, Memory
from syncapp.engine.folders import Folders
from syncapp.engine.parking import Parked, Parking
from syncapp.engine.rates import Rates
from syncapp.engine.transfer import Result, Transfer
from syncapp.errors import ConfigurationError
from syncapp.models import Lane, Run, Version

log = logging.getLogger(__name__)
BATCH = 32  # results per commit; more starves the files in flight (measured)
COMMIT_S = 0.25
LOOK_S = 0.2  # how long to wait for a result before looking around
LINGER = timedelta(seconds=20)  # a lane waits this long for a retry to come due
POISON_LEASES = 10


class TransferLane:
    """One lane of a run. `run()` until done, paused, out of time or asked to drain."""

    def __init__(self, run: Run, lane: Lane, beat: Beat) -> None:
        self.job_run, self.lane, self.beat = run, lane, beat
        self.owner = lane.owner
        self.folders = Folders(run.source_id)
        self.reader = source_for(run.source, beat.halted)
        self.stores = self._open_stores()
        self.settlement = settle.Settlement(run, self.owner, self.folders)
        self.budget = Budget(
            Memory(settings.SPOOL_MEMORY), Disk(settings.SPOOL_DIR, settings.SPOOL_BUDGET)
        )
        self.budget.on_pressure = self._release_oldest
        self.files = ThreadPoolExecutor(settings.FILES_IN_FLIGHT, "file")
        self.writers = ThreadPoolExecutor(
            settings.FILES_IN_FLIGHT * max(len(self.stores), 1), "writer"
        )
        self.results: queue.SimpleQueue[tuple[Transfer, Future[Result]]] = queue.SimpleQueue()
        self.active: set[int] = set()
        self.parking = Parking()
        self.rates = Rates(run)
        self._source_error: ConfigurationError | None = None

    def _open_stores(self) -> dict[int, Store]:
        rows = self.job_run.source.destinations.filter(enabled=True, blocked_code="")
        stores: dict[int, Store] = {}
        for row in rows.select_related("owner"):
            try:
                stores[row.pk] = destination_for(row)
            except ConfigurationError as error:
                settle.block_destination(row.pk, error, self.job_run)
        return stores

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
        if taking:
            self._retry_parked()
            self._take()
        self._settle(self._collect())
        self.rates.tell(self.job_run)
        if self.active or (taking and self.parking.ids()):
            return True
        return taking and self._more_soon()

    def _take(self) -> None:
        """Lease as many versions as there are free hands, and start on them."""
        free = settings.FILES_IN_FLIGHT - len(self.active)
        if free <= 0:
            return
        ids = lease.lease(
            self.job_run.source_id, self.owner, min(free, BATCH), settings.LEASE_SECONDS
        )
        busy = self.active | self.parking.ids()
        ids = [pk for pk in ids if pk not in busy]
        if not ids:
            return
        self.beat.hold(ids)
        ids = self._without_poison(ids)
        built = jobs.build(ids, self.job_run.source.slug, self.folders, self.stores)
        for job in built:
            self._start(Transfer(job, self.reader, self.budget, self.writers, self.rates.add))
        idle = set(ids) - {job.version_id for job in built}
        if idle:
            settle.unserved(self.owner, sorted(idle))
            self.beat.drop(idle)

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

    def _start(self, transfer: Transfer, earlier: Result | None = None) -> None:
        """Give a file to a thread; the lane hears of its end whatever happens."""
        self.active.add(transfer.job.version_id)
        if earlier is None:
            future = self.files.submit(transfer.read)
        else:
            future = self.files.submit(transfer.again, transfer.job.attempt + 1, earlier)
        future.add_done_callback(lambda done: self.results.put((transfer, done)))

    def _collect(self) -> list[tuple[Transfer, Result]]:
        """Results that are there, at most a batch; waits a moment for the first."""
        got: list[tuple[Transfer, Result]] = []
        deadline = time.monotonic() + COMMIT_S
        while len(got) < BATCH and self.active:
            left = deadline - time.monotonic() if got else LOOK_S
            try:
                transfer, future = self.results.get(timeout=max(left, 0.001))
            except queue.Empty:
                break
            self.active.discard(transfer.job.version_id)
            if future.exception() is not None:
                transfer.close()
            got.append((transfer, future.result()))
        return got

    def _settle(self, got: list[tuple[Transfer, Result]]) -> None:
        if not got:
            return
        for transfer, result in got:
            if isinstance(result.error, ConfigurationError):
                self._source_error = result.error
            if not self._park(transfer, result):
                transfer.close()
        parked = self.parking.ids()
        self.settlement.write([result for _, result in got], parked)
        self.beat.drop({transfer.job.version_id for transfer, _ in got} - parked)
        for _, result in got:
            for destination_id, error in result.failed.items():
                if isinstance(error, ConfigurationError):
                    self.stores.pop(destination_id, None)

    def _park(self, transfer: Transfer, result: Result) -> bool:
        """Keep the spool for another try at what failed, if that is of use and there is room."""
        if not result.failed:
            return False
        outcome = settle.decide(result)
        hopeless = outcome.blocked or outcome.given_up
        if hopeless or not transfer.may_go_on() or not transfer.spool.spill():
            return False
        self.parking.add(Parked(transfer, result, time.monotonic() + outcome.wait_s))
        return True

    def _retry_parked(self) -> None:
        free = settings.FILES_IN_FLIGHT - len(self.active)
        for parked in self.parking.take_due(time.monotonic(), free):
            self._start(parked.transfer, parked.result)

    def _release_oldest(self) -> bool:
        """The spool is full and a reader waits: give up the longest-kept spool.

        Called from a file's thread; the beat gives the lease back.
        """
        parked = self.parking.take_oldest()
        if parked is None:
            return False
        parked.transfer.close()
        self.beat.give_back(parked.transfer.job.version_id, timezone.now() + timedelta(seconds=1))
        return True

    def _more_soon(self) -> bool:
        """Whether something of this source comes due while it is worth waiting for."""
        soonest = (
            Version.objects.filter(source_id=self.job_run.source_id, state=Version.State.PENDING)
            .order_by("due_at")
            .values_list("due_at", flat=True)
            .first()
        )
        if soonest is None or soonest > timezone.now() + LINGER:
            return False
        self.beat.wait(LOOK_S)
        return True

    def _close(self) -> None:
        """Settle what is in flight, then give back leases, threads and temporary space."""
        with ExitStack() as last_first:
            last_first.callback(self.budget.disk.close)
            last_first.callback(self.writers.shutdown)
            last_first.callback(self.beat.release_all)
            last_first.callback(self._drain)
            last_first.callback(self.files.shutdown)
        self.rates.tell(self.job_run, last=True)

    def _drain(self) -> None:
        """Settle what came in while the lane was ending; parked spools are given up."""
        while self.active:
            self._settle(self._collect())
        for parked in self.parking.take_all():
            parked.transfer.close()


def transfer(run: Run, lane: Lane, beat: Beat) -> None:
    """Work on a run's transfers, then end the run if nothing is left."""
    TransferLane(run, lane, beat).run()
    runs.finish_if_done(run)
