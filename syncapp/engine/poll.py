"""One look at a source's change logs, by a worker: is there anything new? If so, a backup begins.

Reads only as far as it must to know. What is new is left for the backup's own replay; where nothing
is, the position is kept and no run is made. A look that is lost or made twice is harmless.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.tokens import require_reconnect
from syncapp.engine import breakers, dispatch, drain, push, runs
from syncapp.engine.adapters import source_for
from syncapp.engine.schedule import LONGEST_REST
from syncapp.engine.sets import chunks
from syncapp.errors import (
    ConfigurationError,
    CursorRejected,
    QuotaExhausted,
    ReconnectRequired,
    TransientError,
)
from syncapp.models import File, Run, Source
from syncapp.sources.base import Source as Reader
from syncapp.types import JsonObject

log = logging.getLogger(__name__)
LONGEST_WAIT = timedelta(minutes=10)  # between two looks while Google does not answer


def poll(source_id: int) -> None:
    """Ask Google what is new in the source, unless that is nobody's wish any more."""
    source = Source.objects.select_related("owner", "account").filter(pk=source_id).first()
    if source is None or not _wanted(source):
        return
    now = timezone.now()
    if until := breakers.silent_until(source):
        _put_off_until(source, until)
        return
    if source.polled_at and now - push.LEAST_GAP < source.polled_at <= now:
        _look_again(source, source.polled_at + push.LEAST_GAP)
        return
    try:
        _ask(source, now)
    except ReconnectRequired as error:
        require_reconnect(source.account_id, error.message)
        runs.block(source, error)
    except QuotaExhausted as error:
        log.warning("poll.quota_exhausted source=%d %s", source.pk, error.message)
        Source.objects.filter(pk=source.pk).update(next_at=now + LONGEST_REST)
    except ConfigurationError as error:
        runs.block(source, error)
    except TransientError as error:
        log.warning("poll.failed source=%d code=%s %s", source.pk, error.code, error.message)
        _put_off(source, error, now)
        last = source.runs.order_by("-pk").first()
        if last is not None and breakers.silence_s(error):
            breakers.outage(breakers.account_key(source.account_id), error, last)


def _wanted(source: Source) -> bool:
    """A source without a position in the log is read whole by its next backup."""
    able = not source.paused and not source.blocked_code and source.cursor and source.scanned_at
    return (
        source.mode == Source.Mode.REALTIME
        and bool(able)
        and source.destinations.filter(enabled=True).exists()
        and not source.runs.filter(kind=Run.Kind.BACKUP, ended_at__isnull=True).exists()
    )


def _ask(source: Source, now: datetime) -> None:
    reader = source_for(source, drain.asked)
    try:
        position = _nothing_new(source, reader)
    except CursorRejected:
        position = None  # the backup finds the same, and lists everything
    if position is None:
        Source.objects.filter(pk=source.pk).update(polled_at=now)
        run, _ = runs.request_backup(source, trigger=Run.Trigger.CHANGE)
        dispatch.top_up(run.pk)
    else:
        _keep(source, position, now)
    push.keep(source, reader)
    _google_answers(source)


def _google_answers(source: Source) -> None:
    """Google is let alone no longer, if it was."""
    key = breakers.account_key(source.account_id)
    last = (
        source.runs.order_by("-pk").first() if breakers.open_of([], [source.account_id]) else None
    )
    if last is not None:
        breakers.close(key, last)


def _nothing_new(source: Source, reader: Reader) -> JsonObject | None:
    """The position at the end of all logs; None as soon as one of them holds something."""
    position: JsonObject = source.cursor
    for page in reader.changes(source.cursor):
        if page.items.ids or page.left or _holds(source, page.removed):
            return None
        position = page.cursor
    return position


def _holds(source: Source, removed: Sequence[str]) -> bool:
    """Whether any of these is in the catalog: what came and went since is nothing new."""
    there = File.objects.filter(source=source, vanished_at__isnull=True)
    return any(there.filter(remote_id__in=some).exists() for some in chunks(removed, 500))


def _keep(source: Source, position: JsonObject, now: datetime) -> None:
    """Store the position, unless a backup has moved it meanwhile."""
    with transaction.atomic():
        row = Source.objects.select_for_update().get(pk=source.pk)
        if row.cursor == source.cursor:
            Source.objects.filter(pk=row.pk).update(cursor=position, polled_at=now)
            source.cursor = position


def _put_off(source: Source, error: TransientError, now: datetime) -> None:
    """The longer the log could not be read, the longer until the next look; or as Google asks."""
    unread = now - max(source.polled_at or now, source.scanned_at or now)
    wait = min(max(unread, timedelta(0)), LONGEST_WAIT)
    if error.retry_after_s:
        wait = max(wait, min(timedelta(seconds=error.retry_after_s), LONGEST_REST))
    _put_off_until(source, now + wait)


def _put_off_until(source: Source, at: datetime) -> None:
    Source.objects.filter(pk=source.pk, next_at__lt=at).update(next_at=at)


def _look_again(source: Source, at: datetime) -> None:
    """Bring the next look forward, never back."""
    Source.objects.filter(pk=source.pk, next_at__gt=at).update(next_at=at)
