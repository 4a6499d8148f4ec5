"""The one way in which what is stored is removed, for pruning and for erasing.

    1. RELEASED      written first: from here on nobody counts the copy as stored
    2. removed       at the store, that very version, with the marks of a deletion over it
    3. rows deleted  the copy's; its version's with the last copy; then its file's, if that is gone

Whatever a lane died after: the next one begins with what is RELEASED. What the store protects goes
back to what it was, with the date. A file that came back meanwhile is stored anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine.adapters import destination_for
from syncapp.engine.beat import Beat
from syncapp.engine.erased import ERASED
from syncapp.engine.occupied import STORED
from syncapp.engine.readback import ARCHIVED
from syncapp.engine.sets import update_many
from syncapp.engine.sites import Site
from syncapp.errors import BackupError, ConfigurationError, ObjectLocked
from syncapp.models import Copy, Destination, File, RestoreItem, Run, Version
from syncapp.types import Content

BATCH = 500  # copies of a destination at once
# What may be let go. Not what waits to be made: that leaves the work first (`planning.withdraw`).
RELEASABLE = [*STORED, Copy.State.DAMAGED, Copy.State.FAILED]
_DAMAGE = ["missing", "size_mismatch", "checksum_mismatch"]  # error codes of what is damaged
PRUNED = "pruned"
_PRUNED_MESSAGE = "It was removed for good before it could be restored."


class _Row(NamedTuple):
    """A copy to be removed; in the order of the columns asked for."""

    pk: int
    object_key: str
    store_version: str
    old_key: str
    old_store_version: str
    version_id: int
    file_id: int
    size: int | None


_COLUMNS = [
    "pk", "object_key", "store_version", "old_key", "old_store_version", "version_id",
    "version__file_id", "version__size",
]  # fmt: skip


@dataclass
class Told:
    """What became of the copies of one destination."""

    removed: int = 0
    bytes: int = 0
    locked: int = 0
    locked_until: datetime | None = None  # the earliest end of a lock met
    undone: int = 0  # left to the next run
    error: BackupError | None = None


def release(copies: QuerySet[Copy]) -> int:
    """Let these go: call it in the transaction that has made sure that nothing needs them."""
    return copies.filter(state__in=RELEASABLE).update(state=Copy.State.RELEASED)


def released(source_id: int) -> QuerySet[Copy]:
    """Copies of a source whose objects are still to be removed."""
    return Copy.objects.filter(version__source_id=source_id, state=Copy.State.RELEASED)


class Remover:
    """One lane's removals. Use as a context manager; `finish` as often as something is released."""

    def __init__(
        self, run: Run, beat: Beat, *, erasing: bool = False, without: Sequence[int] = ()
    ) -> None:
        """`erasing`: at destinations too that are switched off or wait for a person; `without`: not
        at these."""
        self.run, self.beat, self._erasing, self._without = run, beat, erasing, without
        self.told: dict[int, Told] = {}
        self._sites: dict[int, Site] = {}
        self._left: dict[int, set[int]] = {}  # copies not to be tried again by this lane
        self._stack = ExitStack()

    def __enter__(self) -> Remover:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def finish(self) -> None:
        """Remove all that is released, at every destination that answers."""
        waiting = released(self.run.source_id).exclude(destination__in=self._without)
        if not self._erasing:
            waiting = waiting.filter(destination__enabled=True, destination__blocked_code="")
        places = sorted(set(waiting.order_by().values_list("destination_id", flat=True).distinct()))
        sites = [site for pk in places if (site := self._site(pk)) is not None]
        after = dict.fromkeys(sites, 0)
        while sites and self.beat.may_take():
            self.beat.raise_if_lost()
            sites = [site for site in sites if site.error is None]
            batches = {site: self._batch(site, after[site]) for site in sites}
            batches = {site: rows for site, rows in batches.items() if rows}
            sites = list(batches)
            if not sites:
                return
            work = [
                partial(_purge, site, rows, _of_others(site.destination_id, rows))
                for site, rows in batches.items()
            ]
            with ThreadPoolExecutor(len(work), "remove") as pool:  # no database in there
                answers = list(pool.map(lambda purge: purge(), work))
            for site, some in zip(sites, answers, strict=True):
                after[site] = batches[site][-1].version_id
                self._settle(site, batches[site], some)

    def _site(self, destination_id: int) -> Site | None:
        """The destination at work, None if it can't be; then that is told."""
        if destination_id not in self._sites:
            told = self.told.setdefault(destination_id, Told())
            try:
                store = destination_for(Destination.objects.get(pk=destination_id))
            except ConfigurationError as error:
                told.error = error
                return None
            site = Site(destination_id, store, self.beat, settings.FILES_IN_FLIGHT)
            self._stack.callback(site.close)
            self._sites[destination_id] = site
        return self._sites[destination_id]

    def _batch(self, site: Site, after: int) -> list[_Row]:
        # In the order of the index of what is released.
        rows = released(self.run.source_id).filter(
            destination_id=site.destination_id, version_id__gt=after
        )
        left = self._left.get(site.destination_id, set())
        found = rows.exclude(pk__in=left) if left else rows
        return [_Row(*r) for r in found.order_by("version_id").values_list(*_COLUMNS)[:BATCH]]

    def _settle(self, site: Site, rows: list[_Row], answers: list[BackupError | None]) -> None:
        told = self.told[site.destination_id]
        gone, locked = [], []
        for row, answer in zip(rows, answers, strict=True):
            if answer is None:
                gone.append(row)
            elif isinstance(answer, ObjectLocked):
                locked.append((row, answer.until))
            else:
                told.undone += 1
                self._left.setdefault(site.destination_id, set()).add(row.pk)
                told.error = told.error or answer
        with transaction.atomic():
            self.beat.fence()
            _go_back(locked)
            if self._erasing:
                _of(gone).delete()
            else:
                forget(gone)
            size = sum(row.size or 0 for row in gone)
            Run.objects.filter(pk=self.run.pk).update(
                files_done=F("files_done") + len(gone),
                bytes_done=F("bytes_done") + size,
                files_skipped=F("files_skipped") + len(locked),
            )
        told.removed += len(gone)
        told.bytes += size
        told.locked += len(locked)
        ends = [until for _, until in locked]
        if told.locked_until is not None:
            ends.append(told.locked_until)
        told.locked_until = min(ends, default=None)


