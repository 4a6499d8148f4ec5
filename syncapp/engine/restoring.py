"""Restores: asking for one, its stage, what it waits for, its end. What people and commands call.

A restore is a run of its own kind; a source may have several at once, also while it is paused or
being backed up. A target that needs a person (full disk, missing rights) pauses the run with the
reason, and it goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Min, Sum
from django.utils import timezone

from accounts.models import User
from syncapp.engine import record, restorable, restore_folders, runs, targets
from syncapp.engine.beat import Beat
from syncapp.engine.restore_lane import RestoreLane
from syncapp.engine.restore_plan import NOT_STORED, never_stored, plan
from syncapp.engine.sets import chunks
from syncapp.errors import BackupError, ConfigurationError, Interrupted
from syncapp.models import Destination, Event, File, Lane, Restore, RestoreItem, Run, Source
from syncapp.restore_targets.base import Target
from syncapp.types import JsonObject
from syncapp.words import counted

log = logging.getLogger(__name__)
UNFINISHED = [RestoreItem.State.PENDING, RestoreItem.State.THAWING]
FAILED = "files_failed"
_THAWING = "restore_thawing"


def request_restore(
    source: Source,
    *,
    target: str,
    options: JsonObject | None = None,
    files: Sequence[int] = (),
    at: datetime | None = None,
    by: User | None = None,
    prefer: str = Restore.Prefer.FASTEST,
    origin: Destination | None = None,
    collision: str = Restore.Collision.SKIP,
    convert: bool = False,
    permissions: bool = False,
) -> Run:
    """A new run that restores; ConfigurationError says what is wrong with the wish.

    `files` are ids of files and folders, () is everything; `at` the moment whose state is wanted,
    None the latest. `options` by target: `path` (folder); `destination` and `prefix`, which gets
    below `restored/` (destination); `account` and `folder`, if not the source's own and a dated one
    (drive). `origin` is for `prefer` "named".
    """
    check_origin(source, prefer, origin)
    _check_files(source, files)
    kept = targets.check(source, target, options or {}, by)
    restorable.check(source, files, at)
    with transaction.atomic():
        run = Run.objects.create(source=source, kind=Run.Kind.RESTORE, requested_by=by)
        Restore.objects.create(
            run=run,
            files=list(files),
            at=at,
            target=target,
            options=kept,
            prefer=prefer,
            origin=origin,
            collision=collision,
            convert=convert,
            permissions=permissions,
        )
    record.changed(source, run)
    return run


def check_origin(source: Source, prefer: str, origin: Destination | None) -> None:
    """ConfigurationError if it can't be read from there."""
    if (prefer == Restore.Prefer.NAMED) != (origin is not None):
        raise ConfigurationError("Name the destination to restore from, or let it be chosen.")
    if origin is not None and origin.owner_id != source.owner_id:
        raise ConfigurationError("Destination: choose one of your own.")


def _check_files(source: Source, files: Sequence[int]) -> None:
    known = sum(
        File.objects.filter(source=source, pk__in=some).count() for some in chunks(set(files), 500)
    )
    if known != len(set(files)):
        raise ConfigurationError("A chosen file is not there any more. Choose again.")


def cancel(run: Run) -> bool:
    """End a restore now. What is restored stays, what was half written goes; False if it is over.

    A lane at work takes away its own unfinished files; where there is none, this does.
    """
    if not runs.cancel(run):
        return False
    at_work = Lane.objects.filter(run=run, ended_at__isnull=True).exclude(owner="")
    wish = Restore.objects.filter(run=run).first()
    if wish is not None and not at_work.exists():
        try:
            targets.end(wish, targets.target_for(wish))
        except BackupError as error:
            log.warning("restore.not_tidied run=%d code=%s", run.pk, error.code)
    return True


def wants_lane(run: Run) -> bool:
    """Whether a lane would find something to do now: plan, bring something, or end the run."""
    wish = Restore.objects.filter(run=run).first()
    if wish is None or wish.planned_at is None:
        return True
    rest = RestoreItem.objects.filter(restore=wish, state__in=UNFINISHED)
    return rest.filter(due_at__lte=timezone.now()).exists() or not rest.exists()


def restore(run: Run, lane: Lane, beat: Beat) -> None:
    """Plan what was asked for, bring it back, and end the run when nothing is left."""
    wish = Restore.objects.filter(run=run).first()
    if wish is None:
        runs.fail(run, BackupError("Nobody knows any more what was to be restored."))
        return
    try:
        target = targets.begin(wish, beat.halted)
    except ConfigurationError as error:
        runs.pause_run(run, error)
        return
    if not plan(run, wish, beat):
        return
    worker = RestoreLane(run, wish, target, beat)
    worker.work()
    if Run.objects.filter(pk=run.pk, ended_at__isnull=False).exists():
        targets.end(wish, target)  # cancelled
    elif worker.stopped_by is not None:
        runs.pause_run(run, worker.stopped_by)
    elif not wish.items.filter(state__in=UNFINISHED).exists():
        _finish(run, wish, target, beat)
    else:
        _tell_thawing(run)


