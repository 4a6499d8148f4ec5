"""Circuit breakers: a destination, or Google for an account, that fails is let alone for a while.

The row is shared by all workers. It opens after OPENS_AFTER failures in a row of different files
(at once for a fault that holds for every file), lets one try through after a pause that doubles,
and closes when that, or anything else, succeeds. Successes cost no write; a lane looks at the rows
about once a second. Each change is made by compare-and-set, and told once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import F, QuerySet
from django.utils import timezone

from syncapp.engine import record
from syncapp.engine.planning import DESTINATION_DOWN
from syncapp.engine.sets import by_pk
from syncapp.errors import BackupError, ConfigurationError, LetAlone, RateLimited, Unavailable
from syncapp.models import Breaker, Copy, Destination, Event, Run, Source, Version

OPENS_AFTER = 5
FIRST_PAUSE_S, MOST_PAUSE_S = 15.0, 600.0
TRY_S = 180.0  # a try that nothing was heard of for so long is made by another worker
LOOK_S = 1.0
SILENCE_S, MOST_SILENCE_S = 64.0, 24 * 3600.0  # a wish (Retry-After) from here on is obeyed by all
GIVE_UP_AFTER = timedelta(hours=1)  # a run whose work waits for longer than this ends
# Faults that stop every file, but pass without anybody's doing something here.
SELF_MENDING = frozenset(
    ["destination_full", "no_such_host", "untrusted_certificate", "clock_skew"]
)
_State = Breaker.State


def destination_key(destination_id: int) -> str:
    """The breaker of a destination."""
    return f"destination:{destination_id}"


def account_key(account_id: int) -> str:
    """The breaker of Google, as it answers for one account."""
    return f"account:{account_id}"


def pause_s(opened: int) -> float:
    """How long it is let alone when it has opened for the `opened`-th time in a row."""
    return min(FIRST_PAUSE_S * 2.0 ** min(opened - 1, 30), MOST_PAUSE_S)


def passes(error: BackupError) -> bool:
    """Whether an error that stops a whole destination passes by itself: no person is needed."""
    return isinstance(error, ConfigurationError) and error.code in SELF_MENDING


def is_outage(error: BackupError) -> bool:
    """Whether an error tells of its service and not of the file."""
    return isinstance(error, Unavailable) or passes(error) or silence_s(error) > 0


def silence_s(error: BackupError | None) -> float:
    """How long the service wants to be left alone by everybody; 0 for a mere pause."""
    asked = error.retry_after_s if isinstance(error, RateLimited | Unavailable) else None
    return min(asked, MOST_SILENCE_S) if asked and asked > SILENCE_S else 0.0


class End(NamedTuple):
    """How the requests for one version ended, at its `attempt`-th try."""

    version_id: int
    attempt: int
    error: BackupError | None


class Breakers:
    """What one lane knows of the breakers of its run. Used by the lane's thread only."""

    def __init__(self, run: Run, destinations: Iterable[int]) -> None:
        self._run = run
        self.account = account_key(run.source.account_id)
        self._keys = [self.account, *map(destination_key, destinations)]
        self._rows: dict[str, Breaker] = {}
        self._tries: dict[str, float] = {}  # one's own, and when (monotonic) each was begun
        self._looked_at = 0.0

    def look(self) -> None:
        """See what other workers have found, about once a second."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self._rows = {row.key: row for row in Breaker.objects.filter(key__in=self._keys)}

    def is_open(self, key: str) -> bool:
        """Whether nothing is to be sent there; one's own try is no exception."""
        row = self._rows.get(key)
        return row is not None and row.state != _State.CLOSED

    def down(self) -> set[int]:
        """The destinations that are open."""
        kind = "destination:"
        return {
            int(k.removeprefix(kind)) for k in self._rows if k.startswith(kind) and self.is_open(k)
        }

    def check(self, key: str) -> None:
        """LetAlone if nothing is to be asked of it now; any thread."""
        row = self._rows.get(key)
        if row is not None and row.state != _State.CLOSED and not self._is_trying(key):
            raise LetAlone(row.error_message)

    def may_try(self, key: str) -> bool:
        """Whether the next try is due, as far as this lane knows."""
        row = self._rows.get(key)
        return row is not None and _is_due(row) and not self._is_trying(key)

    def _is_trying(self, key: str) -> bool:
        begun = self._tries.get(key)
        return begun is not None and time.monotonic() - begun < TRY_S

    def is_silent(self, key: str) -> bool:
        """Whether the service has asked for silence that is not over."""
        row = self._rows.get(key)
        return row is not None and is_silent(row)

    def has_lasted(self, key: str) -> Breaker | None:
        """The breaker, if it has been open for so long that a run should end."""
        row = self._rows.get(key)
        since = timezone.now() - GIVE_UP_AFTER
        return row if row and row.opened_at and row.opened_at < since else None

    def claim_try(self, key: str) -> bool:
        """Become the one who makes the next try, if it is due."""
        row = self._rows.get(key)
        if row is None or not self.may_try(key):
            return False
        claimed = Breaker.objects.filter(pk=row.pk, state=row.state, retry_at=row.retry_at).update(
            state=_State.HALF_OPEN, retry_at=timezone.now() + timedelta(seconds=TRY_S)
        )
        self._again(key)
        if claimed:
            self._tries[key] = time.monotonic()
            _tell(key, "tried", "is tried again.", self._run)
        return bool(claimed)

    def count(self, key: str, ends: Sequence[End]) -> None:
        """How requests ended, in their order. A file that fails again tells of itself only."""
        ends = [end for end in ends if not isinstance(end.error, LetAlone)]
        if key not in self._keys or not ends:
            return
        last = max((n for n, end in enumerate(ends) if end.error is None), default=-1)
        if silence := next((end.error for end in ends if silence_s(end.error)), None):
            self._fail(key, OPENS_AFTER, silence, tried=self._tries.pop(key, None) is not None)
            return
        if last >= 0:
            self._succeeded(key)
        outages = [end.error for end in ends[last + 1 :] if end.error and is_outage(end.error)]
        firsts = sum(end.error in outages and end.attempt == 1 for end in ends[last + 1 :])
        tried = self._tries.pop(key, None) is not None
        if outages and (firsts or tried):
            self._fail(key, firsts, outages[-1], tried=tried)

    def _succeeded(self, key: str) -> None:
        row = self._rows.get(key)
        if row is None or (row.state == _State.CLOSED and not row.failures):
            return
        if is_silent(row) and not self._is_trying(key):
            return  # it was asked before the service asked for silence
        close(key, self._run)
        self._again(key)

    def _fail(self, key: str, failures: int, error: BackupError, *, tried: bool) -> None:
        if tried:
            reopen(key, error, self._run)
        else:
            fail(key, error, self._run, failures=failures)
        self._again(key)

    def _again(self, key: str) -> None:
        row = Breaker.objects.filter(key=key).first()
        if row is not None:
            self._rows[key] = row