def _of_others(destination_id: int, rows: Sequence[_Row]) -> set[str]:
    """Those keys of the rows' under which somebody else's object without a version's id lies, or
    may: a copy that is being made has its key before it has bytes."""
    keys = {row.object_key for row in rows if not row.store_version}
    keys |= {row.old_key for row in rows if row.old_key and not row.old_store_version}
    return claimed(destination_id, keys)


def claimed(destination_id: int, keys: Collection[str]) -> set[str]:
    """Those of the keys that a copy which is not being removed has, without a version's id."""
    lying = Copy.objects.filter(
        destination_id=destination_id, object_key__in=keys, store_version=""
    ).exclude(state=Copy.State.RELEASED)
    return set(lying.values_list("object_key", flat=True))


def _purge(site: Site, rows: Sequence[_Row], kept: Collection[str]) -> list[BackupError | None]:
    return site.each(partial(_purge_one, site.store, row, kept) for row in rows)


def _purge_one(store: Store, row: _Row, kept: Collection[str]) -> None:
    """Remove what lies under both keys of a copy."""
    lies = [(row.object_key, row.store_version), (row.old_key, row.old_store_version)]
    for key, version_id in lies:
        if key and (version_id or key not in kept):
            store.purge(key, version_id=version_id)


def _go_back(locked: Sequence[tuple[_Row, datetime]]) -> None:
    """What the store protects is what it was before; it is let go of when that is over."""
    ids = [row.pk for row, _ in locked]
    was = Case(
        When(error_code__in=_DAMAGE, then=Value(Copy.State.DAMAGED)),
        When(~Q(error_code__in=["", ARCHIVED]), then=Value(Copy.State.FAILED)),
        When(verified_at__isnull=False, then=Value(Copy.State.VERIFIED)),
        default=Value(Copy.State.STORED),
    )
    Copy.objects.filter(pk__in=ids, state=Copy.State.RELEASED).update(state=was)
    update_many(Copy, ["locked_until"], ["id"], [(until, row.pk) for row, until in locked])