def _finish(run: Run, wish: Restore, target: Target, beat: Beat) -> None:
    """Folders last; then the restore has ended."""
    finished = False
    try:
        finished = restore_folders.finish(wish, target, beat)
    except Interrupted:
        pass  # the next lane goes on, unless the run was cancelled
    except ConfigurationError as error:
        runs.pause_run(run, error)
        return
    if finished:
        targets.end(wish, target)
        _end(run, wish)
    elif Run.objects.filter(pk=run.pk, ended_at__isnull=False).exists():
        targets.end(wish, target)


def _end(run: Run, wish: Restore) -> None:
    """Count from the items, which are the truth, and say how it went."""
    found = {
        state: (number, size or 0)
        for state, number, size in wish.items.values_list("state")
        .annotate(number=Count("pk"), size=Sum("size"))
        .order_by()
    }
    states = RestoreItem.State
    done, size = found.get(states.DONE, (0, 0))
    there, _ = found.get(states.THERE, (0, 0))
    left, _ = found.get(states.SKIPPED, (0, 0))
    lacking, _ = found.get(states.FAILED, (0, 0))
    absent = never_stored(wish)
    failed = lacking - absent
    Run.objects.filter(pk=run.pk).update(
        files_done=done,
        files_there=there,
        files_skipped=left,
        files_failed=failed,
        files_refused=absent,
        bytes_done=size,
    )
    folders = wish.items.filter(state=states.DONE, version__isnull=True).count()
    brought = counted(done - folders, "file")
    brought += f" and {counted(folders, 'empty folder')}" if folders else ""
    parts = [f"{brought} restored, each byte as it was backed up"]
    parts += [f"{there:,} there already, byte for byte the same"] * bool(there)
    parts += [f"{left:,} left alone, where something else has the name"] * bool(left)
    parts += [f"{absent:,} had never been stored"] * bool(absent)
    if failed:
        parts.append(f"{failed:,} could not be restored: the report tells each with its reason")
        runs.fail(run, _FilesFailed(f"{'; '.join(parts)}."))
    else:
        outcome = Run.Outcome.WARNINGS if absent or left else Run.Outcome.OK
        runs.complete(run, f"{'; '.join(parts)}.", outcome=outcome)


class _FilesFailed(BackupError):
    """Ends a restore that could not bring back everything."""

    code = FAILED


def retry(run: Run) -> int:
    """Let a restore that has ended try again, in the same place, what failed; how many items.

    What was restored stays as it is; what was never stored is not tried.
    """
    failed = RestoreItem.objects.filter(restore__run=run, state=RestoreItem.State.FAILED).exclude(
        error_code=NOT_STORED, version__isnull=True
    )
    with transaction.atomic():
        number = failed.update(
            state=RestoreItem.State.PENDING,
            due_at=timezone.now(),
            attempts=0,
            error_code="",
            error_message="",
        )
        over = Run.objects.filter(pk=run.pk, kind=Run.Kind.RESTORE, ended_at__isnull=False)
        if not number or not over.update(
            ended_at=None,
            stage=Run.Stage.RESTORE,
            outcome=Run.Outcome.RUNNING,
            paused=False,
            retry_at=None,
            faults=0,
            error_code="",
            error_message="",
            files_failed=F("files_failed") - number,
        ):
            transaction.set_rollback(True)
            return 0
        restore_folders.again(run.restore)
    record.mended(run.source.owner, "run_failed", run=run)
    record.changed(run.source, run)
    return number


def waits_for(run: Run) -> str:
    """What a restore under way is waiting for, as a sentence; "" for nothing."""
    rest = RestoreItem.objects.filter(restore__run=run, state__in=UNFINISHED)
    now = timezone.now()
    if rest.filter(due_at__lte=now).exists():
        return ""
    told = []
    for state, what in (
        (RestoreItem.State.THAWING, "being retrieved from cold storage"),
        (RestoreItem.State.PENDING, "not read or placed yet, tried again"),
    ):
        some = rest.filter(state=state).aggregate(files=Count("pk"), at=Min("due_at"))
        if some["files"]:
            at = timezone.localtime(some["at"])
            told.append(f"{counted(some['files'], 'file')} {what}; the next look is at {at:%H:%M}.")
    return " ".join(told)


def _tell_thawing(run: Run) -> None:
    """Once a run: why it takes hours."""
    thawing = RestoreItem.objects.filter(restore__run=run, state=RestoreItem.State.THAWING)
    if not thawing.exists() or Event.objects.filter(run=run, code=_THAWING).exists():
        return
    record.event(
        run.source.owner,
        _THAWING,
        f"{run.source.name}: {counted(thawing.count(), 'file')} in cold storage, asked "
        "back, which takes hours; the restore goes on by itself.",
        source=run.source,
        run=run,
    )


def restores_of(source: Source | None = None) -> Any:
    """Restores, the newest first, of one source or of all."""
    rows = Restore.objects.filter(run__kind=Run.Kind.RESTORE)
    rows = rows.filter(run__source=source) if source else rows
    return rows.select_related("run__source__owner", "origin").order_by("-pk")
