"""Who works on what: asks for lanes where a run needs hands, and is the body of each lane.

A lane is a row before it is a queue task. If the queue loses the task, or the worker dies, the
row goes silent and another is asked for; a task that comes twice, or too late, finds its row
claimed or ended and does nothing.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.tasks import async_task

from accounts.tokens import require_reconnect
from syncapp import pacing
from syncapp.engine import (
    breakers,
    database,
    drain,
    drill,
    erase,
    heal,
    mending,
    moving,
    prune,
    queues,
    record,
    remake,
    restoring,
    runs,
    scanning,
    verify,
)
from syncapp.engine import lane as lanes
from syncapp.engine.beat import Beat, LaneLost
from syncapp.engine.kinds import ACTIVE, FIRST_STAGE
from syncapp.errors import BackupError, ReconnectRequired, TransientError
from syncapp.models import Lane, Run, Version

log = logging.getLogger(__name__)
TASK = "syncapp.tasks.work"
MOST_FAULTS = 5
_STAGES = {
    Run.Stage.SCAN: scanning.scan_and_plan,
    Run.Stage.MOVE: moving.move,
    Run.Stage.TRANSFER: lanes.transfer,
    Run.Stage.VERIFY: verify.verify,
    Run.Stage.RESTORE: restoring.restore,
    Run.Stage.PRUNE: prune.prune,
    Run.Stage.ERASE: erase.erase,
    Run.Stage.REMAKE: remake.remake,
    Run.Stage.HEAL: heal.heal,
    Run.Stage.DRILL: drill.drill,
}


def silent_since() -> datetime:
    """Lanes that showed no sign of life since this moment are dead."""
    return timezone.now() - timedelta(seconds=settings.LEASE_SECONDS)


def run_waits() -> bool:
    """Whether somebody has just asked for a run; one cheap query."""
    return Run.objects.filter(ACTIVE, stage=Run.Stage.QUEUED).exists()


def tick() -> int:
    """Ask for the lanes that are lacking now; how many. Any number of hosts may do so."""
    now = timezone.now()
    # One from a time to come shows that the clock was set back: it may be long dead.
    alive = silent_since(), now + timedelta(seconds=settings.LEASE_SECONDS)
    Lane.objects.filter(ended_at__isnull=True).exclude(heartbeat_at__range=alive).update(
        ended_at=now
    )
    # Who asked first is served first: nothing asked later passes a listing that waits.
    active = Run.objects.filter(ACTIVE).order_by("pk")
    return sum(top_up(run_id) for run_id in list(active.values_list("pk", flat=True)))


def top_up(run_id: int) -> int:
    """Ask for the lanes that one run lacks now; how many. Others who try meanwhile do nothing."""
    with transaction.atomic():
        run = _locked(run_id)
        if run is None or _is_resting(run):
            return 0
        if run.stage == Run.Stage.QUEUED:
            _begin(run)
        if mending.keeps_out(run) or _is_preceded(run):
            return 0
        open_lanes = Lane.objects.filter(run=run, stage=run.stage, ended_at__isnull=True).count()
        wanted = _wanted(run, open_lanes)
        asked = [Lane.objects.create(run=run, stage=run.stage) for _ in range(wanted - open_lanes)]
    for lane in asked:  # after the commit: a broker outside the database is faster than it
        async_task(TASK, lane.pk, cluster=queues.of(lane.stage))
    if not wanted and run.stage == Run.Stage.TRANSFER:
        runs.finish_if_done(run)
    return len(asked)


def _locked(run_id: int) -> Run | None:
    """The run, held against other hosts until the transaction's end; None if another has it."""
    active = Run.objects.filter(ACTIVE, pk=run_id)
    if connection.features.has_select_for_update_skip_locked:
        active = active.select_for_update(skip_locked=True, of=("self",))
    return active.select_related("source").first()


def _is_resting(run: Run) -> bool:
    """Whether it waits after a failure; no wait is so long that only a set-back clock explains."""
    now = timezone.now()
    return run.retry_at is not None and now < run.retry_at < now + runs.LONGEST_REST


def _is_preceded(run: Run) -> bool:
    """Whether a lane of an earlier backup (of an earlier pruning) is still ending: it may have a
    request under way that writes (removes) under a key of the source, or (in a scan) a page that
    is older than what is there now."""
    if run.kind not in (Run.Kind.BACKUP, Run.Kind.PRUNE):
        return False
    earlier = Lane.objects.filter(
        run__source_id=run.source_id, run__kind=run.kind, ended_at__isnull=True
    )
    stages = {"stage": run.stage} if run.stage == Run.Stage.SCAN else {}
    return earlier.filter(**stages).exclude(run=run).exclude(owner="").exists()


def _begin(run: Run) -> None:
    first = FIRST_STAGE[Run.Kind(run.kind)]
    Run.objects.filter(pk=run.pk, started_at__isnull=True).update(started_at=timezone.now())
    runs.move_on(run, Run.Stage.QUEUED, first)
    run.refresh_from_db()


def _hosts() -> int:
    """How many hosts are at work, this one included."""
    return max(runs.live_workers().values("host").distinct().count(), 1)


