"""Reading stored copies back: every byte's hash against the catalog, and what is written of it.

A copy that is missing or different becomes DAMAGED, with a Finding and an alert. Every write names
the key and the state that were read: what was moved or let go meanwhile is left alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import findings, limits
from syncapp.engine.adapters import destination_for
from syncapp.engine.beat import Beat
from syncapp.engine.rates import Rates
from syncapp.engine.sets import update_many
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    Interrupted,
    NotFound,
    PermanentError,
)
from syncapp.models import Copy, Destination, Finding, Run

HANDS = 8
ARCHIVED = "archived"  # error code of a copy that lies in cold storage: whole, but not readable now
PATIENCE = 5  # copies in a row that a destination may fail to give before it is asked no more


class Kept(NamedTuple):
    """A copy as the catalog has it, and what its bytes must be."""

    pk: int
    destination_id: int
    version_id: int
    state: str
    object_key: str
    store_version: str
    etag: str
    size: int | None
    sha256: str


COLUMNS = [
    *("pk", "destination_id", "version_id", "state", "object_key", "store_version", "etag"),
    *("version__size", "version__sha256"),
]


def kept(copies: QuerySet[Copy]) -> list[Kept]:
    """These copies, as they are to be read."""
    return [Kept(*row) for row in copies.values_list(*COLUMNS)]


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one copy back came to; `kind` "" if it is what the catalog says.

    `unread` is an error code where nothing was found about the bytes.
    """

    copy: Kept
    size: int
    kind: str = ""
    message: str = ""
    unread: str = ""


class Sites:
    """The stores of a run's source, with their limits; those that do not answer are asked no more.

    Used by several threads; no database.
    """

    def __init__(self, run: Run, beat: Beat) -> None:
        self.beat = beat
        self.names: dict[int, str] = {}
        self.stores: dict[int, Store] = {}
        self.errors: dict[int, BackupError] = {}
        self._reads: dict[int, limits.Limit] = {}
        self._writes: dict[int, limits.Limit] = {}
        self._failed: Counter[int] = Counter()
        for row in run.source.destinations.filter(enabled=True):
            self._add(row)

    def _add(self, row: Destination) -> None:
        self.names[row.pk] = row.name
        self._reads[row.pk] = limits.reading_back(row.pk, self.beat.halted)
        self._writes[row.pk] = limits.writing(row.pk, self.beat.halted)
        try:
            self.stores[row.pk] = destination_for(row)
        except ConfigurationError as error:
            self.errors[row.pk] = error

    @property
    def up(self) -> list[int]:
        """Those that answer, as far as is known."""
        return [pk for pk in self.stores if pk not in self.errors]

    def took(self, destination_id: int, size: int) -> None:
        """More bytes came from it; waits where they come too fast, Interrupted when to stop."""
        if self.beat.halted():
            raise Interrupted("Stopped in the middle of this copy.")
        if limit := self._reads.get(destination_id):
            limit.take(size)

    def send(self, destination_id: int, size: int) -> None:
        """Return once so many bytes may be sent to it; Interrupted when to stop."""
        if self.beat.halted():
            raise Interrupted("Stopped before this was sent.")
        self._writes[destination_id].take(size)

    def answered(self, destination_id: int, error: BackupError | None = None) -> None:
        """Note whether it gave what it was asked for; at last it is not asked any more."""
        if error is None:
            self._failed[destination_id] = 0
            return
        self._failed[destination_id] += 1
        hopeless = isinstance(error, ConfigurationError)
        if hopeless or self._failed[destination_id] >= PATIENCE:
            self.errors.setdefault(destination_id, error)


def read(sites: Sites, copy: Kept, rates: Rates) -> Reading:
    """Read one copy and compare. No database here."""
    store, down = sites.stores.get(copy.destination_id), sites.errors.get(copy.destination_id)
    if store is None or down is not None:
        message = down.message if down else "Its destination is not one of this source's any more."
        return Reading(copy, 0, message=message, unread=down.code if down else "detached")
    size, sha256 = 0, hashlib.sha256()
    try:
        with store.read(copy.object_key, version_id=copy.store_version) as chunks:
            for chunk in chunks:
                size += len(chunk)
                sha256.update(chunk)
                rates.add(len(chunk))
                sites.took(copy.destination_id, len(chunk))
    except NotFound:
        sites.answered(copy.destination_id)
        return Reading(copy, 0, Finding.Kind.MISSING, "The object is not there any more.")
    except Interrupted as error:
        return Reading(copy, size, message=error.message, unread=error.code)
    except BackupError as error:
        about_it = isinstance(error, PermanentError)
        sites.answered(copy.destination_id, None if about_it else error)
        return Reading(copy, size, message=error.message, unread=error.code)
    sites.answered(copy.destination_id)
    return _compared(copy, size, sha256.hexdigest())


