"""Damaged copies are made anew from another destination's good one.

Also of old versions, and of files that are in the trash or gone: of those Google has nothing any
more. What no other destination has, a backup makes anew from Google if it is a file's present
content; else it is lost, and that is said. While a lane heals, no lane moves, transfers, prunes or
erases for the same source (`dispatch`): they write under the same keys. Those go first.

The key is written down before bytes are sent. The copy's own key is kept, whatever lies there now
(in a bucket that keeps versions it becomes an older one), but never one that another copy takes;
what is gone at the source goes to the trash, and an old version never lies openly over its file.
Large ones were sent before (`remake`) and are only completed here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from syncapp.engine import copying, damage, findings, keys, leftovers, marks, mending, uploads
from syncapp.engine.beat import SHARE_S, Beat
from syncapp.engine.copying import Wanted
from syncapp.engine.feed import Gone, Recorded, retrying
from syncapp.engine.fetch import Reading, locate
from syncapp.engine.folders import Folders
from syncapp.engine.occupied import holders
from syncapp.engine.origins import Origins
from syncapp.engine.readback import Sites
from syncapp.engine.sets import update_many
from syncapp.engine.sites import Site
from syncapp.errors import BackupError
from syncapp.models import Copy, Finding, Lane, Run
from syncapp.types import ObjectInfo

log = logging.getLogger(__name__)
HANDS = 2
BATCH = 32


@dataclass
class _Plan:
    """One damaged copy, where it will lie, and what it is made from."""

    copy: Copy
    wanted: Wanted
    reading: Reading | None  # None: no destination has it
    recorded: Recorded | None = None  # a large one's upload

    @property
    def is_sent(self) -> bool:
        """Whether all of it lies there already, to be completed only."""
        recorded = self.recorded
        return bool(recorded and recorded.whole_from and recorded.key == self.wanted.key)

    @property
    def is_on_its_way(self) -> bool:
        """Whether a part of it was sent: the next verification goes on with that."""
        recorded = self.recorded
        return bool(recorded and not recorded.whole_from and recorded.key == self.wanted.key)

    @property
    def can_be_made(self) -> bool:
        return self.is_sent or (self.reading is not None and not self.is_on_its_way)


def heal(run: Run, lane: Lane, beat: Beat) -> None:
    """One lane; ends the run when nothing more can be healed, returns early when told to stop."""
    if _Healing(run, beat).run():
        mending.end(run)


class _Healing:
    """One lane's work."""

    def __init__(self, run: Run, beat: Beat) -> None:
        self.of_run, self.beat = run, beat
        self.sites = Sites(run, beat)
        self.origins = Origins()
        self._until = time.monotonic() + SHARE_S

    def run(self) -> bool:
        """Heal batch after batch; False when the lane is to stop before the end."""
        last = 0
        with ThreadPoolExecutor(HANDS, "heal") as pool:
            while batch := self._batch(last):
                if not self._may_go_on():
                    return False
                last = batch[-1].copy.pk
                self._intend(batch)
                self._settle(batch, list(pool.map(self._make, batch)))
        return self._uncover() and self._clear() and not self.beat.halted()

    def _may_go_on(self) -> bool:
        self.beat.raise_if_lost()
        if time.monotonic() > self._until and mending.others_write(self.of_run.source_id):
            return False
        return self.beat.may_take()

    def _batch(self, after: int) -> list[_Plan]:
        rows = mending.damaged(self.of_run.source_id).filter(
            pk__gt=after, destination_id__in=self.sites.up
        )
        copies = list(rows.select_related("version__file").order_by("pk")[:BATCH])
        stored = locate([copy.version_id for copy in copies])
        self.origins.load(p.destination_id for found in stored.values() for p in found.places)
        wanted = keys_for(copies)
        recorded = uploads.recorded([copy.pk for copy in copies])
        return [
            _Plan(
                copy,
                Wanted.of(copy.version, wanted[copy.pk]),
                Reading(stored[copy.version_id], self.origins)
                if copy.version_id in stored
                else None,
                recorded.get(copy.pk),
            )
            for copy in copies
        ]

    def _intend(self, batch: Sequence[_Plan]) -> None:
        """The keys, written down before anything is sent there."""
        rows = [
            (plan.wanted.key, plan.copy.pk, Copy.State.DAMAGED, plan.copy.object_key)
            for plan in batch
            if plan.can_be_made and plan.wanted.key != plan.copy.object_key
        ]
        with transaction.atomic():
            self.beat.fence()
            left = Copy.objects.filter(pk__in=[pk for _, pk, *_ in rows])
            leftovers.note(left, ["object_key"])
            update_many(Copy, ["object_key"], ["id", "state", "object_key"], rows)

    def _make(self, plan: _Plan) -> ObjectInfo | BackupError | None:
        """In a thread, without the database."""
        destination_id = plan.copy.destination_id
        if not plan.can_be_made or destination_id in self.sites.errors:
            return None
        try:
            info = self._complete(plan) if plan.is_sent else None
            if info is None and plan.reading is not None:
                info = copying.make(self.sites, plan.reading, plan.wanted, destination_id)
        except marks.OtherInstallation as error:
            self.sites.answered(destination_id, error)  # no more is read for it in vain
            return error
        except BackupError as error:
            return error
        self.sites.answered(destination_id)
        return info

    def _complete(self, plan: _Plan) -> ObjectInfo | None:
        """What was sent whole before appears; None if the store has forgotten any of it."""
        store, recorded = self.sites.stores[plan.copy.destination_id], plan.recorded
        if recorded is None:
            return None
        upload = recorded.resume(store, plan.wanted.meta)
        if upload is None:
            return None
        if sum(part.size for part in upload.sent.values()) != plan.wanted.digest.size:
            upload.abort()
            return None
        try:
            return retrying(lambda: upload.finish(plan.wanted.digest), self.beat.halt)
        finally:
            upload.suspend()

    def _settle(
        self, batch: Sequence[_Plan], answers: Sequence[ObjectInfo | BackupError | None]
    ) -> None:
        now, rows = timezone.now(), []
        by_origin: dict[str, list[int]] = {}
        for plan, answer in zip(batch, answers, strict=True):
            if not isinstance(answer, ObjectInfo):
                continue
            rows.append(
                (Copy.State.STORED, answer.version_id, answer.etag[:128], now, None, "", "",
                 plan.copy.pk, Copy.State.DAMAGED, plan.wanted.key)
            )  # fmt: skip
            by_origin.setdefault(self._origin(plan), []).append(plan.copy.pk)
        columns = ["state", "store_version", "etag", "stored_at", "verified_at", "error_code",
                   "error_message"]  # fmt: skip
        with transaction.atomic():
            self.beat.fence()
            update_many(Copy, columns, ["id", "state", "object_key"], rows)
            for name, copies in by_origin.items():
                stored = Copy.objects.filter(pk__in=copies, state__in=findings.STORED)
                findings.healed(self.of_run, list(stored.values_list("pk", flat=True)), name)
            uploads.write(
                Gone(plan.copy.pk, plan.recorded.upload_id)
                for plan, answer in zip(batch, answers, strict=True)
                if plan.recorded and isinstance(answer, ObjectInfo)
            )
        self._take_back(batch, answers)
        for plan in batch:
            if plan.reading is not None:
                damage.note(plan.reading.damages, self.of_run)

    def _origin(self, plan: _Plan) -> str:
        """The name of the destination that its bytes came from."""
        if plan.reading is not None and plan.reading.origin_id is not None:
            return self.origins.name(plan.reading.origin_id)
        return plan.recorded.whole_from if plan.recorded else ""

    def _take_back(
        self, batch: Sequence[_Plan], answers: Sequence[ObjectInfo | BackupError | None]
    ) -> None:
        """Objects whose copy was let go while they were made: nobody claims them."""
        made = {
            plan.copy.pk: (plan, answer)
            for plan, answer in zip(batch, answers, strict=True)
            if isinstance(answer, ObjectInfo)
        }
        claimed = Copy.objects.filter(pk__in=made, state__in=findings.STORED)
        for pk in made.keys() - set(claimed.values_list("pk", flat=True)):
            plan, info = made[pk]
            store = self.sites.stores[plan.copy.destination_id]
            try:
                store.purge(plan.wanted.key, version_id=info.version_id)
            except BackupError as error:  # the next census reports it as foreign
                log.warning("heal.stray key=%r code=%s", plan.wanted.key, error.code)

    def _uncover(self) -> bool:
        """Put copies on top again that something else covers: the store copies within itself."""
        last = 0
        while found := list(
            mending.covered(self.of_run.source_id)
            .filter(pk__gt=last, destination_id__in=self.sites.up)
            .select_related("copy__version")
            .order_by("pk")[:BATCH]
        ):
            if not self._may_go_on():
                return False
            last = found[-1].pk
            for finding in found:
                self._lift(finding)
        return True

    def _clear(self) -> bool:
        """Remove what interrupted work left behind."""
        for pk in self.sites.up:
            if not self._may_go_on():
                return False
            with closing(Site(pk, self.sites.stores[pk], self.beat, HANDS)) as site:
                leftovers.clear(self.of_run, site, self.beat)
        return True

    def _lift(self, finding: Finding) -> None:
        copy = finding.copy
        if copy is None or not copy.store_version:
            return
        key, was = copy.object_key, copy.store_version
        try:
            store = self.sites.stores[copy.destination_id]
            info = store.copy(key, key, version_id=was, size=copy.version.size)
        except BackupError as error:
            self.sites.answered(copy.destination_id, error)
            return
        with transaction.atomic():
            self.beat.fence()
            match = ["id", "object_key", "store_version"]
            values = (info.version_id, info.etag[:128], copy.pk, key, was)
            update_many(Copy, ["store_version", "etag"], match, [values])
            findings.lifted(self.of_run, finding)