def fail(key: str, error: BackupError, run: Run, *, failures: int = OPENS_AFTER) -> None:
    """So many more failures in a row; opens the breaker if they are enough."""
    told = {"error_code": error.code[:64], "error_message": error.message}
    row, _ = Breaker.objects.get_or_create(key=key)
    closed = Breaker.objects.filter(pk=row.pk, state=_State.CLOSED)
    closed.update(failures=F("failures") + failures, **told)
    if not passes(error):
        closed = closed.filter(failures__gte=OPENS_AFTER)
    now = timezone.now()
    retry_at, since = _until(error, 1)
    if closed.update(state=_State.OPEN, opened=1, opened_at=since or now, retry_at=retry_at):
        _tell_open(key, error, retry_at, run)


def reopen(key: str, error: BackupError, run: Run) -> None:
    """The try has failed: a longer pause."""
    row = Breaker.objects.get(key=key)
    retry_at, since = _until(error, row.opened + 1)
    opened = Breaker.objects.filter(pk=row.pk, state=_State.HALF_OPEN).update(
        state=_State.OPEN,
        opened=row.opened + 1,
        retry_at=retry_at,
        opened_at=since or row.opened_at,
        error_code=error.code[:64],
        error_message=error.message,
    )
    if opened:
        _tell_open(key, error, retry_at, run)


