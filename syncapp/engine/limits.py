"""Paces that all workers of all hosts share: Google's quota, and people's bandwidth limits.

A process draws a lump of tokens from the row of a `Pace` by compare-and-set, about once a second,
and spends it without the database. Must not hold a lump for longer than KEEP_S: what is not spent
is lost, so that an idle process can't save up what it would spend in a burst.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

from syncapp.connections import own_connection
from syncapp.engine import bandwidth, database
from syncapp.errors import ConfigurationError, Interrupted
from syncapp.models import Destination, Pace, Source
from syncapp.pacing import BURST_S, Bucket
from syncapp.sources.google_client import EDIT_UNITS

log = logging.getLogger(__name__)
LUMP_S = 1.0  # a lump is at most what flows in in this time
FIRST_LUMP_S = 0.5
KEEP_S = 2.0
RULES_S = 3.0  # how soon another bandwidth limit, or the timetable's next entry, is obeyed
LOOK_S = 0.2  # how soon a waiting thread hears that it should stop: other processes tell nothing
MOST_SILENCE_S = 3600.0  # whatever a service asks for; longer ones are a breaker's
Stopped = Callable[[], bool]
_clock = threading.Event()  # never set: its waits end by time alone


def never() -> bool:
    """Nobody will ask it to stop."""
    return False


class Limit:
    """This process's tap on one shared pace. Any number of threads may use it."""

    def __init__(
        self,
        key: str,
        ceiling: Callable[[], float],
        stopped: Stopped = never,
        check: Callable[[], None] | None = None,
    ) -> None:
        """`ceiling` tells the units a second that are allowed now, 0 for no limit; `check` raises
        while waiting is of no use."""
        self.key = key
        self._check = check
        self._ceiling, self._stopped = ceiling, stopped
        self._turn = threading.Lock()
        self._tokens, self._drawn_at, self._share_s = 0.0, 0.0, FIRST_LUMP_S

    def take(self, units: float) -> None:
        """Return once so many units may be spent. Raises Interrupted if the work is to stop."""
        while not self._turn.acquire(timeout=LOOK_S):
            self._raise_if_stopped()
        try:
            self._take(units)
        finally:
            self._turn.release()

    def refused(self, retry_after_s: float | None) -> None:
        """Slow everybody down; what is left of this process's lump is given up."""
        ceiling = self._ceiling()
        if not ceiling:
            return
        asked = min(retry_after_s, MOST_SILENCE_S) if retry_after_s else None
        self._change(ceiling, lambda bucket, now: bucket.slowed(now, asked))
        self._tokens = 0.0

    def _take(self, units: float) -> None:
        if time.monotonic() - self._drawn_at > KEEP_S:
            self._tokens = 0.0
        if self._tokens >= units:
            self._tokens -= units
            return
        collected, self._tokens = self._tokens, 0.0  # a need may be greater than any lump
        while ceiling := self._ceiling():
            if self._check is not None:
                self._check()  # first of all: it may have changed while others had the turn
            granted, wait_s = self._draw(units - collected, ceiling)
            collected += granted
            if collected >= units:
                self._tokens = collected - units
                return
            self._wait(wait_s)

    def _draw(self, units: float, ceiling: float) -> tuple[float, float]:
        """A lump, and the seconds after which it is worth while to come again."""
        since = time.monotonic() - self._drawn_at
        if since > KEEP_S:
            self._share_s = FIRST_LUMP_S
        elif since < LUMP_S:
            self._share_s = min(self._share_s * 2, LUMP_S)
        granted = wait_s = 0.0

        def draw(bucket: Bucket, now: float) -> Bucket | None:
            nonlocal granted, wait_s
            lump = bucket.rate * self._share_s
            # Half a lump at least: else whoever needs little would write the row all the time.
            least = max(min(units, lump), lump / 2)
            left, granted = bucket.draw(max(lump, units), least, now)
            wait_s = left.wait_s(min(max(units - granted, least), lump), now)
            return left if granted else None

        self._change(ceiling, draw)
        if granted:
            self._drawn_at = time.monotonic()
        # Others wait for the same bucket: not all come back at the same moment.
        return granted, wait_s + random.uniform(0.0, LOOK_S)

    def _change(self, ceiling: float, change: Callable[[Bucket, float], Bucket | None]) -> None:
        database.insist(lambda: _change(self.key, ceiling, change), self._outlast)

    def _outlast(self, _: datetime) -> bool:
        with own_connection():
            if not database.wait_for_it(self._stopped):
                raise Interrupted("The worker was asked to stop.")
        return True

    def _wait(self, seconds: float) -> None:
        # Not much longer than a lump: a limit may have been raised or lifted meanwhile.
        wait(min(seconds, 2 * LUMP_S), self._stopped)

    def _raise_if_stopped(self) -> None:
        if self._stopped():
            raise Interrupted("The worker was asked to stop.")


def wait(seconds: float, stopped: Stopped) -> None:
    """A pause that raises Interrupted soon after `stopped` says so."""
    until = time.monotonic() + seconds
    while not stopped():
        left = until - time.monotonic()
        if left <= 0:
            return
        _clock.wait(min(left, LOOK_S))
    raise Interrupted("The worker was asked to stop.")