def _wanted(run: Run, open_lanes: int) -> int:
    """How many lanes the run's stage should have."""
    if run.stage in (Run.Stage.SCAN, Run.Stage.TRANSFER) and breakers.silent_until(run.source):
        return open_lanes
    if run.stage == Run.Stage.SCAN and not open_lanes:
        return int(_may_scan(run))
    if run.stage in (Run.Stage.RESTORE, Run.Stage.DRILL):
        return int(open_lanes > 0 or restoring.wants_lane(run))
    if run.stage == Run.Stage.REMAKE and not open_lanes:
        # Large copies leave a hand for all else that their queue does.
        return int(_leaves_a_hand(run.stage))
    if run.stage != Run.Stage.TRANSFER:
        return 1
    transferring = Run.objects.filter(ACTIVE, stage=Run.Stage.TRANSFER).count()
    share = max(settings.WORKERS * _hosts() // max(transferring, 1), 1)
    due = Version.objects.filter(
        source_id=run.source_id, state=Version.State.PENDING, due_at__lte=timezone.now()
    )
    waiting = due.values("pk")[: share * settings.FILES_IN_FLIGHT].count()
    if not waiting and not open_lanes:
        return int(breakers.try_is_due(run.source) or breakers.free_stranded(run.source) > 0)
    more = -(-waiting // settings.FILES_IN_FLIGHT)
    return min(open_lanes + more, max(share, open_lanes))


def _may_scan(run: Run) -> bool:
    """Whole listings leave one hand of each host free for change logs."""
    if run.scan == Run.Scan.CHANGES or (run.source.cursor and run.scan != Run.Scan.FULL):
        return True
    return _leaves_a_hand(Run.Stage.SCAN)


def _leaves_a_hand(stage: str) -> bool:
    """Whether with one more lane of the stage its queue still has a hand of each host free."""
    at_work = Lane.objects.filter(stage=stage, ended_at__isnull=True).count()
    return at_work < _hosts() * (settings.QUEUES[queues.of(stage)] - 1)


def work(lane_id: int) -> None:
    """The body of a queue task: claim the lane and work at its run's stage."""
    lane = _claim(lane_id)
    if lane is None:
        return
    run = Run.objects.select_related("source__owner").get(pk=lane.run_id)
    try:
        if run.ended_at is None:  # cancelled before its task came
            with Beat(lane, run) as beat:
                _work(run, lane, beat)
    finally:
        Lane.objects.filter(pk=lane.pk, owner=lane.owner).update(ended_at=timezone.now())
    _follow(lane)


def _follow(lane: Lane) -> None:
    """The next stage begins at once, not with the next tick: seconds count in real time."""
    moved = Run.objects.filter(pk=lane.run_id, ended_at__isnull=True).exclude(stage=lane.stage)
    if not drain.asked() and moved.exists():
        top_up(lane.run_id)


def _claim(lane_id: int) -> Lane | None:
    owner = f"{socket.gethostname()[:30]}:{os.getpid()}:{threading.get_ident()}:{lane_id}"
    claimed = Lane.objects.filter(pk=lane_id, owner="", ended_at__isnull=True).update(
        owner=owner, heartbeat_at=timezone.now()
    )
    return Lane.objects.get(pk=lane_id) if claimed else None


def _work(run: Run, lane: Lane, beat: Beat) -> None:
    began = timezone.now()
    try:
        _STAGES[Run.Stage(lane.stage)](run, lane, beat)
    except LaneLost:
        log.warning("lane.replaced lane=%d run=%d", lane.pk, run.pk)
    except TransientError as error:
        _again_later(run, error)
    except BackupError as error:
        if isinstance(error, ReconnectRequired):
            require_reconnect(run.source.account_id, error.message)
        runs.fail(run, error)
    except Exception as error:
        if database.is_away(error):  # no fault of the run: the next lane goes on with it
            database.Patience(run, drain.asked).wait(began)
            return
        # The one place where a run records what nobody foresaw.
        log.exception("lane.failed lane=%d run=%d", lane.pk, run.pk)
        message = f"Unexpected {type(error).__name__}; the worker's log has the details."
        _again_later(run, TransientError(message, code="internal_error"))
    else:
        Run.objects.filter(pk=run.pk).update(faults=0, retry_at=None)
        if lane.stage == Run.Stage.SCAN:
            breakers.close(breakers.account_key(run.source.account_id), run)


def _again_later(run: Run, error: TransientError) -> None:
    if run.stage == Run.Stage.SCAN and breakers.is_outage(error):
        _wait_for_google(run, error)
        return
    run.refresh_from_db()
    faults = run.faults + 1
    if faults >= MOST_FAULTS:
        runs.fail(run, error)
        return
    wait = timedelta(seconds=pacing.attempt_delay_s(error, faults, random.Random()))
    Run.objects.filter(pk=run.pk).update(faults=faults, retry_at=timezone.now() + wait)
    record.event(
        run.source.owner,
        f"run_{error.code}"[:64],
        f"{run.get_kind_display()} of {run.source.name} goes on in {wait.seconds} s: "
        f"{error.message}",
        level="warning",
        source=run.source,
        run=run,
    )


def _wait_for_google(run: Run, error: TransientError) -> None:
    """The run goes on by itself when Google answers again, or ends after an hour without it."""
    retry_at = breakers.outage(breakers.account_key(run.source.account_id), error, run)
    if breakers.lasting(run.source, "account"):
        runs.fail(run, error)
    else:
        Run.objects.filter(pk=run.pk).update(retry_at=retry_at)
