"""Beginning, pausing, retrying and ending runs. What people and commands call.

A source has at most one active run of a kind; whoever asks for another gets that one. Stages are
moved by compare-and-set, so it does not matter how many lanes find one finished.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError as DatabaseConflict
from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from accounts.models import User
from syncapp.engine import breakers, findings, record, segment_turns, wishes
from syncapp.engine.kinds import OF_ITS_OWN
from syncapp.engine.not_backed_up import refused_files
from syncapp.engine.planning import DESTINATION_BLOCKED, DESTINATION_DOWN, plan_versions
from syncapp.engine.sets import by_pk
from syncapp.errors import BackupError, ConfigurationError
from syncapp.models import Breaker, Copy, Event, Restore, Run, Source, Version, Worker
from syncapp.words import counted

# Stands in a run whose moves were put off; it does not end well.
NOT_MOVED = "files_not_moved"
RUN_PAUSED = "run_paused"
# Events that keep a run from ending green (`guard`).
EMPTIED, SHARP_DROP = "files_emptied", "sharp_drop"
GOOD = [Run.Outcome.OK, Run.Outcome.WARNINGS]
WORKER_SILENT_S = 15
LONGEST_REST = timedelta(hours=1)  # of a run after a failure
LONGEST_WAIT = timedelta(hours=8)  # of a file, whatever went wrong
LATER = timedelta(minutes=10)  # what is due no sooner is left to a later run


def request_backup(
    source: Source,
    *,
    by: User | None = None,
    trigger: Run.Trigger = Run.Trigger.PERSON,
    full: bool = False,
) -> tuple[Run, bool]:
    """A backup run of the source, and whether it is new; `full`: read the whole listing."""
    scan = Run.Scan.FULL if full else ""
    return _request(source, Run(kind=Run.Kind.BACKUP, requested_by=by, trigger=trigger, scan=scan))


def request_verify(
    source: Source,
    *,
    by: User | None = None,
    trigger: Run.Trigger = Run.Trigger.PERSON,
    everything: bool = False,
) -> tuple[Run, bool]:
    """A verification run of the source, and whether it is new.

    Everything is listed and compared; what is due is read back, or `everything`.
    """
    before = timezone.now() if everything else None
    run = Run(kind=Run.Kind.VERIFY, requested_by=by, trigger=trigger, read_before=before)
    return _request(source, run)


def request_prune(
    source: Source, *, by: User | None = None, trigger: Run.Trigger = Run.Trigger.PERSON
) -> tuple[Run, bool]:
    """A pruning run of the source, and whether it is new."""
    return _request(source, Run(kind=Run.Kind.PRUNE, requested_by=by, trigger=trigger))


def request_drill(
    source: Source,
    *,
    by: User | None = None,
    trigger: Run.Trigger = Run.Trigger.PERSON,
    files: int | None = None,
    cold: bool = False,
) -> tuple[Run, bool]:
    """A restore drill of the source, and whether it is new; `files` None: as the policy says.
    `cold`: also from cold storage, which costs (`cold_drill.stated`)."""
    run = Run(kind=Run.Kind.DRILL, requested_by=by, trigger=trigger)
    run, new = _request(source, run)
    if new:
        options = {"files": files} if files is not None else {}
        options |= {"from_cold": True} if cold else {}
        Restore.objects.get_or_create(
            run=run, defaults={"target": Restore.Target.SCRATCH, "options": options}
        )
    return run, new


def request_erase(source: Source, *, by: User | None = None) -> tuple[Run, bool]:
    """A run that erases; whether it is new. What it erases: `erase.request_erasure`."""
    return _request(source, Run(kind=Run.Kind.ERASE, requested_by=by))


def refuse_paused(source: Source) -> None:
    """ConfigurationError if the source is paused: what a person asks of it would only wait."""
    if source.paused:
        raise ConfigurationError(f"{source.name} is paused: resume it first.", code="source_paused")


def _request(source: Source, run: Run) -> tuple[Run, bool]:
    if run.trigger == Run.Trigger.PERSON and run.kind not in OF_ITS_OWN:
        refuse_paused(source)
    active = Run.objects.filter(source=source, kind=run.kind, ended_at__isnull=True)
    if found := active.first():
        return found, False
    run.source = source
    try:
        with transaction.atomic():
            run.save()
    except DatabaseConflict:  # somebody asked in the same moment, and theirs may be over by now
        return _request(source, run)
    record.changed(source, run)
    return run, True


def live_workers() -> QuerySet[Worker]:
    """Supervisors that have shown themselves lately."""
    since = timezone.now() - timedelta(seconds=WORKER_SILENT_S)
    return Worker.objects.filter(heartbeat_at__gte=since)


def worker_alive() -> bool:
    """Whether some host is at work."""
    return live_workers().exists()


def pause(source: Source) -> bool:
    """Stop taking up work; what is in flight is finished. False if it was paused already."""
    done = Source.objects.filter(pk=source.pk, paused=False).update(paused=True)
    if done:
        record.event(source.owner, "source_paused", f"{source.name} is paused.", source=source)
        record.changed(source)
    return bool(done)


def resume(source: Source) -> bool:
    """Go on. False if it was not paused."""
    done = Source.objects.filter(pk=source.pk, paused=True).update(paused=False)
    if done:
        record.event(source.owner, "source_resumed", f"{source.name} goes on.", source=source)
        record.changed(source)
    return bool(done)


def pause_run(run: Run, error: BackupError | None = None) -> bool:
    """Hold one run, not its source. `error` says what a person must do first; without, a person
    has asked for it. False if it was paused or over already."""
    told = {"error_code": error.code[:64], "error_message": error.message} if error else {}
    held = Run.objects.filter(pk=run.pk, paused=False, ended_at__isnull=True)
    if not held.update(paused=True, **told):
        return False
    what = f"{run.get_kind_display()} of {run.source.name}"
    reason = f"waits for you: {error.message}" if error else "is paused."
    level = Event.Level.ALERT if error else Event.Level.INFO
    record.event(
        run.source.owner, RUN_PAUSED, f"{what} {reason}", level=level, source=run.source, run=run
    )
    record.changed(run.source, run)
    return True


def resume_run(run: Run) -> bool:
    """Let a paused run go on where it was. False if it was not paused."""
    held = Run.objects.filter(pk=run.pk, paused=True, ended_at__isnull=True)
    if not held.update(paused=False, retry_at=None, error_code="", error_message=""):
        return False
    what = f"{run.get_kind_display()} of {run.source.name}"
    record.mended(run.source.owner, RUN_PAUSED, run=run)
    record.event(run.source.owner, "run_resumed", f"{what} goes on.", source=run.source, run=run)
    record.changed(run.source, run)
    return True


def cancel(run: Run) -> bool:
    """End a run now; what is stored stays, what is waiting waits for the next run."""
    return _end(run, Run.Outcome.CANCELLED, "cancelled", "Cancelled by a person.")


def retry_failed(
    source: Source, *, refused: bool = True, only: Collection[int] | None = None
) -> int:
    """Make what failed (and what Google refused) due again, from attempt 1; how many versions.

    `only` names versions by id; others of the source stay as they are.
    """
    states = [Version.State.FAILED, *([Version.State.REFUSED] if refused else [])]
    versions = Version.objects.filter(source=source, current=True, state__in=states)
    if only is not None:
        versions = versions.filter(pk__in=only)
    wanted = list(source.destinations.filter(enabled=True).values_list("pk", flat=True))
    count = 0
    for batch in by_pk(versions, size=500):
        count += _retry([pk for (pk,) in batch], states, wanted)
    return count


@transaction.atomic
def _retry(found: Sequence[int], states: Sequence[str], destinations: Sequence[int]) -> int:
    """Those of the versions found that nobody has replaced or taken up since."""
    still = Version.objects.filter(pk__in=found, current=True, state__in=states)
    ids = list(still.select_for_update(no_key=True).values_list("pk", flat=True))
    Copy.objects.filter(version__in=ids, state=Copy.State.FAILED).update(
        state=Copy.State.PENDING, error_code="", error_message=""
    )
    count = Version.objects.filter(pk__in=ids).update(
        state=Version.State.PENDING,
        attempts=0,
        leases=0,
        due_at=timezone.now(),
        error_code="",
        error_message="",
    )
    # What Google refused has no copies; a run that is under way would find nothing to make.
    present = Version.objects.filter(pk__in=ids, file__vanished_at__isnull=True)
    plan_versions(list(present.values_list("pk", flat=True)), destinations)
    return count


def move_on(run: Run, stage: str, to: str) -> bool:
    """Move the run from one stage to the next, once, whoever finds the first finished."""
    extra = {"transfer_started_at": timezone.now()} if to == Run.Stage.TRANSFER else {}
    moved = Run.objects.filter(pk=run.pk, stage=stage, ended_at__isnull=True).update(
        stage=to, **extra
    )
    if moved:
        record.changed(run.source, run)
    return bool(moved)


def finish_if_done(run: Run) -> bool:
    """End a transferring run when nothing waits but for what no run can hurry.

    That is: a stopped destination, a wait that Google has asked for, an outage that lasts.
    """
    waiting = Version.objects.filter(source_id=run.source_id, state=Version.State.PENDING)
    soon = timezone.now() + max(LATER, timedelta(seconds=settings.LEASE_SECONDS))
    held_up = Q(error_code__in=[DESTINATION_BLOCKED, DESTINATION_DOWN])
    if waiting.filter(due_at__lte=soon).exclude(held_up).exists() or _put_right(waiting):
        return False
    outage = None
    if waiting.filter(error_code=DESTINATION_DOWN).exists():
        outage = breakers.lasting(run.source, "destination")
        if outage is None:
            return False
    run.refresh_from_db()
    return _finish(run, waiting.exclude(held_up), waiting.filter(held_up).count(), outage)


def _put_right(waiting: QuerySet[Version]) -> int:
    """Make due what waits longer than anything does: the clock was set back meanwhile. How many."""
    now = timezone.now()
    leased = ~Q(lease_owner="") & Q(due_at__gt=now + timedelta(seconds=2 * settings.LEASE_SECONDS))
    strays = waiting.filter(Q(due_at__gt=now + LONGEST_WAIT) | leased)
    return strays.update(due_at=now, lease_owner="") if strays.exists() else 0


def _finish(run: Run, deferred: QuerySet[Version], held_up: int, outage: Breaker | None) -> bool:
    wait = deferred.aggregate(files=Count("pk"), until=Min("due_at"))
    Run.objects.filter(pk=run.pk).update(files_deferred=wait["files"])
    failed = Version.objects.filter(
        source_id=run.source_id, current=True, state=Version.State.FAILED
    ).count()
    refused = refused_files(run.source_id)
    parts = [f"{counted(failed, 'file')} failed"] * bool(failed)
    if held_up:
        why = f": {outage.error_message.rstrip('.')}" if outage else " for a stopped destination"
        parts.append(f"{counted(held_up, 'file')} waiting{why}")
    if wait["files"]:
        until = timezone.localtime(wait["until"])
        what = f"{counted(wait['files'], 'file')} waiting for Google's download quota"
        parts.append(f"{what} until {until:%Y-%m-%d %H:%M}; the next run takes them then")
    unmoved = wishes.due(run.source_id).count() if run.error_code == NOT_MOVED else 0
    if unmoved:
        parts.append(f"{counted(unmoved, 'file')} still under an old name at a destination")
    told = f"{' and '.join(parts)}." if parts else ""
    if failed or held_up or unmoved:
        code = outage.error_code if outage else "files_failed" if failed or held_up else NOT_MOVED
        return _end(run, Run.Outcome.FAILED, code, told)
    if refused:
        but = f"All stored but {counted(refused, 'file')} that Google refuses"
        told = f"{but}; each has its reason. {told}".rstrip()
    if Event.objects.filter(run=run, code__in=[EMPTIED, SHARP_DROP]).exists():
        told = f"{told} Something unusual was seen: the log has it.".lstrip()
    if told:
        return _end(run, Run.Outcome.WARNINGS, "", told)
    return _end(run, Run.Outcome.OK, "", f"{_done(run)}.")


def _done(run: Run) -> str:
    """What a backup did, in words."""
    gone = f", {run.files_vanished:,} gone from the source" if run.files_vanished else ""
    moved = f", {run.files_moved:,} {moved_or_trashed(run)}" if run.files_moved else ""
    return f"{counted(run.files_done, 'file')} stored{gone}{moved}"


def moved_or_trashed(run: Run) -> str:
    """What happened to the stored copies that `files_moved` counts."""
    return "moved or trashed" if run.files_vanished else "moved"


def complete(run: Run, message: str, *, outcome: str = Run.Outcome.OK) -> bool:
    """End a run that did all it was to do; WARNINGS if a person should know more."""
    return _end(run, outcome, "", message)


def fail(run: Run, error: BackupError) -> bool:
    """End a run that can't go on; the reason is an alert, and stops the source if it must."""
    if isinstance(error, ConfigurationError) and run.kind == Run.Kind.BACKUP:
        _stop(run.source_id, error)
    return _end(run, Run.Outcome.FAILED, error.code, error.message)


