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
from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from accounts.tokens import require_reconnect
from syncapp import pacing
from syncapp.engine import drain, record, runs, scanning, verify
from syncapp.engine import lane as lanes
from syncapp.engine.beat import Beat, LaneLost
from syncapp.errors import BackupError, ReconnectRequired, TransientError
from syncapp.models import Lane, Run, Version, Worker

log = logging.getLogger(__name__)
TASK = "syncapp.tasks.work"
MOST_FAULTS = 5
_STAGES = {
    Run.Stage.SCAN: scanning.scan_and_plan,
    Run.Stage.TRANSFER: lanes.transfer,
    Run.Stage.VERIFY: verify.verify,
}


def silent_since() -> datetime:
    """Lanes that showed no sign of life since this moment are dead."""
    return timezone.now() - timedelta(seconds=settings.LEASE_SECONDS)


def tick() -> int:
    """Ask for the lanes that are lacking now; how many. Any number of hosts may do so."""
    Lane.objects.filter(ended_at__isnull=True, heartbeat_at__lt=silent_since()).update(
        ended_at=timezone.now()
    )
    active = list(
        Run.objects.filter(ended_at__isnull=True, source__paused=False).select_related("source")
    )
    return sum(_top_up(run, len(active)) for run in active)


def _top_up(run: Run, active: int) -> int:
    if run.retry_at and run.retry_at > timezone.now():
        return 0
    if run.stage == Run.Stage.QUEUED:
        first = Run.Stage.VERIFY if run.kind == Run.Kind.VERIFY else Run.Stage.SCAN
        Run.objects.filter(pk=run.pk, started_at__isnull=True).update(started_at=timezone.now())
        runs.move_on(run, Run.Stage.QUEUED, first)
        run.refresh_from_db()
    open_lanes = Lane.objects.filter(run=run, stage=run.stage, ended_at__isnull=True).count()
    wanted = _wanted(run, active, open_lanes)
    asked = _ask_for(run, wanted) if wanted > open_lanes else []
    for lane_id in asked:
        async_task(TASK, lane_id)
    return len(asked)


def _ask_for(run: Run, wanted: int) -> list[int]:
    """Lanes up to the number wanted; counted with the run locked, since others count too."""
    with transaction.atomic():
        Run.objects.select_for_update().get(pk=run.pk)
        there = Lane.objects.filter(run=run, stage=run.stage, ended_at__isnull=True).count()
        return [Lane.objects.create(run=run, stage=run.stage).pk for _ in range(wanted - there)]


def _wanted(run: Run, active: int, open_lanes: int) -> int:
    if run.stage != Run.Stage.TRANSFER:
        return 1
    hosts = Worker.objects.filter(
        heartbeat_at__gte=timezone.now() - timedelta(seconds=runs.WORKER_SILENT_S)
    ).count()
    share = max(settings.WORKERS * max(hosts, 1) // active, 1)
    due = Version.objects.filter(
        source_id=run.source_id, state=Version.State.PENDING, due_at__lte=timezone.now()
    )
    waiting = due.values("pk")[: share * settings.FILES_IN_FLIGHT].count()
    if not waiting and not open_lanes:
        runs.finish_if_done(run)
    more = -(-waiting // settings.FILES_IN_FLIGHT)
    return min(open_lanes + more, share)


def work(lane_id: int) -> None:
    """The body of a queue task: claim the lane and work at its run's stage."""
    lane = _claim(lane_id)
    if lane is None:
        return
    run = Run.objects.select_related("source__owner").get(pk=lane.run_id)
    try:
        with Beat(lane, run) as beat:
            _work(run, lane, beat)
    finally:
        Lane.objects.filter(pk=lane.pk, owner=lane.owner).update(ended_at=timezone.now())
    _follow(lane)


def _follow(lane: Lane) -> None:
    """The next stage begins at once, not with the next tick: seconds count in real time."""
    moved = Run.objects.filter(pk=lane.run_id, ended_at__isnull=True).exclude(stage=lane.stage)
    if not drain.asked() and moved.exists():
        tick()


def _claim(lane_id: int) -> Lane | None:
    owner = f"{socket.gethostname()[:30]}:{os.getpid()}:{threading.get_ident()}:{lane_id}"
    claimed = Lane.objects.filter(pk=lane_id, owner="", ended_at__isnull=True).update(
        owner=owner, heartbeat_at=timezone.now()
    )
    return Lane.objects.get(pk=lane_id) if claimed else None


def _work(run: Run, lane: Lane, beat: Beat) -> None:
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
        # The one place where a run records what nobody foresaw.
        log.exception("lane.failed lane=%d run=%d", lane.pk, run.pk)
        message = f"Unexpected {type(error).__name__}; the worker's log has the details."
        _again_later(run, TransientError(message, code="internal_error"))
    else:
        Run.objects.filter(pk=run.pk).update(faults=0, retry_at=None)


def _again_later(run: Run, error: TransientError) -> None:
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
