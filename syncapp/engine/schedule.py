"""When each source is looked at, and what happens then. Part of every supervisor's tick.

`Source.next_at` is the only clock. Whoever moves it on, by compare-and-set, acts: so a source is
looked at once, with any number of hosts. A source that is at work, paused, stopped or kept nowhere
keeps its `next_at` in the past and is looked at as soon as that is over: what was missed comes
once. Must not ask Google anything: that is a worker's (`poll`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django_q.tasks import async_task

from accounts.models import GoogleAccount
from syncapp.engine import (
    cron,
    database_backup,
    push,
    queues,
    record,
    runs,
    segment_turns,
    takeup,
    upkeep,
)
from syncapp.engine.planning import DESTINATION_BLOCKED, DESTINATION_DOWN
from syncapp.engine.unusable import UNUSABLE, stops_alone
from syncapp.errors import QuotaExhausted, ReconnectRequired
from syncapp.models import Destination, Event, Run, Source, Version

log = logging.getLogger(__name__)
POLL, STOP_PUSH = "syncapp.tasks.poll", "syncapp.tasks.stop_push"
MOST_AT_ONCE = 200  # sources a tick; the others come with the next
CARE_S = 30.0
LONGEST_REST = timedelta(hours=1)  # by Google's wish; of a longer one it is asked again
UNUSABLE_REST = timedelta(days=1)  # a fault of the program may be mended meanwhile
CLOCK_SLACK = timedelta(minutes=1)
_UNHINDERED = Q(paused=False, blocked_code="")
_TIMED = [Source.Mode.SCHEDULED, Source.Mode.REALTIME]


class Schedule:
    """One per supervisor: `tick` every second, the rarer care now and then."""

    def __init__(self) -> None:
        self._care_at = 0.0

    def tick(self) -> None:
        """Look at what is due."""
        if time.monotonic() >= self._care_at:
            self._care_at = time.monotonic() + CARE_S
            care(timezone.now())
        look(timezone.now())


def zone_of(source: Source) -> str:
    """The time zone of its schedule."""
    return source.time_zone or settings.TIME_ZONE


def next_time(source: Source, now: datetime) -> datetime | None:
    """When it is looked at after `now`; None: only when asked."""
    if source.mode == Source.Mode.SCHEDULED:
        return cron.next_after(source.cron, zone_of(source), now)
    return now + push.pace(source) if source.mode == Source.Mode.REALTIME else None


def begin_anew(source: Source) -> None:
    """Set the next time, after the mode, the schedule or its zone was changed."""
    now = timezone.now()
    source.next_at = None if source.mode == Source.Mode.MANUAL else now
    if source.mode == Source.Mode.SCHEDULED and source.runs.filter(kind=Run.Kind.BACKUP).exists():
        source.next_at = next_time(source, now)
    Source.objects.filter(pk=source.pk).update(next_at=source.next_at)
    if source.blocked_code in (*cron.CODES, UNUSABLE):
        runs.unblock(source)
    record.changed(source)


def look(now: datetime) -> int:
    """Act on each source whose time has come; on how many."""
    due = Q(next_at__isnull=True) | Q(next_at__lte=now)
    # Mostly there is none, and to ask the whole question costs five times as much.
    if not Source.objects.filter(due, _UNHINDERED, mode__in=_TIMED).exists():
        return 0
    found = _watched().filter(due).order_by(F("next_at").asc(nulls_first=True))[:MOST_AT_ONCE]
    acted = 0
    for source in found:
        with stops_alone(source):
            acted += _act(source, now)
    return acted


def _act(source: Source, now: datetime) -> bool:
    following = next_time(source, now)
    moved = Source.objects.filter(pk=source.pk, next_at=source.next_at)
    with transaction.atomic():  # who dies in here has not acted
        if not moved.update(next_at=following):
            return False  # another host was quicker, or a person changed it
        trigger = _reason(source, now, following)
        if trigger is not None:
            runs.request_backup(source, trigger=trigger, full=trigger == Run.Trigger.RECONCILE)
    log.info("schedule.due source=%d trigger=%s next=%s", source.pk, trigger, following)
    if trigger is None:
        async_task(POLL, source.pk, cluster=queues.SCAN)
    return True


def _able() -> QuerySet[Source]:
    """Sources for which a backup may begin now."""
    active = Run.objects.filter(source=OuterRef("pk"), kind=Run.Kind.BACKUP, ended_at__isnull=True)
    kept = Destination.objects.filter(sources=OuterRef("pk"), enabled=True)
    free = Source.objects.filter(_UNHINDERED, ~Exists(active), Exists(kept))
    return free.select_related("owner")


def _watched() -> QuerySet[Source]:
    return _able().filter(mode__in=_TIMED)


def _reason(source: Source, now: datetime, following: datetime | None) -> Run.Trigger | None:
    """What to begin a backup for; None: ask the change log first."""
    last = takeup.last_runs(source)
    if not last:
        return Run.Trigger.SCHEDULE
    rested = _rested(last, now)
    if rested and _reconcile_due(source, now, following):
        return Run.Trigger.RECONCILE
    if source.mode == Source.Mode.SCHEDULED:
        return Run.Trigger.SCHEDULE
    if rested and _joined(source):
        return Run.Trigger.DESTINATION
    unfinished = last[0].outcome in (Run.Outcome.FAILED, Run.Outcome.CANCELLED)
    return Run.Trigger.DEFERRED if unfinished and rested else None


def _joined(source: Source) -> bool:
    """Whether it is to be kept where no backup knew of yet: no change in Google would tell that."""
    here = source.destinations.filter(enabled=True).values_list("pk", flat=True)
    return not set(here) <= set(source.planned_for)


def _rested(last: Sequence[Run], now: datetime) -> bool:
    """Whether a backup that failed may be begun again."""
    ended = last[0].ended_at
    return ended is None or abs(now - ended) >= takeup.rest(last)


def _reconcile_due(source: Source, now: datetime, following: datetime | None) -> bool:
    """Whether the whole listing is to be read again: by now, or before the schedule's next time.

    A scan that ended in the future was made before the clock was set back.
    """
    if not source.reconcile_days:
        return False
    scanned = source.scanned_at
    if scanned is None or scanned > now + CLOCK_SLACK:
        return True
    by = following if source.mode == Source.Mode.SCHEDULED and following else now
    return scanned + timedelta(days=source.reconcile_days) <= by


def care(now: datetime) -> None:
    """What need not be looked at every second."""
    _correct_clocks(now)
    _free(now)
    _begin_deferred(now)
    _take_up(now)
    segment_turns.care(now)
    database_backup.care(now)
    upkeep.look(now)
    for source_id in push.to_stop(now):
        async_task(STOP_PUSH, source_id, cluster=queues.SCAN)


def _correct_clocks(now: datetime) -> None:
    """A next time that the mode can't have given was set before the clock was set back."""
    longest = max(push.slowest(), LONGEST_REST) + CLOCK_SLACK
    suspect = (
        Q(mode=Source.Mode.SCHEDULED)
        | Q(next_at__gt=now + longest)
        | Q(polled_at__gt=now + CLOCK_SLACK)
    )
    for source in _watched().filter(suspect, next_at__gt=now + CLOCK_SLACK):
        with stops_alone(source):
            latest = next_time(source, now)
            if latest is None or (source.next_at and source.next_at > latest + CLOCK_SLACK):
                Source.objects.filter(pk=source.pk, next_at=source.next_at).update(next_at=latest)


