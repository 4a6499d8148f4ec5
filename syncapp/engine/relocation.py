"""A batch of moves at one destination. One copy's way, each step safe to die after (the key that
is not `object_key` stands in `old_key` all the while):

    1. old_key = the new key           written down before the store has anything under it
    2. copied by the store             size and checksum held against the catalog
    3. object_key and old_key swapped  from here on the copy lies under the new key
    4. the old object removed          in a store with versions for good, that very version; what
                                       older ones lie there stays, out of sight
    5. old_key = ""

Whatever step a lane died after: the next one frees `old_key` first, then asks what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from syncapp.destinations.base import Destination as Store
from syncapp.engine import keys, wishes
from syncapp.engine.beat import Beat
from syncapp.engine.ledger import Ledger
from syncapp.engine.move_order import Order, Step
from syncapp.engine.sites import NotAsked, Site
from syncapp.engine.wishes import Batch, Row
from syncapp.errors import (
    BackupError,
    IntegrityError,
    NotFound,
    ObjectLocked,
    PermanentError,
)
from syncapp.types import ObjectInfo


@dataclass
class Outcome:
    """What became of a batch at one destination: files by id."""

    moved: set[int] = field(default_factory=set)
    undone: set[int] = field(default_factory=set)  # due again
    given_up: set[int] = field(default_factory=set)  # their copies stay where they are
    lost: set[int] = field(default_factory=set)  # their copies were not there: made anew
    again: bool = False  # some keys will be free in another pass


class Relocation:
    """One destination's share of a lane."""

    def __init__(self, site: Site, ledger: Ledger, beat: Beat) -> None:
        self.site, self.ledger, self.beat = site, ledger, beat

    def free(self, source_id: int) -> None:
        """Finish what earlier lanes began: remove what lies under second keys."""
        for rows, taken in wishes.second_keys(source_id, self.site.destination_id):
            self.beat.raise_if_lost()
            answers = self.site.each(
                partial(_free, self.site.store, row, of_another=row.pk in taken) for row in rows
            )
            answered = zip(rows, answers, strict=True)
            self.ledger.freed([(row.pk, row.old_key) for row, answer in answered if answer is None])

    def carry_out(self, batch: Batch) -> Outcome:
        """The whole batch, wave by wave."""
        outcome, here = Outcome(), self.site.destination_id
        self._clear_leftovers(batch.leftovers.get(here, []), outcome)
        self._hide(batch.stale.get(here, []), outcome)
        some = batch.wishes.get(here, [])
        order = Order(some, batch.held.get(here, {}), _form(self.site.store))
        versions = {wish.copy_id: batch.rows[wish.copy_id].store_version for wish in some}
        while steps := order.wave():
            self.beat.raise_if_lost()
            self._make(batch, order, steps, versions, outcome)
        waiting = {batch.rows[pk].file_id for pk in order.unfulfilled}
        outcome.undone |= waiting
        outcome.again = bool(waiting)
        return outcome

    def _make(
        self,
        batch: Batch,
        order: Order,
        steps: Sequence[Step],
        versions: dict[int, str],
        outcome: Outcome,
    ) -> None:
        """One wave: moves that are independent of each other."""
        reserved = self.ledger.reserve(steps)
        for step in steps:
            if step.copy_id not in reserved:
                order.failed(step)
                outcome.undone.add(batch.rows[step.copy_id].file_id)
        steps = [step for step in steps if step.copy_id in reserved]
        store, before = self.site.store, dict(versions)
        answers = self.site.each(
            partial(_copy, store, step, batch.rows[step.copy_id], versions[step.copy_id])
            for step in steps
        )
        made: list[tuple[Step, ObjectInfo]] = []
        refused: list[tuple[Step, BackupError]] = []
        for step, answer in zip(steps, answers, strict=True):
            if isinstance(answer, ObjectInfo):
                made.append((step, answer))
                versions[step.copy_id] = answer.version_id
            else:
                refused.append((step, answer))
                order.failed(step)
        self._give_up(batch, refused, outcome)
        swapped = self.ledger.swap(made, before)
        left = [step for step, _ in made if step.copy_id in swapped]
        removed = self.site.each(
            partial(_remove, store, step.here, before[step.copy_id]) for step in left
        )
        free = {s.copy_id for s, gone in zip(left, removed, strict=True) if gone is None}
        self.ledger.freed([(step.copy_id, step.here) for step in left if step.copy_id in free])
        for step, _ in made:
            order.done(step, freed=step.copy_id in free)
            if step.last:
                outcome.moved.add(batch.rows[step.copy_id].file_id)

    def _give_up(
        self, batch: Batch, refused: Sequence[tuple[Step, BackupError]], outcome: Outcome
    ) -> None:
        """Moves that were not made: lost objects are made anew, the rest is tried by the next run
        unless the store will never take the key."""
        lost = []
        for step, error in refused:
            file_id = batch.rows[step.copy_id].file_id
            if isinstance(error, NotFound | IntegrityError):
                lies = isinstance(error, IntegrityError)
                code = "checksum_mismatch" if lies else "missing"
                lost.append((step.copy_id, step.here, code, lies))
                outcome.lost.add(file_id)
            elif isinstance(error, PermanentError):
                outcome.given_up.add(file_id)
            else:
                outcome.undone.add(file_id)
        # What was not even asked for, or was refused outright, left nothing under the new key.
        unmade = [(s.copy_id, s.to) for s, error in refused if _made_nothing(error)]
        if unmade:
            self.ledger.freed(unmade)
        if lost:
            self.ledger.lost(lost)

    def _clear_leftovers(self, rows: Sequence[Row], outcome: Outcome) -> None:
        """Copies that were never stored, but perhaps sent by a worker that died: note what lies
        there, so that it is removed once the copy is stored under its new key."""
        if not rows:
            return
        taken = wishes.lain_by_others(rows)
        answers = self.site.each(
            partial(_lies, self.site.store, row.object_key, of_another=row.pk in taken)
            for row in rows
        )
        known = []
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, BackupError):
                outcome.undone.add(row.file_id)
            else:
                known.append((row.pk, row.object_key, answer))
        self.ledger.not_begun(known)

    def _hide(self, rows: Sequence[Row], outcome: Outcome) -> None:
        """Old versions that their store still shows under a name that is gone."""
        answers = self.site.each(partial(_hide, self.site.store, row) for row in rows)
        for row, answer in zip(rows, answers, strict=True):
            if answer is not None:
                outcome.undone.add(row.file_id)


