"""When a backup that failed is begun again by itself, and what an outage had left.

What waits for a destination, or for Google, is taken up in every mode: the backup that was asked
for is not done yet. Begins nothing itself (`schedule`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from syncapp.engine import breakers
from syncapp.errors import QuotaExhausted
from syncapp.models import Run, Source

RETRY_FIRST = timedelta(minutes=1)
RETRY_MOST, RETRY_FILES_MOST = timedelta(hours=1), timedelta(hours=24)
QUOTA_REST = timedelta(hours=1)  # a day's quota is asked for again so often
_RUNS_LOOKED_AT = 12  # doubling from a minute, more failures in a row change nothing


def last_runs(source: Source) -> Sequence[Run]:
    """The newest backups that have ended, newest first."""
    ended = Run.objects.filter(source=source, kind=Run.Kind.BACKUP, ended_at__isnull=False)
    return list(ended.order_by("-pk")[:_RUNS_LOOKED_AT])


def rest(last: Sequence[Run]) -> timedelta:
    """How long after the newest of these the next may begin: longer after each failure in a row."""
    failures = 0
    while failures < len(last) and last[failures].outcome == Run.Outcome.FAILED:
        failures += 1
    if last[0].outcome == Run.Outcome.CANCELLED:
        return RETRY_FILES_MOST  # a person did not want it now
    if not failures:
        return timedelta(0)
    most = RETRY_FILES_MOST if last[0].error_code == "files_failed" else RETRY_MOST
    wait: timedelta = RETRY_FIRST * 2 ** (failures - 1)
    return min(wait, most)


def taken_up_at(source: Source) -> datetime | None:
    """When what an outage or a spent quota left is tried again; None if nothing was left."""
    last = last_runs(source)
    if not last or last[0].outcome != Run.Outcome.FAILED or last[0].ended_at is None:
        return None
    if last[0].error_code == QuotaExhausted.code:
        return last[0].ended_at + QUOTA_REST
    rested = last[0].ended_at + rest(last)
    down = breakers.open_rows(source)
    waits = breakers.stranded(source)
    if waits.exists():
        if breakers.takeable(source, waits).exists():
            return rested
    elif breakers.account_key(source.account_id) not in down:
        return None
    tries = [row.retry_at for row in down.values() if row.retry_at]
    return max(rested, min(tries)) if tries else rested
