"""What a restore will bring back: written down item by item, or only added up beforehand.

Planning is done in sets and costs memory for one way down the tree: a folder's names while what is
below it is being written. A plan that was cut off is made anew.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from syncapp.engine import keys
from syncapp.engine.beat import Beat
from syncapp.engine.fetch import Stored, locate
from syncapp.engine.moment import Chosen, descend
from syncapp.engine.origins import Origins, Place
from syncapp.engine.sets import by_pk, insert_many
from syncapp.errors import BackupError
from syncapp.models import Restore, RestoreFolder, RestoreItem, Run, Source
from syncapp.types import Content

log = logging.getLogger(__name__)
NOT_STORED = "not_stored"
_MARK = "\0"  # in no name of Google's
_NOT_STORED_MESSAGE = "No content of this file was stored by then."
SAMPLE = 100  # objects that an estimate asks about being archived
_ASKERS = 8
_ARCHIVED = "archived"  # where a store names no class
# Amazon's "Standard" retrieval takes up to 5 hours, of Deep Archive up to 12.
THAW_S = {"DEEP_ARCHIVE": 12 * 3600.0}
_THAW_S = 5 * 3600.0
# Where folders have times; what a drill makes is removed at once.
_WITH_FOLDERS = [Restore.Target.FOLDER, Restore.Target.DRIVE]
_FOLDER_COLUMNS = ["restore_id", "file_id", "path", "modified_at", "done", "note"]
_COLUMNS = [
    *("restore_id", "file_id", "version_id", "path", "size", "state", "due_at", "attempts"),
    *("origin_id", "placed", "error_code", "error_message"),
]


class Names:
    """Names as they are written down: components for any file system, or as Google has them.

    Given files in the order of `descend`, depth first. With `exact`, `google_names` gives back what
    they are called in Google, and equal siblings are told apart by a mark behind; otherwise
    components are also cut to 255 bytes and held apart where case or Unicode form alone does it.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._exact = exact
        self._levels: list[tuple[str, _Level]] = []

    def of(self, path: Sequence[str], google: Sequence[str] = ()) -> str:
        """The written path, `/` between components. `google`: the names there, if they differ."""
        given: list[str] = []
        for depth, raw in enumerate(path):
            above = "/".join(given)
            if depth == len(self._levels):
                self._levels.append((above, _Level()))
            elif self._levels[depth][0] != above:
                del self._levels[depth:]
                self._levels.append((above, _Level()))
            level = self._levels[depth][1]
            name = google[depth] if google else raw
            given.append(level.exact(raw, name) if self._exact else level.component(raw))
        return "/".join(given)


def google_names(path: Sequence[str]) -> tuple[str, ...]:
    """What the components of an exact path are called in Google."""
    return tuple(keys.decode(component).partition(_MARK)[0] for component in path)


