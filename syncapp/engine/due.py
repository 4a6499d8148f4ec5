"""Which copies a verification reads back: those not read for longest, a day's share of all.

A copy's age counts from when it was last read back, or else stored. Whoever is oldest is next, so
none is forgotten however much is new; a share a day of 1/`verify_days` of the whole (in bytes, and
a little for each object) reads everything within that time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from syncapp.engine.findings import STORED
from syncapp.engine.policies import effective
from syncapp.engine.readback import ARCHIVED
from syncapp.models import Copy, Run

OBJECT_BYTES = 64 * 1024  # what asking for an object costs, in bytes of reading
_DAY = timedelta(days=1)
_NONE = datetime(1970, 1, 1, tzinfo=UTC)


_AGE = Coalesce("verified_at", "stored_at")


def readable(source_id: int) -> QuerySet[Copy]:
    """Copies that a verification can read back."""
    return Copy.objects.filter(
        version__source_id=source_id, destination__enabled=True, state__in=STORED
    ).exclude(error_code=ARCHIVED)


def unread(run: Run) -> QuerySet[Copy]:
    """What this run has still to read."""
    before = run.read_before or _NONE
    never = Q(verified_at__isnull=True, stored_at__lt=before)
    return readable(run.source_id).filter(Q(verified_at__lt=before) | never)


def choose(run: Run) -> None:
    """Decide how far back this run reads, once."""
    if run.read_before is not None:
        return
    holds, now = effective(run.source), timezone.now()
    total = readable(run.source_id).aggregate(
        bytes=Sum(F("version__size") + OBJECT_BYTES)
    )["bytes"]  # fmt: skip
    days = min(max(_days_since_the_last(run, now), 1.0), float(holds.verify_days))
    share = (total or 0) * days / max(holds.verify_days, 1)
    read = _read_today(run, now) if holds.verify_bytes else 0
    run.read_before = _cut(run, share, holds.verify_bytes, read, now)
    run.save(update_fields=["read_before"])


def _days_since_the_last(run: Run, now: datetime) -> float:
    """What was missed (a machine that was off) is made up for."""
    before = Run.objects.filter(
        source_id=run.source_id, kind=Run.Kind.VERIFY, read_before__isnull=False, pk__lt=run.pk
    )
    last = before.order_by("-pk").values_list("created_at", flat=True).first()
    return (now - last) / _DAY if last else 1.0


def _read_today(run: Run, now: datetime) -> int:
    """Bytes that other verifications of the source have read in the last day."""
    others = Run.objects.filter(
        source_id=run.source_id, kind=Run.Kind.VERIFY, created_at__gt=now - _DAY
    ).exclude(pk=run.pk)
    return others.aggregate(bytes=Sum("bytes_done"))["bytes"] or 0


def _cut(run: Run, share: float, budget: int, read: int, now: datetime) -> datetime:
    """The age up to which copies are read: the share is full there, or the budget (0: none) spent,
    of which so much is `read`. One larger than the whole budget has a day of its own."""
    taken, last = 0.0, _NONE
    rows = readable(run.source_id).annotate(age=_AGE)
    oldest_first = rows.order_by("age").values_list("age", "version__size")
    for age, size in oldest_first.iterator(chunk_size=2000):
        spent = budget and read and read + (size or 0) > budget
        if taken >= share or spent:
            # Of those of one moment all are read, or nothing would ever get on.
            return last + timedelta(microseconds=1) if taken else _NONE
        taken += (size or 0) + OBJECT_BYTES
        read += size or 0
        last = age
    return now
