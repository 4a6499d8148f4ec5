"""Where a stored version is best read from: of several destinations the fastest, or the cheapest.

Speeds are measured as bytes are read (latency and rate, moving averages), shared between processes
through the cache and kept for a month; until then a kind's usual ones stand in. A destination that
is stopped, disabled or down comes last, never not at all: what it holds may be all there is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.core.cache import cache

from syncapp.destinations.base import Destination as Store
from syncapp.destinations.local import LocalDestination
from syncapp.destinations.providers import OWN_HARDWARE, PROVIDERS, Prices
from syncapp.engine import breakers
from syncapp.engine.adapters import origin_for
from syncapp.models import Destination, Restore

REFRESH_S = 15.0  # how soon a blocked or unblocked destination is known as such
LET_ALONE_S = 30.0  # after a failure that this process has seen
KEEP_S = 30 * 86_400
TELL_S = 10.0
_WEIGHT = 0.2  # of a new measurement
_LEAST_BYTES = 1024**2  # smaller reads tell of latency, larger ones of the rate
_GB = 1e9


@dataclass(frozen=True, slots=True)
class Place:
    """One stored copy: where its object lies."""

    copy_id: int
    destination_id: int
    key: str
    store_version: str


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds until an answer begins, and bytes a second from then on, of one request."""

    latency_s: float
    bytes_per_s: float

    def seconds(self, size: float) -> float:
        """How long a read of so many bytes takes."""
        return self.latency_s + size / self.bytes_per_s


_USUAL = {LocalDestination.kind: Speed(0.002, 200e6)}
_USUAL_ELSEWHERE = Speed(0.08, 30e6)


class Origins:
    """The destinations of one reader; used by any number of threads once it is loaded."""

    def __init__(
        self, prefer: str = Restore.Prefer.FASTEST, only: int | None = None, *, fresh: bool = False
    ) -> None:
        """`only` is the destination for Prefer.NAMED; `fresh`: no connection of earlier readers."""
        self._prefer, self._only, self._fresh = prefer, only, fresh
        self._lock = threading.Lock()
        self._rows: dict[int, Destination] = {}
        self._stores: dict[int, Store] = {}
        self._down: set[int] = set()
        self._failed_at: dict[int, float] = {}
        self._loaded_at = 0.0

    def load(self, destination_ids: Iterable[int]) -> None:
        """Know these destinations, and what is known about them now. Queries the database."""
        wanted = set(destination_ids) | self._rows.keys()
        if wanted == self._rows.keys() and time.monotonic() - self._loaded_at < REFRESH_S:
            return
        rows = Destination.objects.in_bulk(wanted)
        keys = breakers.open_of(rows, [])
        with self._lock:
            for pk, row in rows.items():
                was = self._rows.get(pk)
                if was is None or (was.options, was.secrets) != (row.options, row.secrets):
                    self._stores.pop(pk, None)
            self._rows = rows
            self._down = {pk for pk in rows if breakers.destination_key(pk) in keys}
            self._loaded_at = time.monotonic()

    def order(self, places: Collection[Place], size: int) -> list[Place]:
        """The places that may be read from, the best first."""
        if self._prefer == Restore.Prefer.NAMED:
            return [place for place in places if place.destination_id == self._only]
        known = [place for place in places if place.destination_id in self._rows]
        return sorted(known, key=lambda place: self._rank(place.destination_id, size))

    def store(self, destination_id: int) -> Store:
        """The destination, ready to be read. ConfigurationError if its settings are wrong."""
        with self._lock:
            store = self._stores.get(destination_id)
            if store is None:
                row = self._rows[destination_id]
                store = origin_for(row) if self._fresh else _kept(row)
                self._stores[destination_id] = store
            return store

    def row(self, destination_id: int) -> Destination:
        """As it was loaded."""
        return self._rows[destination_id]

    def name(self, destination_id: int) -> str:
        """What its owner calls it."""
        row = self._rows.get(destination_id)
        return row.name if row else f"destination {destination_id}"

    def prices(self, destination_id: int) -> Prices | None:
        """What reading costs there; None if nobody has told."""
        row = self._rows[destination_id]
        if row.kind == LocalDestination.kind:
            return OWN_HARDWARE
        return PROVIDERS[row.options.get("provider") or "other"].prices

    def storage_class(self, destination_id: int) -> str:
        """The class that objects are stored in there, "" for the service's own default."""
        return str(self._rows[destination_id].options.get("storage_class", ""))

    def speed(self, destination_id: int) -> Speed:
        """As measured lately, by any process."""
        usual = _USUAL.get(self._rows[destination_id].kind, _USUAL_ELSEWHERE)
        return _speeds.known(destination_id, usual)

    def measured(self, destination_id: int, size: int, seconds: float) -> None:
        """A read of so many bytes took so long, waiting for the destination alone."""
        _speeds.add(destination_id, self.speed(destination_id), size, seconds)

    def failed(self, destination_id: int) -> None:
        """It did not answer just now: others are asked first for a while."""
        with self._lock:
            self._failed_at[destination_id] = time.monotonic()

    def is_out(self, destination_id: int) -> bool:
        """Whether it is the last to be asked."""
        row = self._rows[destination_id]
        failed_at = self._failed_at.get(destination_id)
        recently = failed_at is not None and time.monotonic() - failed_at < LET_ALONE_S
        stopped = bool(row.blocked_code) or not row.enabled
        return stopped or recently or destination_id in self._down

    def _rank(self, destination_id: int, size: int) -> tuple[bool, float, float, int]:
        seconds = self.speed(destination_id).seconds(size)
        prices = self.prices(destination_id)
        cost = prices.per_gb(self.storage_class(destination_id)) if prices else float("inf")
        by = (cost, seconds) if self._prefer == Restore.Prefer.CHEAPEST else (seconds, cost)
        return self.is_out(destination_id), *by, destination_id


class _Speeds:
    """This process's knowledge, told to the others now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, tuple[Speed, float]] = {}  # and when it was last shared (monotonic)

    def known(self, destination_id: int, usual: Speed) -> Speed:
        with self._lock:
            found = self._known.get(destination_id)
        if found is None:
            shared = cache.get(_key(destination_id))
            found = (Speed(*shared) if shared else usual), time.monotonic()
            with self._lock:
                self._known.setdefault(destination_id, found)
        return found[0]

    def add(self, destination_id: int, was: Speed, size: int, seconds: float) -> None:
        now, latency, rate = time.monotonic(), was.latency_s, was.bytes_per_s
        if size >= _LEAST_BYTES:
            rate += _WEIGHT * (size / max(seconds, 1e-6) - rate)
        else:
            latency += _WEIGHT * (seconds - latency)
        speed = Speed(latency, rate)
        with self._lock:
            _, told_at = self._known.get(destination_id, (was, 0.0))
            tell = now - told_at > TELL_S
            self._known[destination_id] = (speed, now if tell else told_at)
        if tell:
            cache.set(_key(destination_id), (latency, rate), KEEP_S)


def _key(destination_id: int) -> str:
    return f"read-speed-{destination_id}"


def _kept(row: Destination) -> Store:
    """A store with the connections of this process's earlier readers."""
    mark = (repr(sorted(row.options.items())), row.secrets)
    with _keeping:
        known = _stores.get(row.pk)
        if known is None or known[0] != mark:
            known = mark, origin_for(row)
            _stores[row.pk] = known
    return known[1]


_speeds = _Speeds()
_keeping = threading.Lock()
_stores: dict[int, tuple[tuple[str, str], Store]] = {}