class _Level:
    """The names of one folder."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()
        self._equal: Counter[str] = Counter()

    def exact(self, raw: str, name: str) -> str:
        """The name in Google for `raw`, its own among siblings; marked where it came before."""
        if raw not in self._given:
            self._equal[name] += 1
            number = self._equal[name]
            marked = f"{name}{_MARK}{number}" if number > 1 else name
            self._given[raw] = keys.encode(marked)
        return self._given[raw]

    def component(self, raw: str) -> str:
        if raw not in self._given:
            made = keys.component(raw, "", raw, self._taken)
            self._given[raw] = made
            self._taken.add(keys.fold(made))
        return self._given[raw]


def plan(run: Run, restore: Restore, beat: Beat) -> bool:
    """Write down every item; False if it was told to stop before. Idempotent."""
    if restore.planned_at is not None:
        return True
    for model in (RestoreItem, RestoreFolder):
        for batch in by_pk(model.objects.filter(restore=restore)):
            model.objects.filter(pk__in=[pk for (pk,) in batch]).delete()
    names = Names(exact=restore.target == Restore.Target.DRIVE)
    files = size = 0
    folders = restore.target in _WITH_FOLDERS
    for chosen in descend(run.source_id, restore.files, restore.at, folders=folders):
        if beat.halted():  # a lane's usual end would mean planning for ever
            return False
        named = [(one, names.of(one.path, one.names)) for one in chosen]
        rows = [_row(restore, one, path) for one, path in named if not one.holds]
        with transaction.atomic():
            beat.fence()
            insert_many(RestoreItem, _COLUMNS, rows)
            if folders:
                insert_many(RestoreFolder, _FOLDER_COLUMNS, _folder_rows(restore, named))
        files += len(rows)
        size += sum(one.size for one in chosen)
        Run.objects.filter(pk=run.pk).update(files_total=files, bytes_total=size)
    with transaction.atomic():
        beat.fence()
        Restore.objects.filter(pk=restore.pk).update(planned_at=timezone.now())
        Run.objects.filter(pk=run.pk).update(
            files_total=files, bytes_total=size, files_refused=never_stored(restore)
        )
    restore.refresh_from_db()
    return True


def never_stored(restore: Restore) -> int:
    """Items of which no content was stored at the moment: nothing that a restore could bring."""
    failed = restore.items.filter(state=RestoreItem.State.FAILED, error_code=NOT_STORED)
    return failed.filter(version__isnull=True).count()


def _row(restore: Restore, chosen: Chosen, path: str) -> tuple[object, ...]:
    lost = chosen.version_id is None and chosen.content != Content.FOLDER
    state = RestoreItem.State.FAILED if lost else RestoreItem.State.PENDING
    code, message = (NOT_STORED, _NOT_STORED_MESSAGE) if lost else ("", "")
    about = (restore.pk, chosen.file_id, chosen.version_id, path, chosen.size)
    return (*about, state, timezone.now(), 0, None, "", code, message)


def _folder_rows(restore: Restore, named: Sequence[tuple[Chosen, str]]) -> list[tuple[object, ...]]:
    return [
        (restore.pk, one.file_id, path, one.modified_at, False, "")
        for one, path in named
        if one.content == Content.FOLDER
    ]


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
        parts = [f"{amount:,.2f} {name}" for name, amount in sorted(self.costs.items()) if amount]
        if parts:
            return "about " * self.about + " + ".join(parts)
        return "not known" if self.unpriced_bytes else "nothing"


def estimate(
    source: Source,
    *,
    files: Collection[int] = (),
    at: datetime | None = None,
    prefer: str = Restore.Prefer.FASTEST,
    origin_id: int | None = None,
    target: str = Restore.Target.FOLDER,
    within_s: float = math.inf,
) -> Estimate:
    """Add up what a restore would bring back, from where, at what cost and in what time.

    Reads the catalog, and asks destinations about SAMPLE objects at most; changes nothing.
    After `within_s` it tells what it has come to (`partial`).
    """
    adding, began = _Adding(Origins(prefer, origin_id)), time.monotonic()
    partial = False
    for chosen in descend(source.pk, list(files), at):
        if partial := time.monotonic() - began > within_s:
            break
        adding.add(chosen)
    found = adding.finish()
    found.partial = partial
    if target == Restore.Target.DRIVE and settings.GOOGLE_WRITES_PER_SECOND:
        created_s = (found.files + found.folders) / settings.GOOGLE_WRITES_PER_SECOND
        found.seconds = max(found.seconds, created_s)
    return found


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
        stored = locate([one.version_id for one in chosen if one.version_id is not None])
        self._origins.load({p.destination_id for s in stored.values() for p in s.places})
        for one in chosen:
            if one.content == Content.FOLDER:
                found.folders += 1
            elif one.version_id not in stored or not self._add_file(stored[one.version_id]):
                found.missing += 1

    def _add_file(self, stored: Stored) -> bool:
        """False if none of its places may be read."""
        places = self._ordered(stored)
        if not places:
            return False
        files, size = self._read.get(places[0].destination_id, (0, 0))
        self._read[places[0].destination_id] = files + 1, size + stored.size
        self._found.files += 1
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
        # Requests wait side by side, their bytes share the line.
        waiting = speed.latency_s * files / settings.FILES_IN_FLIGHT
        found.seconds += waiting + size / speed.bytes_per_s
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