def _of(rows: Sequence[_Row]) -> QuerySet[Copy]:
    return Copy.objects.filter(pk__in=[row.pk for row in rows], state=Copy.State.RELEASED)


def forget(rows: Sequence[_Row]) -> None:
    """The objects of these copies are gone: so are they, and what is nothing without them.

    Call it in a transaction. Of a file that came back, its present content is stored anew.
    """
    # Whoever finds one back at the source waits for us, or we for him.
    held = File.objects.select_for_update().filter(pk__in={row.file_id for row in rows})
    list(held.order_by("pk").values_list("pk", flat=True))
    mine = Copy.objects.filter(pk__in=[row.pk for row in rows], state=Copy.State.RELEASED)
    wanted = mine.filter(version__current=True, version__file__problem="").exclude(
        pk__in=mine.filter(_gone("version__file__")).values("pk")
    )
    again = list(wanted.values_list("pk", "version_id"))
    Copy.objects.filter(pk__in=[pk for pk, _ in again]).update(
        state=Copy.State.PENDING, object_key="", old_key="", old_store_version="",
        store_version="", etag="", stored_at=None, verified_at=None, checked_at=None,
        locked_until=None, error_code="", error_message="",
    )  # fmt: skip
    Version.objects.filter(pk__in=[version_id for _, version_id in again]).exclude(
        state=Version.State.PENDING
    ).update(state=Version.State.PENDING, attempts=0, due_at=timezone.now())
    mine.delete()
    erased = File.objects.filter(pk__in={row.file_id for row in rows}, problem=ERASED)
    erasing = set(erased.values_list("pk", flat=True))  # erasing sees to their rows itself
    forget_versions({row.version_id for row in rows if row.file_id not in erasing})
    forget_files({row.file_id for row in rows} - erasing)


def forget_versions(ids: Collection[int]) -> None:
    """Those of the versions that nothing is stored of and that nobody will read again."""
    lone = Version.objects.filter(~Exists(Copy.objects.filter(version=OuterRef("pk"))), pk__in=ids)
    dead = lone.filter(Q(current=False) | _gone("file__")).exclude(state=Version.State.PENDING)
    _let_go(list(dead.values_list("pk", flat=True)))


def forget_files(ids: Collection[int]) -> int:
    """Those of the files that have vanished and have no version left; how many. Folders stay as
    long as anything lies or lay in them."""
    lone = File.objects.filter(
        ~Exists(Version.objects.filter(file=OuterRef("pk"))),
        pk__in=ids,
        vanished_at__isnull=False,
    ).exclude(content=Content.FOLDER)
    dead = list(lone.values_list("pk", flat=True))
    RestoreItem.objects.filter(file__in=dead).update(file=None)
    File.objects.filter(pk__in=dead).delete()
    return len(dead)


def _let_go(ids: Sequence[int]) -> None:
    """Delete versions; restores keep their lines about them."""
    items = RestoreItem.objects.filter(version__in=ids)
    items.filter(state__in=[RestoreItem.State.PENDING, RestoreItem.State.THAWING]).update(
        state=RestoreItem.State.FAILED, error_code=PRUNED, error_message=_PRUNED_MESSAGE
    )
    items.update(version=None)
    Version.objects.filter(pk__in=ids).delete()


def _gone(prefix: str) -> Q:
    return Q(**{f"{prefix}trashed_at__isnull": False}) | Q(
        **{f"{prefix}vanished_at__isnull": False}
    )