class GooglePace:
    """Google's quota units: each request counts for its account and for the project."""

    def __init__(
        self, account_id: int, stopped: Stopped = never, check: Callable[[], None] | None = None
    ) -> None:
        """`check` raises LetAlone while nothing is to be asked of Google."""
        self._check = check
        self._account = Limit(f"google:account:{account_id}", _per_account, stopped, check)
        self._project = Limit("google:project", _per_project, stopped, check)

    def take(self, units: float) -> None:
        """Return once a request of so many units may be made."""
        if self._check is not None:
            self._check()
        self._account.take(units)
        self._project.take(units)

    def refused(self, retry_after_s: float | None) -> None:
        """It is the account that slows down: of a project's quota it has the smaller share."""
        self._account.refused(retry_after_s)


class WritingPace:
    """Google's pace for changes to a Drive: so many a second for each account, besides the units.

    Google allows three a second for long (older guides said so, and clients still meet it); more
    are answered by 403 userRateLimitExceeded.
    """

    def __init__(self, account_id: int, stopped: Stopped = never) -> None:
        self._units = GooglePace(account_id, stopped)
        self._changes = Limit(f"google:writes:{account_id}", _writes_a_second, stopped)

    def take(self, units: float) -> None:
        """Return once a request of so many units may be made; what costs like a change is one."""
        if units == EDIT_UNITS:
            self._changes.take(1.0)
        self._units.take(units)

    def refused(self, retry_after_s: float | None) -> None:
        """Changes slow down; the account's reading, too, as the quota is one."""
        self._changes.refused(retry_after_s)
        self._units.refused(retry_after_s)


def reading(source_id: int, stopped: Stopped = never) -> Limit:
    """Bytes from a source, in all workers together: take them as they come."""
    row = Source.objects.filter(pk=source_id)
    rule = _Rule(lambda: row.values_list("bwlimit", flat=True).first(), lambda rate: rate.down)
    return Limit(f"read:source:{source_id}", rule, stopped)


def writing(destination_id: int, stopped: Stopped = never) -> Limit:
    """Bytes to a destination, in all workers together: take them before they are sent."""
    row = Destination.objects.filter(pk=destination_id)
    rule = _Rule(lambda: row.values_list("bwlimit", flat=True).first(), lambda rate: rate.up)
    return Limit(f"write:destination:{destination_id}", rule, stopped)


def reading_back(destination_id: int, stopped: Stopped = never) -> Limit:
    """Bytes from a destination, in all workers together: take them as they come."""
    row = Destination.objects.filter(pk=destination_id)
    rule = _Rule(lambda: row.values_list("bwlimit", flat=True).first(), lambda rate: rate.down)
    return Limit(f"read:destination:{destination_id}", rule, stopped)


class ReadingBack:
    """Bytes from several destinations, each at its own limit. Used by several threads."""

    def __init__(self, stopped: Stopped = never) -> None:
        self._stopped = stopped
        self._limits: dict[int, Limit] = {}

    def take(self, destination_id: int, size: int) -> None:
        """Return once that many bytes of a destination's may have come."""
        limit = self._limits.get(destination_id)
        if limit is None:
            new = reading_back(destination_id, self._stopped)
            limit = self._limits.setdefault(destination_id, new)
        limit.take(size)


class _Rule:
    """What a bandwidth limit allows now; read again every RULES_S, however often it is asked."""

    def __init__(
        self, read: Callable[[], str | None], side: Callable[[bandwidth.Rate], float]
    ) -> None:
        self._read, self._side = read, side
        self._table, self._until = bandwidth.NO_LIMIT, 0.0
        self._rate = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now >= self._until:
            with own_connection():
                text = self._read() or ""
            try:
                self._table = bandwidth.parse(text)
            except ConfigurationError:
                # Every form refuses such a text; one that came another way shall stop no backup.
                log.exception("bandwidth.bad_limit")
            self._rate = self._side(self._table.at(timezone.localtime()))
            self._until = now + RULES_S
        return self._rate


def _per_account() -> float:
    return _a_second(settings.GOOGLE_UNITS_PER_MINUTE)


def _per_project() -> float:
    return _a_second(settings.GOOGLE_UNITS_PER_MINUTE_PROJECT)


def _writes_a_second() -> float:
    return float(settings.GOOGLE_WRITES_PER_SECOND)


def _a_second(units_per_minute: int) -> float:
    """So that a minute's flow and what was saved up before it stay within the minute's quota."""
    return units_per_minute / (60.0 + BURST_S)


def _change(key: str, ceiling: float, change: Callable[[Bucket, float], Bucket | None]) -> None:
    """Apply a change (None: nothing to write) to the shared row, by compare-and-set."""
    with own_connection():
        while True:
            now = timezone.now().timestamp()
            new = _columns(Bucket.new(ceiling, now))
            row, _ = Pace.objects.get_or_create(key=key, defaults=new)
            after = change(_bucket(row).with_ceiling(ceiling), now)
            unchanged = Pace.objects.filter(
                pk=row.pk, filled_at=row.filled_at, tokens=row.tokens, rate=row.rate
            )
            if after is None or unchanged.update(**_columns(after)):
                return


def _bucket(row: Pace) -> Bucket:
    return Bucket(
        row.rate,
        row.ceiling,
        row.tokens,
        row.filled_at.timestamp(),
        row.slowed_at.timestamp() if row.slowed_at else None,
        row.not_before.timestamp() if row.not_before else None,
    )


def _columns(bucket: Bucket) -> dict[str, object]:
    return {
        "rate": bucket.rate,
        "ceiling": bucket.ceiling,
        "tokens": bucket.tokens,
        "filled_at": _moment(bucket.filled_at),
        "slowed_at": _moment(bucket.slowed_at) if bucket.slowed_at else None,
        "not_before": _moment(bucket.not_before) if bucket.not_before else None,
    }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
