"""Everything that lies at a destination, listed once and held against the catalog.

A listing tells size, ETag and version id, and that is enough to find what is gone, cut, swapped or
put back from another time; bytes that changed in place only reading tells (`readback`), so what
looks wrong here is read at once. A page of the listing is looked up by its keys: no order of the
store's need be the database's, and memory stays that of a page. What was seen bears the time
(`Copy.checked_at`); what bears an older one at the end is missing.

In a bucket that keeps versions something else may lie on top of a copy that is still there by its
id (a delete marker, an older version put back): that is a finding too, and is healed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import F, Q
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import findings
from syncapp.engine.readback import ARCHIVED, COLUMNS, Kept, Reader, Reading, kept, note_archived
from syncapp.engine.sets import chunks
from syncapp.errors import BackupError
from syncapp.models import Copy, Run, ScanProgress
from syncapp.types import JsonObject, ObjectInfo

PAGE = 500
YOUNG = timedelta(hours=1)  # what is newer may belong to a transfer that is under way
CLOCK_SLACK = timedelta(minutes=5)  # between this host's clock and a file server's
MOST_FOREIGN = 1000  # findings of foreign objects at one destination
_HIDDEN = "A delete marker hides it; the copy itself is there, under its version id."
_COVERED = "Another object lies on top of it; the copy itself is there, under its version id."
_FOREIGN = "No copy in the catalog claims this object. It is left as it is."


class _Row(NamedTuple):
    """What the catalog has under a key of the listing."""

    copy: Kept
    md5: str
    error_code: str
    current: bool
    confirmed_at: datetime | None  # when its bytes were last known to be right


@dataclass
class _Page:
    """What one page of a listing came to: ids of copies, and foreign (key, message, covers)."""

    seen: list[int] = field(default_factory=list)
    doubtful: dict[int, Kept] = field(default_factory=dict)
    archived: list[int] = field(default_factory=list)
    thawed: list[int] = field(default_factory=list)
    foreign: list[tuple[str, str, int | None]] = field(default_factory=list)


def check(run: Run, reader: Reader) -> list[Reading] | None:
    """List every destination that this run has not listed yet; None when told to stop before the
    end, else the copies that look wrong and could not be read."""
    done = set(_place(run).get("listed", []))
    unread: list[Reading] = []
    for destination_id in reader.sites.up:
        if destination_id in done:
            continue
        try:
            found = _Census(run, destination_id, reader).take()
        except BackupError as error:
            reader.sites.errors[destination_id] = error
            continue
        if found is None:
            return None
        unread += found
        done.add(destination_id)
        _note(run, listed=sorted(done))
    return unread


def once(run: Run, what: str) -> bool:
    """Whether this is still to be done in the run; from now on it is not."""
    if _place(run).get(what):
        return False
    _note(run, **{what: True})
    return True


def _place(run: Run) -> JsonObject:
    """How far the run has come."""
    progress, _ = ScanProgress.objects.get_or_create(run=run)
    return dict(progress.after)


def _note(run: Run, **more: Any) -> None:
    ScanProgress.objects.filter(run=run).update(after=_place(run) | more)


class _Census:
    """One destination's."""

    def __init__(self, run: Run, destination_id: int, reader: Reader) -> None:
        self.run, self.reader, self.destination_id = run, reader, destination_id
        self.store = reader.sites.stores[destination_id]
        self.versioned = self.store.keeps_versions
        self.began = run.created_at
        self.foreign: set[str] = set()
        self.unread: list[Reading] = []

    def take(self) -> list[Reading] | None:
        """The whole listing; None when told to stop."""
        for infos in chunks(_listing(self.store, self.run.source.slug, self.versioned), PAGE):
            if self.reader.beat.halted():
                return None
            self.reader.beat.raise_if_lost()
            self._settle(self._look(infos), len(infos))
        if not self._read_missing():
            return None
        if len(self.foreign) < MOST_FOREIGN:  # else there may be some that were not even noted
            findings.gone(self.run, self.destination_id, self.foreign)
        return self.unread

    def _look(self, infos: Sequence[ObjectInfo]) -> _Page:
        here = Copy.objects.filter(destination_id=self.destination_id)
        names = {info.key for info in infos}
        rows: dict[str, list[_Row]] = {}
        more = "version__md5", "error_code", "version__current", "verified_at", "stored_at"
        for found in here.filter(object_key__in=names).values_list(*COLUMNS, *more):
            *copy, md5, code, current, verified_at, stored_at = found
            row = _Row(Kept(*copy), md5, code, current, verified_at or stored_at)
            rows.setdefault(row.copy.object_key, []).append(row)
        second = set(
            here.filter(old_key__in=names).exclude(old_key="").values_list("old_key", flat=True)
        )
        page = _Page()
        for info in infos:
            there = rows.get(info.key, [])
            mine = [row for row in there if self._is_of(row.copy, info)]
            for row in () if info.marker else mine:
                if row.copy.state in findings.STORED:
                    _compare(page, row, info)
                elif _may_be_back(row.copy, info):
                    page.doubtful[row.copy.pk] = _with_etag(row.copy, info)
            if not mine and info.latest and info.key not in second:
                self._stranger(page, info, there)
        return page

    def _is_of(self, copy: Kept, info: ObjectInfo) -> bool:
        """Whether this is the version that the copy names."""
        if not self.versioned:
            return True
        return copy.store_version == info.version_id or (not copy.store_version and info.latest)

    def _stranger(self, page: _Page, info: ObjectInfo, there: Sequence[_Row]) -> None:
        """What lies openly under a key without being a copy's."""
        if info.modified_at is not None and info.modified_at > timezone.now() - YOUNG:
            return
        under = [r.copy for r in there if r.current and r.copy.state in findings.STORED]
        if under:
            message = _HIDDEN if info.marker else _COVERED
            page.foreign.append((info.key, message, under[0].pk))
        elif not info.marker and not there:
            page.foreign.append((info.key, _FOREIGN, None))

    def _settle(self, page: _Page, listed: int) -> None:
        now = timezone.now()
        here = Copy.objects.filter(pk__in=page.seen)
        here.update(checked_at=now)
        note_archived(page.archived)
        Copy.objects.filter(pk__in=page.thawed).update(error_code="", error_message="")
        self.unread += self.reader.read(list(page.doubtful.values()), asked=False)
        over = [found for found in page.foreign if found[2] is not None]
        strange = [found for found in page.foreign if found[2] is None]
        told = over + strange[: MOST_FOREIGN - len(self.foreign)]
        findings.foreign(self.run, self.destination_id, told)
        self.foreign |= {key for key, *_ in told}
        Run.objects.filter(pk=self.run.pk).update(files_seen=F("files_seen") + listed)
        self.reader.rates.tell(self.run)

    def _read_missing(self) -> bool:
        """Read what the listing has not met: it may have moved meanwhile. False if to stop."""
        last = 0
        unseen = Copy.objects.filter(
            Q(checked_at__isnull=True) | Q(checked_at__lt=self.began),
            version__source_id=self.run.source_id,
            destination_id=self.destination_id,
            state__in=findings.STORED,
            stored_at__lt=self.began,
        )
        while batch := kept(unseen.filter(pk__gt=last).order_by("pk")[:PAGE]):
            if self.reader.beat.halted():
                return False
            last = batch[-1].pk
            self.unread += self.reader.read(batch, asked=False)
        return True