def _form(store: Store) -> Callable[[str], str]:
    """Some file systems can't tell names apart that differ in case or Unicode form: there a move
    between such names goes by a third one, or it would remove what it has just written."""
    return (lambda key: key) if store.exact_keys else keys.fold


def _copy(store: Store, step: Step, row: Row, version_id: str) -> ObjectInfo:
    """Copy within the store; IntegrityError, with nothing left, if it is not what was stored."""
    info = store.copy(step.here, step.to, version_id=version_id, size=row.size)
    if not _is_right(info, row):
        store.delete(step.to)
        raise IntegrityError(f"“{step.here}” is not as it was stored: its copy differs.")
    return info


def _is_right(info: ObjectInfo, row: Row) -> bool:
    """As far as the store vouches for it."""
    wrong_md5 = info.md5 is not None and row.md5 != "" and info.md5 != row.md5
    return not wrong_md5 and row.size in (None, info.size)


def _made_nothing(error: BackupError) -> bool:
    return isinstance(error, NotAsked) or (
        isinstance(error, PermanentError) and not isinstance(error, NotFound)
    )


def _free(store: Store, row: Row, *, of_another: bool) -> None:
    """Remove what lies under the second key, after seeing that the first has the right bytes."""
    if of_another or row.old_key == row.object_key:
        return
    lies = store.head(row.old_key, version_id=row.old_store_version)
    if lies is None:
        return
    stands = store.head(row.object_key, version_id=row.store_version)
    if stands is None or not _is_right(stands, row):
        raise IntegrityError(
            f"“{row.object_key}” is not as it was stored; “{row.old_key}” is kept."
        )
    if row.old_store_version:
        _remove(store, row.old_key, row.old_store_version)
    else:
        store.delete(row.old_key, version_id=lies.version_id)


def _remove(store: Store, key: str, version_id: str) -> None:
    """What lay there before: out of sight with all that is older, and that version for good.

    What a lock protects stays until it is over; nothing needs it any more.
    """
    store.delete(key)
    if version_id:
        with suppress(ObjectLocked):
            store.delete(key, version_id=version_id)


def _lies(store: Store, key: str, *, of_another: bool) -> bool:
    return not of_another and store.head(key) is not None


def _hide(store: Store, row: Row) -> None:
    """A delete marker over it; only if it is what the store shows. It stays reachable by its id."""
    shown = store.head(row.object_key)
    if shown is not None and shown.version_id == row.store_version:
        store.delete(row.object_key)