def keys_for(copies: Sequence[Copy]) -> dict[int, str]:
    """Where each copy is to lie: under its own key, if nobody else's copy does."""
    wanted = {copy.pk: _own_key(copy) for copy in copies}
    taken = holders(set(wanted.values()), {copy.destination_id for copy in copies})
    for copy in copies:
        there = taken.get((copy.destination_id, wanted[copy.pk]))
        if there is not None and there.pk != copy.pk:
            mark = f"{copy.version.file.remote_id} {copy.version.revision}"
            wanted[copy.pk] = keys.apart(wanted[copy.pk], mark)
    return wanted


def _own_key(copy: Copy) -> str:
    version, key = copy.version, copy.object_key
    if version.current:
        return _follow(copy)
    if not keys.is_in(keys.FILES, key):
        return key
    return keys.previous_key(key, version.revision, version.modified_at)


def _follow(copy: Copy) -> str:
    """A copy that was damaged when its file went to the trash, or came back, did not go along."""
    file, key = copy.version.file, copy.object_key
    gone_at = file.trashed_at or file.vanished_at
    if not keys.is_in(keys.TRASH if gone_at is None else keys.FILES, key):
        return key
    slug, above = key.partition("/")[0], Folders(file.source_id).components(file.parent_id)
    return keys.newest_key(slug, gone_at, above, file.key_name, file.remote_id)