def _until(error: BackupError, opened: int) -> tuple[datetime, datetime | None]:
    """When it is tried next. With a wish of the service's own also since when it counts as down:
    from the end of the silence on, so that a run outlasts it."""
    asked = silence_s(error)
    at = timezone.now() + timedelta(seconds=max(asked, pause_s(opened)))
    return at, at if asked else None


def is_silent(row: Breaker) -> bool:
    """Whether the service has asked for silence that is not over."""
    asked = row.state == _State.OPEN and row.opened_at is not None and row.opened_at == row.retry_at
    return asked and not _is_due(row)


def silent_until(source: Source) -> datetime | None:
    """Until when Google wants to be left alone for the source's account; None if it does not."""
    row = Breaker.objects.filter(key=account_key(source.account_id)).first()
    return row.retry_at if row and is_silent(row) else None


def outage(key: str, error: BackupError, run: Run) -> datetime:
    """A whole stage has failed, whatever the files: open now. When it is to be tried next."""
    fail(key, error, run)
    row = Breaker.objects.get(key=key)
    if _is_due(row) and Breaker.objects.filter(pk=row.pk, retry_at=row.retry_at).update(
        state=_State.HALF_OPEN
    ):
        reopen(key, error, run)
        row.refresh_from_db()
    return row.retry_at or timezone.now() + timedelta(seconds=FIRST_PAUSE_S)


def close(key: str, run: Run) -> bool:
    """It works: what has waited for it is due at once. Whether it was open."""
    rows = Breaker.objects.filter(key=key)
    if not rows.exclude(state=_State.CLOSED, failures=0).exists():
        return False
    rows.filter(state=_State.CLOSED).update(failures=0)
    closed = rows.exclude(state=_State.CLOSED).update(
        state=_State.CLOSED,
        failures=0,
        opened=0,
        opened_at=None,
        retry_at=None,
        error_code="",
        error_message="",
    )
    if closed:
        free_waiting(key)
        _tell(key, "up", "works again.", run)
    return bool(closed)


def waiting(destination_id: int) -> list[tuple[int, int]]:
    """A version that waits for this destination alone, and its source; [] if there is none."""
    copies = Copy.objects.filter(destination_id=destination_id, state=Copy.State.PENDING)
    versions = Version.objects.filter(
        state=Version.State.PENDING, error_code=DESTINATION_DOWN, lease_owner=""
    )
    return list(versions.filter(copies__in=copies).values_list("pk", "source_id")[:1])


def free_waiting(key: str) -> None:
    """Versions that waited for this destination are due now; in sets."""
    kind, _, pk = key.partition(":")
    if kind != "destination":
        return
    copies = Copy.objects.filter(destination_id=int(pk), state=Copy.State.PENDING)
    waits = Version.objects.filter(state=Version.State.PENDING, error_code=DESTINATION_DOWN)
    for batch in by_pk(waits.filter(pk__in=copies.values("version_id"))):
        waits.filter(pk__in=[version_id for (version_id,) in batch]).update(
            due_at=timezone.now(), error_code="", error_message=""
        )


def free_stranded(source: Source) -> int:
    """Free what a lane set to wait just after another one had found the destination well again.

    Only while no lane is at work; how many.
    """
    waits = stranded(source).filter(lease_owner="")
    if not waits.exists():
        return 0
    if any(key.startswith("destination:") for key in open_rows(source)):
        waits = waits.filter(pk__in=takeable(source, waits).values("version_id"))
    return waits.update(due_at=timezone.now(), error_code="", error_message="")