def block(source: Source, error: ConfigurationError) -> bool:
    """Stop a source that no run could go on with; False if it is stopped already."""
    if not _stop(source.pk, error):
        return False
    message = f"{source.name} can't be backed up at the moment: {error.message}"
    level = Event.Level.ALERT
    record.event(source.owner, "source_blocked", message, level=level, source=source)
    record.changed(source)
    return True


def unblock(source: Source) -> bool:
    """Let a stopped source go on, as soon as its mode says; False if it was not stopped."""
    was = Source.objects.filter(pk=source.pk).exclude(blocked_code="")
    if not was.update(blocked_code="", blocked_reason=""):
        return False
    record.mended(source.owner, "source_blocked", source=source)
    record.changed(source)
    return True


def _stop(source_id: int, error: ConfigurationError) -> bool:
    working = Source.objects.filter(pk=source_id, blocked_code="")
    return bool(working.update(blocked_code=error.code[:64], blocked_reason=error.message))


@transaction.atomic
def _end(run: Run, outcome: str, code: str, message: str) -> bool:
    ended = Run.objects.filter(pk=run.pk, ended_at__isnull=True).update(
        stage=Run.Stage.DONE,
        outcome=outcome,
        error_code=code[:64],
        error_message=message if code else "",
        ended_at=timezone.now(),
    )
    if not ended:
        return False
    source = Source.objects.select_related("owner").get(pk=run.source_id)
    record.mended(source.owner, RUN_PAUSED, run=run)
    if outcome in GOOD:
        record.mended(source.owner, "run_failed", source=source, run__kind=run.kind)
        if run.kind == Run.Kind.BACKUP:  # the others may do without Google
            unblock(source)
            Source.objects.filter(pk=source.pk).update(approved_changes=0)
    if run.kind == Run.Kind.BACKUP:
        findings.close_mended(source)
        segment_turns.hasten(source.pk)
    level = {Run.Outcome.FAILED: Event.Level.ALERT, Run.Outcome.WARNINGS: Event.Level.WARNING}
    record.event(
        source.owner,
        "run_failed" if outcome == Run.Outcome.FAILED else f"run_{outcome}",
        f"{run.get_kind_display()} of {source.name}: {message}",
        level=level.get(Run.Outcome(outcome), Event.Level.INFO),
        source=source,
        run=run,
    )
    record.changed(source, run)
    return True
