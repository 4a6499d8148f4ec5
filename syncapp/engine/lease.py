"""A lane's claim on versions: conditional, with an expiry, so that no lock is ever stale.

A pending version is free when `due_at` has passed. Leasing writes the owner and moves `due_at` to
the lease's end; a dead lane's versions are therefore simply due again. On PostgreSQL, lanes skip
rows that another is just taking; on SQLite one transaction (IMMEDIATE) has the database to itself.
An owner's name is used once: a lane that lost its lease finds another's name there and may not
write any more. A lane takes nothing once its run has ended: what is due by then was found by the
next run's scan, and this lane may remember folders by the names they had before.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Exists, F, QuerySet
from django.utils import timezone

from syncapp.engine.sets import any_of
from syncapp.models import Copy, Run, Version


def lease(run: Run, owner: str, limit: int, ttl_s: float) -> list[int]:
    """Up to `limit` free versions of the run's source, now this owner's for `ttl_s` seconds."""
    now = timezone.now()
    free = _pending(run).filter(due_at__lte=now).order_by("due_at")
    if connection.features.has_select_for_update_skip_locked:
        free = free.select_for_update(skip_locked=True, of=("self",))
    with transaction.atomic():
        ids = list(free.values_list("pk", flat=True)[:limit])
        if ids:
            Version.objects.filter(pk__in=any_of(ids)).update(
                lease_owner=owner, due_at=now + timedelta(seconds=ttl_s), leases=F("leases") + 1
            )
    return ids


def lease_for(run: Run, destination_id: int, owner: str, ttl_s: float) -> list[int]:
    """One version that lacks its copy there, due or not: to try that destination with it."""
    now = timezone.now()
    lacking = Copy.objects.filter(destination_id=destination_id, state=Copy.State.PENDING)
    free = _pending(run).filter(lease_owner="")
    ids = list(free.filter(pk__in=lacking.values("version_id")).values_list("pk", flat=True)[:1])
    taken = free.filter(pk__in=ids).update(
        lease_owner=owner, due_at=now + timedelta(seconds=ttl_s), leases=F("leases") + 1
    )
    return ids if taken else []


def _pending(run: Run) -> QuerySet[Version]:
    """In one statement with what is done about them: none, if the run has ended."""
    under_way = Run.objects.filter(pk=run.pk, ended_at__isnull=True)
    return Version.objects.filter(
        Exists(under_way), source_id=run.source_id, state=Version.State.PENDING
    )


def under_way(run: Run) -> bool:
    """In a transaction: whether the run has not ended, and will not before the transaction's end.

    For writes that depend on what its scan has found: the next run's scan comes after them.
    """
    unended = Run.objects.filter(pk=run.pk, ended_at__isnull=True)
    return bool(unended.select_for_update(no_key=True).values_list("pk", flat=True))


def held(owner: str, ids: Collection[int]) -> QuerySet[Version]:
    """Those of the versions that are still this owner's."""
    return Version.objects.filter(
        pk__in=any_of(ids), lease_owner=owner, state=Version.State.PENDING
    )


def keep(owner: str, ids: Collection[int]) -> set[int]:
    """In a transaction: those that are still this owner's, and stay so until its end."""
    mine = held(owner, ids).select_for_update(no_key=True)
    return set(mine.values_list("pk", flat=True))


def renew(owner: str, ids: Collection[int], ttl_s: float) -> int:
    """Hold them for another `ttl_s` seconds; how many still were this owner's."""
    return held(owner, ids).update(due_at=timezone.now() + timedelta(seconds=ttl_s))


def release(owner: str, ids: Collection[int], due_at: datetime | None = None) -> int:
    """Give them back without a result, free at once or from `due_at`."""
    return held(owner, ids).update(
        lease_owner="", due_at=due_at or timezone.now(), leases=F("leases") - 1
    )