def stranded(source: Source) -> QuerySet[Version]:
    """Versions that wait for a destination that could not be reached."""
    return Version.objects.filter(
        source=source, state=Version.State.PENDING, error_code=DESTINATION_DOWN
    )


def takeable(source: Source, waits: QuerySet[Version]) -> QuerySet[Copy]:
    """Copies of these versions that a destination would take now, as far as is known."""
    return Copy.objects.filter(
        destination__in=reachable(source), state=Copy.State.PENDING, version__in=waits
    )


def reachable(source: Source) -> list[int]:
    """The source's destinations that take something, as far as is known."""
    keys = open_rows(source)
    able = source.destinations.filter(enabled=True, blocked_code="").values_list("pk", flat=True)
    return [pk for pk in able if destination_key(pk) not in keys]


def open_rows(source: Source) -> dict[str, Breaker]:
    """The breakers of a source that are not closed, by key."""
    ids = source.destinations.filter(enabled=True).values_list("pk", flat=True)
    return open_of(ids, [source.account_id])


def down_until(destination: Destination) -> datetime | None:
    """When a destination that is not reachable is tried next; None while it works."""
    rows = Breaker.objects.filter(key=destination_key(destination.pk)).exclude(state=_State.CLOSED)
    return rows.values_list("retry_at", flat=True).first()


def open_of(destinations: Iterable[int], accounts: Iterable[int]) -> dict[str, Breaker]:
    """Those that are not closed, by key; one query."""
    keys = [*map(destination_key, destinations), *map(account_key, accounts)]
    rows = Breaker.objects.filter(key__in=keys).exclude(state=_State.CLOSED)
    return {row.key: row for row in rows}


def try_is_due(source: Source) -> bool:
    """Whether a lane would find a destination that should be tried, and a file to try it with."""
    return any(
        _is_due(row) and key.startswith("destination:") and waiting(int(key.partition(":")[2]))
        for key, row in open_rows(source).items()
    )


def lasting(source: Source, kind: str) -> Breaker | None:
    """Of the source's destinations or account: a breaker that has been open for too long."""
    since = timezone.now() - GIVE_UP_AFTER
    rows = [row for key, row in open_rows(source).items() if key.startswith(kind)]
    return next((row for row in rows if row.opened_at and row.opened_at < since), None)


def _is_due(row: Breaker) -> bool:
    if row.state == _State.CLOSED or row.retry_at is None:
        return False
    left_s = (row.retry_at - timezone.now()).total_seconds()
    longest_s = MOST_SILENCE_S if row.opened_at == row.retry_at else 2 * MOST_PAUSE_S
    return left_s <= 0 or left_s > longest_s  # the clock was set back


def moment(at: datetime) -> str:
    """When the next try is, for people: with the date if it is far off."""
    far = at - timezone.now() > timedelta(hours=12)
    return f"{timezone.localtime(at):{'%Y-%m-%d %H:%M' if far else '%H:%M:%S'}}"


def _tell_open(key: str, error: BackupError, retry_at: datetime, run: Run) -> None:
    at = moment(retry_at)
    message = f"does not work: {error.message} Its files wait; the next try is at {at}."
    _tell(key, "down", message, run, level=Event.Level.WARNING)


def _tell(key: str, what: str, message: str, run: Run, level: str = Event.Level.INFO) -> None:
    kind, _, pk = key.partition(":")
    destination = None
    name = f"Reading for {run.source.account.email}"
    if kind == "destination":
        destination = Destination.objects.get(pk=int(pk))
        name = destination.name
    record.event(
        run.source.owner,
        f"{kind}_{what}",
        f"{name} {message}",
        level=level,
        source=None if destination else run.source,
        destination=destination,
        run=run,
    )
    record.changed(run.source, run)