def _compared(copy: Kept, size: int, sha256: str) -> Reading:
    if size != copy.size:
        message = f"The object has {size} bytes where {copy.size} were stored."
        return Reading(copy, size, Finding.Kind.SIZE, message)
    if sha256 != copy.sha256:
        return Reading(copy, size, Finding.Kind.CONTENT, "The object's bytes have changed.")
    return Reading(copy, size)


class Reader:
    """Reads batches of copies for one lane, in several threads, and settles what was found."""

    def __init__(self, run: Run, beat: Beat, sites: Sites) -> None:
        self.run, self.beat, self.sites = run, beat, sites
        self.rates = Rates(run)
        self._pool = ThreadPoolExecutor(HANDS, "verify")

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown()

    def read(self, copies: Sequence[Kept], *, asked: bool = True) -> list[Reading]:
        """Read them and write down what was found; what could not be read comes back.

        `asked`: the run has counted them among what it is to do.
        """
        if not copies:
            return []
        found = list(self._pool.map(lambda copy: read(self.sites, copy, self.rates), copies))
        self.beat.raise_if_lost()
        readings = _where_they_were(found)
        settle(self.run, [reading for reading in readings if not reading.unread], asked=asked)
        archived = [r.copy.pk for r in readings if r.unread == ARCHIVED]
        note_archived(archived)
        self.rates.tell(self.run)
        return [r for r in readings if r.unread and r.unread != ARCHIVED]


def note_archived(copies: Collection[int]) -> None:
    """They lie in cold storage: listings are all that can be held against the catalog."""
    if copies:
        Copy.objects.filter(pk__in=copies, state__in=findings.STORED).update(
            error_code=ARCHIVED, error_message="In cold storage: it is checked by listing only."
        )


def _where_they_were(readings: Sequence[Reading]) -> list[Reading]:
    """A copy that was moved while it was read may look missing: it is read again."""
    now = {
        pk: where
        for pk, *where in Copy.objects.filter(pk__in=[r.copy.pk for r in readings]).values_list(
            "pk", "object_key", "store_version"
        )
    }
    message = "It was moved while it was read."
    return [
        r
        if not r.kind or now.get(r.copy.pk) == [r.copy.object_key, r.copy.store_version]
        else Reading(r.copy, r.size, message=message, unread="moved")
        for r in readings
    ]


_MATCH = ["id", "object_key", "store_version", "state"]


def _match(copy: Kept) -> tuple[object, ...]:
    return copy.pk, copy.object_key, copy.store_version, copy.state


def settle(run: Run, readings: Sequence[Reading], *, asked: bool) -> None:
    """Write what was found: VERIFIED with the time, or DAMAGED with a finding. What was known as
    damaged may be found good: it was put back."""
    now = timezone.now()
    good = [reading for reading in readings if not reading.kind]
    bad = [reading for reading in readings if reading.kind]
    new = [r.copy.pk for r in bad if r.copy.state != Copy.State.DAMAGED]
    with transaction.atomic():
        update_many(
            Copy,
            ["state", "verified_at", "checked_at", "etag", "error_code", "error_message"],
            _MATCH,
            [(Copy.State.VERIFIED, now, now, r.copy.etag, "", "", *_match(r.copy)) for r in good],
        )
        update_many(
            Copy,
            ["state", "error_code", "error_message"],
            _MATCH,
            [(Copy.State.DAMAGED, findings.CODES[r.kind], r.message, *_match(r.copy)) for r in bad],
        )
        more = 0 if asked else len(readings)
        Run.objects.filter(pk=run.pk).update(
            files_total=F("files_total") + more,
            files_done=F("files_done") + len(good),
            files_failed=F("files_failed") + len(bad),
            bytes_done=F("bytes_done") + sum(reading.size for reading in readings),
        )
        findings.damaged(run, [(r.copy.pk, r.kind, r.message) for r in bad])
        _close(run, [r.copy for r in good if r.copy.state == Copy.State.DAMAGED])
    findings.alert(run, new)


def _close(run: Run, back: Sequence[Kept]) -> None:
    """These copies are whole again by themselves, unless they were changed meanwhile."""
    rows = Copy.objects.filter(pk__in=[c.pk for c in back], state=Copy.State.VERIFIED)
    by_name: dict[str, list[int]] = {}
    for pk, name in rows.values_list("pk", "destination__name"):
        by_name.setdefault(name, []).append(pk)
    for name, copies in by_name.items():
        findings.healed(run, copies, name)
