"""When a source's segments are written, and by whom: one writer at a time, on whatever host.

Part of the schedule's care. A turn that its holder left behind is free again when its lease is
over. Must not read a change away: that is `segments`' business.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django_q.tasks import async_task

from syncapp.engine import queues, record, segment_header
from syncapp.errors import BackupError, TransientError
from syncapp.models import (
    Change,
    Destination,
    Event,
    Run,
    Segment,
    SegmentCopy,
    SegmentTurn,
    Source,
)

log = logging.getLogger(__name__)
WRITE = "syncapp.tasks.write_segments"
IDLE_EVERY = timedelta(minutes=1)  # between two writings of what changed
BUSY_EVERY = timedelta(minutes=10)  # while a backup is at work
AGAIN_AFTER = timedelta(minutes=5)  # where nothing could be written
LEASE = timedelta(minutes=5)
_SLACK = timedelta(minutes=1)


class TurnLost(TransientError):
    """Another writer has taken this one's place: write nothing more."""

    code = "turn_lost"


class TurnTaken(TransientError):
    """Somebody else writes; if that worker died, its claim ends within these tries of a run."""

    code = "turn_taken"

    def __init__(self) -> None:
        super().__init__(
            "The catalog of this source is just being written; try again.",
            retry_after_s=LEASE.total_seconds() / 3,
        )


def care(now: datetime) -> None:
    """Ask for the writing of each source that has something to write and whose time has come."""
    for source in Source.objects.filter(segment_turn__isnull=True):
        SegmentTurn.objects.get_or_create(source=source, defaults={"next_at": now})
    late = Q(next_at__lte=now) | Q(next_at__gt=now + BUSY_EVERY + _SLACK)  # a clock set back
    recovering = Q(source__recovery__isnull=False, source__recovery__ended_at__isnull=True)
    for turn in SegmentTurn.objects.filter(late).exclude(recovering):
        if not something_to_write(turn.source_id):
            continue
        busy = Run.objects.filter(
            source_id=turn.source_id, kind=Run.Kind.BACKUP, ended_at__isnull=True
        ).exists()
        following = now + (BUSY_EVERY if busy else IDLE_EVERY)
        mine = SegmentTurn.objects.filter(pk=turn.pk, next_at=turn.next_at)
        if mine.update(next_at=following):
            async_task(WRITE, turn.source_id, cluster=queues.VERIFY)


def hasten(source_id: int) -> None:
    """A backup has ended: what it stored is not to wait as long as while it was at work."""
    after = timezone.now() + IDLE_EVERY
    turn = SegmentTurn.objects.filter(source_id=source_id, error_code="", next_at__gt=after).first()
    if turn is not None:
        mine = SegmentTurn.objects.filter(pk=turn.pk, next_at=turn.next_at)
        mine.update(next_at=turn.next_at - BUSY_EVERY + IDLE_EVERY)


def something_to_write(source_id: int) -> bool:
    """Whether files or settings changed, or a destination that works holds no whole catalog."""
    there = destinations(source_id)
    if not there or Change.objects.filter(source_id=source_id).exists():
        return bool(there)
    turn = SegmentTurn.objects.filter(source_id=source_id).first()
    if turn is None or turn.settings != segment_header.mark(source_id):
        return True
    least = max(turn.drained, 1)
    return any(position(source_id, row.pk) < least for row in there)


def destinations(source_id: int) -> list[Destination]:
    """Where the source's segments are written: those that work."""
    return list(
        Destination.objects.filter(sources=source_id, enabled=True, blocked_code="").order_by("pk")
    )


def position(source_id: int, destination_id: int) -> int:
    """The number of the last segment up to which the destination holds the catalog without a gap;
    0 if it holds none."""
    there = SegmentCopy.objects.filter(segment=OuterRef("pk"), destination_id=destination_id)
    rows = Segment.objects.filter(Exists(there), source_id=source_id).order_by("number")
    at = 0
    for kind, number, after in rows.values_list("kind", "number", "after"):
        if kind == Segment.Kind.FULL or (at and at >= after):
            at = number
    return at


class Turn:
    """The right to write one source's segments, held by this thread."""

    def __init__(self, row: SegmentTurn) -> None:
        self.source_id, self.row = row.source_id, row
        self._renew_at = timezone.now() + LEASE / 5

    @classmethod
    def claim(cls, source_id: int) -> Turn | None:
        """Take the turn; None while another has it, or the source is gone."""
        if not Source.objects.filter(pk=source_id).exists():
            return None
        row, _ = SegmentTurn.objects.get_or_create(source_id=source_id)
        now = timezone.now()
        free = Q(owner="") | Q(leased_until__lt=now) | Q(leased_until__gt=now + LEASE + _SLACK)
        owner = f"{socket.gethostname()[:30]}:{os.getpid()}:{threading.get_ident()}"
        taken = SegmentTurn.objects.filter(free, pk=row.pk).update(
            owner=owner, leased_until=now + LEASE
        )
        return cls(SegmentTurn.objects.get(pk=row.pk)) if taken else None

    def renew(self) -> None:
        """Now and then while at work. TurnLost if another has it."""
        if timezone.now() >= self._renew_at:
            self.fence()
            self._renew_at = timezone.now() + LEASE / 5

    def fence(self, **also: object) -> None:
        """TurnLost unless it is still ours; in a transaction it stays ours until its end. Sets the
        columns of `also`."""
        ours = SegmentTurn.objects.filter(pk=self.row.pk, owner=self.row.owner)
        if not ours.update(leased_until=timezone.now() + LEASE, **also):
            raise TurnLost("Another worker writes the catalog of this source.")
        for name, value in also.items():
            setattr(self.row, name, value)

    def release(self) -> None:
        """Let others have it."""
        SegmentTurn.objects.filter(pk=self.row.pk, owner=self.row.owner).update(
            owner="", leased_until=None
        )

    def failed(self, error: BackupError) -> None:
        """Note why something could not be written, tell it once, and try again later."""
        log.warning(
            "segments.failed source=%d code=%s %s", self.source_id, error.code, error.message
        )
        first = not self.row.error_code
        self.fence(
            error_code=error.code[:64],
            error_message=error.message,
            next_at=timezone.now() + AGAIN_AFTER,
        )
        if first:
            source = Source.objects.select_related("owner").get(pk=self.source_id)
            record.event(
                source.owner,
                "segments_failed",
                f"The catalog of {source.name} could not be written beside the data everywhere: "
                f"{error.message} It is tried again.",
                level=Event.Level.WARNING,
                source=source,
            )

    def succeeded(self) -> None:
        """All is written that was to be."""
        self.fence(error_code="", error_message="", written_at=timezone.now())
