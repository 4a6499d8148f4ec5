"""Work that comes by itself on every source that has been backed up: verifying, pruning, drills.

A row for each (`Upkeep`) holds when it is next; whoever moves that on by compare-and-set begins the
run. So any number of hosts begin it once, and what was missed comes once. Part of every
supervisor's tick (`schedule.care`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError as DatabaseConflict
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from syncapp.engine import runs
from syncapp.engine.policies import Effective, effective
from syncapp.engine.unusable import stops_alone
from syncapp.models import Destination, Run, Source, Upkeep

log = logging.getLogger(__name__)
_DAY = timedelta(days=1)
MOST_AT_ONCE = 100  # sources; the others come with the next look


@dataclass(frozen=True)
class Work:
    """One kind: when it comes for the first time, how often, and what begins it."""

    first: timedelta  # after the first good backup was seen
    every: Callable[[Effective], timedelta]  # zero: never
    begin: Callable[[Source], object]


WORK: Mapping[Upkeep.Kind, Work] = {
    Upkeep.Kind.VERIFY: Work(
        timedelta(hours=1),
        lambda _: _DAY,
        lambda source: runs.request_verify(source, trigger=Run.Trigger.SCHEDULE),
    ),
    Upkeep.Kind.DRILL: Work(
        timedelta(hours=3),
        lambda policy: policy.drill_days * _DAY,
        lambda source: runs.request_drill(source, trigger=Run.Trigger.SCHEDULE),
    ),
    Upkeep.Kind.PRUNE: Work(
        _DAY,
        lambda _: _DAY,
        lambda source: runs.request_prune(source, trigger=Run.Trigger.SCHEDULE),
    ),
}


def look(now: datetime) -> int:
    """Begin what is due; how much that was."""
    for source in _without_rows()[:MOST_AT_ONCE]:
        _set_up(source, now)
    _correct(now)
    due = _free().filter(next_at__lte=now).order_by("next_at")[:MOST_AT_ONCE]
    begun = 0
    for row in due:
        with stops_alone(row.source):
            begun += _begin(row, now)
    return begun


def next_at(source: Source, kind: Upkeep.Kind) -> datetime | None:
    """When it comes next, None if never."""
    if kind not in WORK or not WORK[kind].every(effective(source)):
        return None
    return Upkeep.objects.filter(source=source, kind=kind).values_list("next_at", flat=True).first()


def _without_rows() -> QuerySet[Source]:
    """Sources that have been backed up well and lack a row."""
    good = Run.objects.filter(source=OuterRef("pk"), kind=Run.Kind.BACKUP, outcome__in=runs.GOOD)
    lacking = Source.objects.none()
    for kind in WORK:
        row = Upkeep.objects.filter(source=OuterRef("pk"), kind=kind)
        lacking = lacking | Source.objects.filter(~Exists(row), Exists(good))
    return lacking


def _set_up(source: Source, now: datetime) -> None:
    there = set(source.upkeep.values_list("kind", flat=True))
    for kind, work in WORK.items():
        if kind not in there:
            try:
                with transaction.atomic():
                    Upkeep.objects.create(source=source, kind=kind, next_at=now + work.first)
            except DatabaseConflict:  # another host was quicker
                continue


def _free() -> QuerySet[Upkeep]:
    """Rows whose run may begin: a source that is at it keeps its time in the past until then."""
    kept = Destination.objects.filter(sources=OuterRef("source"), enabled=True)
    # The kinds of upkeep are kinds of runs.
    active = Run.objects.filter(
        source=OuterRef("source"), kind=OuterRef("kind"), ended_at__isnull=True
    )
    return Upkeep.objects.filter(
        Exists(kept), ~Exists(active), source__paused=False, kind__in=list(WORK)
    ).select_related("source__owner")


def _begin(row: Upkeep, now: datetime) -> bool:
    work = WORK[Upkeep.Kind(row.kind)]
    every = work.every(effective(row.source))
    moved = Upkeep.objects.filter(pk=row.pk, next_at=row.next_at)
    with transaction.atomic():  # who dies in here has begun nothing
        # Switched off: looked at again tomorrow.
        if not moved.update(next_at=now + (every or _DAY)) or not every:
            return False
        work.begin(row.source)
    log.info("upkeep.due source=%d kind=%s", row.source_id, row.kind)
    return True


def _correct(now: datetime) -> None:
    """A next time later than a whole period away was set under another policy, or by a clock that
    was set back since."""
    for row in Upkeep.objects.filter(next_at__gt=now + _DAY, kind__in=list(WORK)).select_related(
        "source__owner"
    ):
        with stops_alone(row.source):
            every = WORK[Upkeep.Kind(row.kind)].every(effective(row.source)) or _DAY
            if row.next_at > now + every:
                Upkeep.objects.filter(pk=row.pk, next_at=row.next_at).update(next_at=now + every)
