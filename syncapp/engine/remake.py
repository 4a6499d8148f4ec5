"""Large damaged copies are sent again, beside all other work of their source.

Nothing appears under a key here, so nobody has to be kept out for the days that it may take: parts
are sent as a backup sends them, each written down once the store has confirmed it (`uploads`), and
at last that all of it was read and found right. `heal` then only completes the object. After a
kill the version is read again, and only parts that the store has not confirmed are sent. A store
that can't go on with an upload leaves the copy to `heal` as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from syncapp.destinations.base import UPLOAD_LOST, Upload
from syncapp.destinations.base import Destination as Store
from syncapp.engine import copying, damage, mending, runs, uploads
from syncapp.engine.beat import Beat
from syncapp.engine.copying import Wanted
from syncapp.engine.feed import SENDERS, Begun, Gone, Note, Recorded, Sent, Whole, retrying
from syncapp.engine.fetch import Reading, locate
from syncapp.engine.heal import keys_for
from syncapp.engine.origins import Origins
from syncapp.engine.readback import Sites
from syncapp.engine.transfer import part_size
from syncapp.errors import BackupError, IntegrityError, PermanentError
from syncapp.models import Lane, Run
from syncapp.types import Part

HANDS = 2  # copies at once, each with at most SENDERS parts in memory and one being read
NOTE_S = 0.25


@dataclass
class _Job:
    """One large damaged copy."""

    copy_id: int
    destination_id: int
    wanted: Wanted
    reading: Reading
    recorded: Recorded | None
    part_bytes: int


def remake(run: Run, lane: Lane, beat: Beat) -> None:
    """One lane; hands over to the healing, or returns early when told to stop."""
    if _Remaking(run, beat).run():
        runs.move_on(run, Run.Stage.REMAKE, Run.Stage.HEAL)


class _Remaking:
    """One lane's work."""

    def __init__(self, run: Run, beat: Beat) -> None:
        self.of_run, self.beat = run, beat
        self.sites = Sites(run, beat)
        self.origins = Origins()
        self._notes: deque[Note] = deque()

    def run(self) -> bool:
        """Send copy after copy; False when the lane is to stop before the end."""
        last = 0
        with ThreadPoolExecutor(HANDS, "remake") as pool:
            while rows := self._rows(last):
                if not self.beat.may_take():
                    return False
                last = rows[-1]
                jobs = self._jobs(rows)
                self._wait([pool.submit(self._bring, job) for job in jobs])
                damage.note([one for job in jobs for one in job.reading.damages], self.of_run)
        return not self.beat.halted()

    def _rows(self, after: int) -> list[int]:
        rows = mending.large(self.of_run.source_id).filter(
            pk__gt=after, destination_id__in=self.sites.up
        )
        return list(rows.order_by("pk").values_list("pk", flat=True)[:HANDS])

    def _jobs(self, rows: Sequence[int]) -> list[_Job]:
        """Those that another destination has, and that were not sent whole before."""
        copies = list(
            mending.large(self.of_run.source_id).filter(pk__in=rows).select_related("version__file")
        )
        stored = locate([copy.version_id for copy in copies])
        self.origins.load(p.destination_id for found in stored.values() for p in found.places)
        recorded, keys = uploads.recorded(rows), keys_for(copies)
        jobs = []
        for copy in copies:
            old, key = recorded.get(copy.pk), keys[copy.pk]
            if copy.version_id not in stored or (old and old.whole_from and old.key == key):
                continue
            limits = self.sites.stores[copy.destination_id].limits
            wanted = Wanted.of(copy.version, key)
            jobs.append(
                _Job(
                    copy.pk,
                    copy.destination_id,
                    wanted,
                    Reading(stored[copy.version_id], self.origins),
                    old,
                    part_size(wanted.digest.size, [limits]),
                )
            )
        return jobs

    def _wait(self, futures: Sequence[Future[None]]) -> None:
        """Write down what is confirmed, until all have ended."""
        while wait(futures, NOTE_S).not_done:
            self._write()
            self.beat.raise_if_lost()
        self._write()
        for future in futures:
            future.result()

    def _write(self) -> None:
        uploads.write([self._notes.popleft() for _ in range(len(self._notes))])

    def _bring(self, job: _Job) -> None:
        """One copy, in a thread without the database. What fails is left damaged, and said so."""
        try:
            self._send(job)
        except BackupError as error:
            self.sites.answered(job.destination_id, error)
        else:
            self.sites.answered(job.destination_id)

    def _send(self, job: _Job) -> None:
        upload = self._begin(job)
        if upload is None:
            return
        try:
            self._fill(job, upload)
        except BackupError as error:
            if isinstance(error, IntegrityError | PermanentError) or error.code == UPLOAD_LOST:
                self._notes.append(Gone(job.copy_id, upload.id))
                upload.abort()
            raise
        finally:
            upload.suspend()

    def _begin(self, job: _Job) -> Upload | None:
        """The upload, gone on with where there is one; None if the store can't go on with any."""
        store: Store = self.sites.stores[job.destination_id]
        old, wanted = job.recorded, job.wanted
        if old is not None and (old.key, old.part_bytes) == (wanted.key, job.part_bytes):
            resumed = retrying(lambda: old.resume(store, wanted.meta), self.beat.halt)
            if resumed is not None:
                return resumed
        upload = retrying(
            lambda: store.start_upload(wanted.key, wanted.meta, part_size=job.part_bytes),
            self.beat.halt,
        )
        if not upload.id:
            upload.abort()
            return None
        self._notes.append(Begun(job.copy_id, wanted.key, upload.id, job.part_bytes))
        return upload

    def _fill(self, job: _Job, upload: Upload) -> None:
        """Send what is lacking; from another origin if one turns out wrong in its middle."""
        while True:
            known = len(job.reading.damages)
            try:
                self._send_parts(job, upload)
                break
            except IntegrityError:
                if len(job.reading.damages) == known:
                    raise
        origin = self.origins.name(job.reading.origin_id or 0)
        self._notes.append(Whole(job.copy_id, upload.id, origin))

    def _send_parts(self, job: _Job, upload: Upload) -> None:
        under_way: deque[Future[None]] = deque()
        with ThreadPoolExecutor(SENDERS, "remake-part") as pool:
            for part in copying.parts_of(copying.counted(self.sites, job.reading), job.part_bytes):
                if upload.has(part):
                    continue
                if len(under_way) == SENDERS:
                    under_way.popleft().result()
                under_way.append(pool.submit(self._send_part, job, upload, part))
            for sent in under_way:
                sent.result()

    def _send_part(self, job: _Job, upload: Upload, part: Part) -> None:
        self.sites.send(job.destination_id, part.size)
        retrying(lambda: upload.send(part), self.beat.halt)
        self._notes.append(Sent(job.copy_id, upload.id, upload.sent[part.number]))
