"""The dry run of a restore: files, bytes, cost and time, added up without writing anything down.

An account, or whole folders, at any moment are added up by the database (`restore_sums`); a folder
that was gone by then is walked through. Either way for as long as there is time.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from syncapp.engine import bandwidth
from syncapp.engine.fetch import Stored, locate
from syncapp.engine.moment import Chosen, descend
from syncapp.engine.origins import Origins, Place, Speed
from syncapp.engine.restore_sums import Scope, Sum
from syncapp.engine.time_limits import OutOfTime, queries_until
from syncapp.errors import BackupError, ConfigurationError
from syncapp.models import Destination, Restore, Source
from syncapp.types import Content
from syncapp.words import money

log = logging.getLogger(__name__)
SAMPLE = 100  # objects that an estimate asks about being archived
_ASKERS = 8
_ARCHIVED = "archived"  # where a store names no class
# Amazon's "Standard" retrieval takes up to 5 hours, of Deep Archive up to 12.
THAW_S = {"DEEP_ARCHIVE": 12 * 3600.0}
_THAW_S = 5 * 3600.0


@dataclass
class Estimate:
    """What a restore would mean. `costs`: list prices by currency, before free allowances.

    `frozen` files must be retrieved from cold storage first; of more than SAMPLE files it is told
    from a sample. `unpriced_bytes` come from services whose prices are not known.
    """

    files: int = 0
    folders: int = 0  # empty ones
    bytes: int = 0
    missing: int = 0  # files of which no content was stored
    costs: dict[str, float] = field(default_factory=dict)
    unpriced_bytes: int = 0
    about: bool = False  # a price that nobody could confirm is among them
    seconds: float = 0.0
    frozen: int = 0
    thaw_seconds: float = 0.0
    origins: dict[str, int] = field(default_factory=dict)  # files by the destination's name
    partial: bool = False  # there was no time to add up everything: all of it is "at least"

    @property
    def cost(self) -> str:
        """For people: `0.45 USD + 0.10 EUR`, `about 0.10 EUR`, `nothing`."""
        if told := money(self.costs):
            return "about " * self.about + told
        return "not known" if self.unpriced_bytes else "nothing"


def estimate(
    source: Source,
    *,
    files: Collection[int] = (),
    at: datetime | None = None,
    prefer: str = Restore.Prefer.FASTEST,
    origin_id: int | None = None,
    target: str = Restore.Target.FOLDER,
    onto: Destination | None = None,
    within_s: float = math.inf,
) -> Estimate:
    """Add up what a restore would bring back, from where, at what cost and in what time.

    Reads the catalog, and asks destinations about SAMPLE objects at most; changes nothing.
    `onto` is the destination that it goes to. After `within_s` it tells what it has come to
    (`partial`).
    """
    adding, until = _Adding(Origins(prefer, origin_id)), time.monotonic() + within_s
    rows = Destination.objects.filter(owner=source.owner_id).order_by("pk")
    scope = Scope(source.pk, list(files), at, list(rows.values_list("pk", flat=True)))
    partial = False
    try:
        if scope.fits:
            _add_up(adding, scope, until)
        else:
            with queries_until(until):
                for chosen in descend(source.pk, list(files), at):
                    adding.add(chosen)
    except OutOfTime:
        partial = True
    found = adding.finish()
    found.partial = partial
    if target == Restore.Target.DRIVE and settings.GOOGLE_WRITES_PER_SECOND:
        created_s = (found.files + found.folders) / settings.GOOGLE_WRITES_PER_SECOND
        found.seconds = max(found.seconds, created_s)
    if onto is not None:
        found.seconds = max(found.seconds, _writing_s(found, onto))
    return found


def _writing_s(found: Estimate, onto: Destination) -> float:
    """Bytes are sent while others are read. A destination is taken to be written as fast as it is
    read, where its limit says nothing else."""
    origins = Origins()
    origins.load([onto.pk])
    return _moving_s(origins.speed(onto.pk), found.files, found.bytes, _limit(onto).up)


def _moving_s(speed: Speed, files: int, size: int, most_per_s: float) -> float:
    """Requests wait side by side, their bytes share the line. `most_per_s`: bytes, 0 for any."""
    rate = min(speed.bytes_per_s, most_per_s or math.inf)
    return speed.latency_s * files / settings.RESTORES_IN_FLIGHT + size / rate


def _limit(row: Destination) -> bandwidth.Rate:
    """What its bandwidth limit allows now; a text that is none stops nothing (`limits`)."""
    try:
        table = bandwidth.parse(row.bwlimit)
    except ConfigurationError:
        table = bandwidth.NO_LIMIT
    return table.at(timezone.localtime())


def _add_up(adding: _Adding, scope: Scope, until: float) -> None:
    """By the database; OutOfTime leaves what was added up by then."""
    stretches = scope.stretches()
    while True:
        with queries_until(until):
            stretch = next(stretches, None)
            if stretch is None:
                return
            folders, sums = scope.empty_folders(stretch), scope.sums(stretch)
            files = sum(one.files for one in sums if one.destinations)
            sample = scope.sample(stretch, adding.places_in_sample(files), files)
        adding.add_folders(folders)
        adding.add_sums(sums)
        adding.ask_about(sample)


class _Adding:
    """Adds up by the destination that each file would be read from; prices come at the end."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._found = Estimate()
        self._read: dict[int, tuple[int, int]] = {}  # destination → files, bytes
        self._best: dict[tuple[tuple[int, ...], int], list[int]] = {}
        self._sample: list[tuple[list[Place], int]] = []
        self._chance = random.Random(1)

    def add(self, chosen: Sequence[Chosen]) -> None:
        found = self._found
        stored = self._located([one.version_id for one in chosen if one.version_id is not None])
        for one in chosen:
            if one.content == Content.FOLDER:
                found.folders += 1
            elif one.version_id not in stored or not self._add_file(stored[one.version_id]):
                found.missing += 1

    def add_folders(self, number: int) -> None:
        """Empty ones."""
        self._found.folders += number

    def add_sums(self, sums: Sequence[Sum]) -> None:
        """Files that the same destinations have, at once."""
        self._origins.load({pk for one in sums for pk in one.destinations})
        for one in sums:
            places = [Place(0, destination_id, "", "") for destination_id in one.destinations]
            ordered = self._origins.order(places, one.bytes // one.files)
            if not ordered:
                self._found.missing += one.files
                continue
            self._count(ordered[0].destination_id, one.files, one.bytes)

    def places_in_sample(self, files: int) -> int:
        """How many of so many more files are to be in the sample, for all to be as likely."""
        if self._found.files + files <= SAMPLE:
            return files
        return round(SAMPLE * files / (self._found.files + files))

    def ask_about(self, versions: Sequence[int]) -> None:
        """Put these into the sample, instead of others where it is full."""
        found = self._located(versions).values()
        new = [(places, one.size) for one in found if (places := self._ordered(one))]
        kept = min(len(self._sample), max(SAMPLE - len(new), 0))
        self._sample = [*self._chance.sample(self._sample, kept), *new]

    def _located(self, versions: Sequence[int]) -> dict[int, Stored]:
        """Where they are, destinations at hand."""
        stored = locate(versions)
        self._origins.load({p.destination_id for s in stored.values() for p in s.places})
        return stored

    def _count(self, destination_id: int, files: int, size: int) -> None:
        before = self._read.get(destination_id, (0, 0))
        self._read[destination_id] = before[0] + files, before[1] + size
        self._found.files += files

    def _add_file(self, stored: Stored) -> bool:
        """False if none of its places may be read."""
        places = self._ordered(stored)
        if not places:
            return False
        self._count(places[0].destination_id, 1, stored.size)
        self._keep(places, stored.size)
        return True

    def _ordered(self, stored: Stored) -> list[Place]:
        """As `Origins` has it; asked once for files of about one size at the same destinations."""
        where = {place.destination_id: place for place in stored.places}
        alike = tuple(where), stored.size.bit_length()
        if alike not in self._best:
            ordered = self._origins.order(stored.places, stored.size)
            self._best[alike] = [place.destination_id for place in ordered]
        return [where[destination_id] for destination_id in self._best[alike]]

    def _keep(self, places: list[Place], size: int) -> None:
        """Reservoir sampling: each file is as likely to be asked about as any other."""
        if len(self._sample) < SAMPLE:
            self._sample.append((places, size))
            return
        at = self._chance.randrange(self._found.files)
        if at < SAMPLE:
            self._sample[at] = (places, size)

    def finish(self) -> Estimate:
        found = self._found
        for destination_id, (files, size) in self._read.items():
            self._add_destination(destination_id, files, size)
        with ThreadPoolExecutor(_ASKERS, "ask") as pool:
            classes = list(pool.map(self._class_if_frozen, self._sample))
        frozen = [(name, one) for name, one in zip(classes, self._sample, strict=True) if name]
        if not frozen:
            return found
        scale = found.files / len(self._sample)
        found.frozen = round(len(frozen) * scale)
        for name, (places, size) in frozen:
            found.thaw_seconds = max(found.thaw_seconds, THAW_S.get(name, _THAW_S))
            if prices := self._origins.prices(places[0].destination_id):
                self._add_cost(prices.currency, prices.retrieval.get(name, 0.0) * size * scale)
        found.seconds += found.thaw_seconds
        return found

    def _add_destination(self, destination_id: int, files: int, size: int) -> None:
        found, origins = self._found, self._origins
        name = origins.name(destination_id)
        speed, prices = origins.speed(destination_id), origins.prices(destination_id)
        found.bytes += size
        found.origins[name] = found.origins.get(name, 0) + files
        most_per_s = _limit(origins.row(destination_id)).down
        found.seconds += _moving_s(speed, files, size, most_per_s)
        if prices is None:
            found.unpriced_bytes += size
        else:
            found.about = found.about or not prices.is_confirmed
            self._add_cost(
                prices.currency, prices.per_gb(origins.storage_class(destination_id)) * size
            )

    def _add_cost(self, currency: str, price_bytes: float) -> None:
        costs = self._found.costs
        costs[currency] = costs.get(currency, 0.0) + price_bytes / 1e9

    def _class_if_frozen(self, one: tuple[list[Place], int]) -> str:
        """The class of what must be thawed whichever copy is read, "" if one need not be."""
        name = ""
        for place in one[0]:
            if self._origins.is_out(place.destination_id):
                continue
            try:
                store = self._origins.store(place.destination_id)
                about = store.head(place.key, version_id=place.store_version)
            except BackupError as error:
                log.info("estimate.unasked destination=%d %s", place.destination_id, error.code)
                self._origins.failed(place.destination_id)
                continue
            if about and not about.frozen:
                return ""
            name = name or (about.storage_class or _ARCHIVED if about else "")
        return name
