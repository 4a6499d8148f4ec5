"""The prune lane: removes for good what has been in the trash for long enough, and the versions
that retention lets go.

Each batch of files is judged inside the transaction that lets its copies go, with the files held,
so that nothing comes back unseen in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from syncapp.engine import marks, prunable, record, remove, runs, settle
from syncapp.engine.beat import Beat
from syncapp.engine.remove import Remover
from syncapp.errors import Unavailable
from syncapp.models import Copy, Destination, Event, File, Lane, RestoreItem, Run, Version
from syncapp.types import Content
from syncapp.words import counted

_FOLDER = Q(content=Content.FOLDER)


def prune(run: Run, lane: Lane, beat: Beat) -> None:
    """Prune the source, then end the run; returns early when told to stop."""
    terms = prunable.Terms.of(run.source)
    with Remover(run, beat) as remover:
        remover.finish()
        for file_ids in prunable.batches(terms):
            if not beat.may_take() or prunable.restore_is_being_planned(run.source):
                break
            if _release(terms, file_ids, beat):
                remover.finish()
        if not beat.may_take():
            return
        _forget(terms, beat)
    _end(run, terms, remover)


def _release(terms: prunable.Terms, file_ids: Sequence[int], beat: Beat) -> int:
    with transaction.atomic():
        beat.fence()
        # Whoever finds one changed or back at the source waits for us, or we for him.
        held = File.objects.select_for_update().filter(pk__in=file_ids).order_by("pk")
        found = prunable.judge(terms, list(held.values_list("pk", flat=True)))
        going = [one.copy_id for one in found if one.locked_until is None]
        return remove.release(Copy.objects.filter(pk__in=going, old_key=""))


def _forget(terms: prunable.Terms, beat: Beat) -> None:
    """Rows of what is gone for long and of which nothing is stored; folders once they are empty."""
    _forget_some(terms, beat, ~_FOLDER)
    while _forget_some(terms, beat, _FOLDER):
        pass


def _forget_some(terms: prunable.Terms, beat: Beat, content: Q) -> int:
    count = 0
    for ids in prunable.forgettable(terms, content):
        if not beat.may_take():
            break
        with transaction.atomic():
            beat.fence()
            held = File.objects.select_for_update().filter(pk__in=ids).order_by("pk")
            gone = held.filter(Q(vanished_at__isnull=False) | Q(trashed_at__isnull=False))
            still = list(gone.values_list("pk", flat=True))
            versions = Version.objects.filter(file__in=still)
            remove.forget_versions(versions.values_list("pk", flat=True))
            # Google still lists what is in its trash; that row is needed.
            dead = File.objects.filter(pk__in=still, vanished_at__isnull=False).exclude(
                pk__in=versions.values("file")
            )
            RestoreItem.objects.filter(file__in=dead).update(file=None)
            count += dead.delete()[0]
    return count


def _end(run: Run, terms: prunable.Terms, remover: Remover) -> None:
    run.refresh_from_db()
    for pk, told in remover.told.items():
        if isinstance(told.error, marks.OtherInstallation):
            settle.block_destination(pk, told.error, run)
    left = [(pk, told) for pk, told in remover.told.items() if told.undone or told.error]
    if left:
        names = dict(Destination.objects.values_list("pk", "name"))
        undone = remove.released(run.source_id).count()
        pk, told = left[0]
        reason = f"{names[pk]}: {told.error.message}" if told.error else names[pk]
        code = told.error.code if told.error else "not_removed"
        runs.fail(
            run,
            Unavailable(
                f"{counted(undone, 'copy', 'copies')} could not be removed yet. {reason}", code=code
            ),
        )
        return
    _tell_locked(run, remover)
    runs.complete(run, _summary(run, terms))


def _summary(run: Run, terms: prunable.Terms) -> str:
    if terms.as_of is None:
        return "Nothing is removed before a first good backup."
    parts = [f"{counted(run.files_done, 'copy', 'copies')} removed."]
    if run.files_skipped:
        parts.append(f"Protected by their stores: {run.files_skipped:,}.")
    if prunable.restore_is_being_planned(run.source):
        parts.append("The rest is left until a restore has been planned.")
    stale = timezone.now() - terms.as_of
    if stale.days >= 1:
        parts.append(f"Judged as of the last good backup, {terms.as_of:%Y-%m-%d %H:%M} UTC.")
    return " ".join(parts)


def _tell_locked(run: Run, remover: Remover) -> None:
    """Not a fault: what a lock protects goes when that is over."""
    for pk, told in remover.told.items():
        if told.locked:
            where = Destination.objects.get(pk=pk)
            record.event(
                run.source.owner,
                "copies_protected",
                f"{where.name}: the store protects {counted(told.locked, 'copy', 'copies')} of "
                f"{run.source.name}{_until(told.locked_until)}; what it protects goes after that.",
                level=Event.Level.INFO,
                source=run.source,
                destination=where,
                run=run,
            )


def _until(moment: datetime | None) -> str:
    """When the first of them is free."""
    return f", the first until {moment:%Y-%m-%d %H:%M} UTC" if moment else ""