def _listing(store: Store, slug: str, versioned: bool) -> Iterator[ObjectInfo]:
    return store.versions(f"{slug}/") if versioned else store.objects(f"{slug}/")


def _compare(page: _Page, row: _Row, info: ObjectInfo) -> None:
    """As far as a listing can tell."""
    copy = row.copy
    if not _fits(row, info):
        # What is right after all bears another ETag from now on (a store that copies in parts).
        page.doubtful[copy.pk] = _with_etag(copy, info)
        return
    page.seen.append(copy.pk)
    if info.frozen and row.error_code != ARCHIVED:
        page.archived.append(copy.pk)
    elif row.error_code == ARCHIVED and not info.frozen:
        page.thawed.append(copy.pk)


def _may_be_back(copy: Kept, info: ObjectInfo) -> bool:
    """Whether what was found damaged may have been put back by a person since."""
    return copy.state == Copy.State.DAMAGED and copy.size == info.size and not info.frozen


def _with_etag(copy: Kept, info: ObjectInfo) -> Kept:
    """The copy with the ETag that its store tells now."""
    return copy._replace(etag=info.etag[:128])


def _fits(row: _Row, info: ObjectInfo) -> bool:
    copy = row.copy
    if copy.size != info.size or (info.md5 and row.md5 and info.md5 != row.md5):
        return False
    if copy.etag and info.etag:
        return copy.etag == info.etag[:128]
    changed, confirmed = info.modified_at, row.confirmed_at
    return changed is None or confirmed is None or changed <= confirmed + CLOCK_SLACK