def _free(now: datetime) -> None:
    """Let sources go on whose reason to stop is over."""
    blocked = Source.objects.exclude(blocked_code="")
    spent = Run.objects.filter(
        source=OuterRef("pk"), kind=Run.Kind.BACKUP, ended_at__gt=now - LONGEST_REST
    )
    told = Event.objects.filter(
        source=OuterRef("pk"), code="source_blocked", created_at__gt=now - UNUSABLE_REST
    )
    over = (
        Q(
            blocked_code=ReconnectRequired.code,
            account__state=GoogleAccount.State.CONNECTED,
        )
        | Q(Exists(Destination.objects.filter(sources=OuterRef("pk"), enabled=True)))
        & Q(blocked_code="no_destination")
        | Q(~Exists(spent), blocked_code=QuotaExhausted.code)
        | Q(~Exists(told), blocked_code=UNUSABLE)
    )
    for source in blocked.filter(over).select_related("owner"):
        runs.unblock(source)


def _able_and_last() -> QuerySet[Any]:
    """Those that may be backed up, with the newest backup's `deferred` files and `outcome`."""
    newest = Run.objects.filter(source=OuterRef("pk"), kind=Run.Kind.BACKUP).order_by("-pk")
    return _able().annotate(
        deferred=newest.values("files_deferred")[:1], outcome=newest.values("outcome")[:1]
    )


def _begin_deferred(now: datetime) -> None:
    """Begin a backup for files that Google had asked to come back for later, and for what came to
    wait after a backup had ended well: a file that came back while its copies were removed."""
    for source in _able_and_last().filter(Q(deferred__gt=0) | Q(outcome__in=runs.GOOD)):
        due = Version.objects.filter(
            source=source, state=Version.State.PENDING, due_at__lte=now
        ).exclude(error_code__in=[DESTINATION_BLOCKED, DESTINATION_DOWN])
        with stops_alone(source):
            if due.exists():
                runs.request_backup(source, trigger=Run.Trigger.DEFERRED)


def _take_up(now: datetime) -> None:
    """Begin a backup for what an outage had left, in whatever mode."""
    for source in _able_and_last().filter(outcome=Run.Outcome.FAILED):
        with stops_alone(source):
            at = takeup.taken_up_at(source)
            if at is not None and at <= now:
                runs.request_backup(source, trigger=Run.Trigger.DEFERRED)
