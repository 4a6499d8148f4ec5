"""What may go: files whose time in the trash is over, and versions that retention lets go.

Asked by pruning inside the transaction that lets go, and by whoever wants to know beforehand. Time
stands still for a source that is not backed up: all is judged as of its last good look at Google.
Older versions stay, whatever the rules say, until a newer one is stored wherever the source is
kept: one that lacks there may have to be healed from elsewhere, or is not stored yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Exists, Max, Min, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from syncapp.engine import runs, schedule, spans
from syncapp.engine.occupied import STORED
from syncapp.engine.policies import Effective, effective
from syncapp.engine.remove import RELEASABLE
from syncapp.engine.sets import chunks
from syncapp.models import Copy, File, Place, Restore, RestoreItem, Run, Source, Version
from syncapp.models.catalog import GONE
from syncapp.retention import kept

BATCH = 500  # files
_WINDOW = 5000  # keys of files looked at together
_UNDER_WAY = [RestoreItem.State.PENDING, RestoreItem.State.THAWING]


class Why(StrEnum):
    """What lets a copy go."""

    TRASH = "trash"  # its file has been gone for long enough
    RETENTION = "retention"


class Prunable(NamedTuple):
    """A copy that may go."""

    copy_id: int
    destination_id: int
    version_id: int
    file_id: int
    size: int
    key: str
    why: Why
    locked_until: datetime | None  # in time to come: it can't be removed before


@dataclass(frozen=True)
class Terms:
    """By what a source is judged. `as_of` None: it was never backed up, nothing may go."""

    source: Source
    policy: Effective
    as_of: datetime | None
    destinations: frozenset[int]  # where it is to be kept
    at_work: frozenset[int]  # those of them that no person has to mend first

    @classmethod
    def of(cls, source: Source, policy: Effective | None = None) -> Terms:
        """Those that hold now; or would, with another policy."""
        kept_at = source.destinations.filter(enabled=True)
        return cls(
            source,
            policy or effective(source),
            seen_at(source),
            frozenset(kept_at.values_list("pk", flat=True)),
            frozenset(kept_at.filter(blocked_code="").values_list("pk", flat=True)),
        )

    @property
    def gone_before(self) -> datetime | None:
        """Files gone for longer are to go."""
        if self.as_of is None:
            return None
        try:
            return self.as_of - timedelta(days=self.policy.trash_days)
        except OverflowError:
            return None


class _Seen(NamedTuple):
    """A version of which something is stored."""

    pk: int
    file_id: int
    current: bool
    first_seen_at: datetime
    returned_at: datetime | None
    state: str
    size: int | None

    @property
    def since(self) -> datetime:
        """When its last spell began."""
        return self.returned_at or self.first_seen_at


class _Lies(NamedTuple):
    """A copy."""

    pk: int
    destination_id: int
    version_id: int
    state: str
    object_key: str
    old_key: str
    locked_until: datetime | None


def seen_at(source: Source) -> datetime | None:
    """When it was last known for sure what the source holds, None if never."""
    ended = Run.objects.filter(source=source, kind=Run.Kind.BACKUP, ended_at__isnull=False)
    newest = ended.order_by("-pk").first()
    good = ended.filter(outcome__in=runs.GOOD).order_by("-pk").first()
    if newest is None or good is None or good.ended_at is None:
        return None
    if newest.pk == good.pk and source.polled_at is not None:
        # Nothing new since then, or a run would have followed.
        return min(max(good.ended_at, source.polled_at), timezone.now())
    return good.ended_at


def restore_is_being_planned(source: Source) -> bool:
    """Whether somebody is just choosing what to restore: what he wants is not known yet."""
    return Restore.objects.filter(
        run__source=source, run__ended_at__isnull=True, planned_at__isnull=True
    ).exists()


def batches(terms: Terms) -> Iterator[list[int]]:
    """Files to be judged: those that are gone for long, and those that have older versions."""
    if terms.as_of is None:
        return
    for start, end in _windows(terms.source):
        found = set(_long_gone(terms, start, end))
        if not terms.policy.rules.everything:
            found |= _with_older(terms, start, end)
        yield from chunks(sorted(found), BATCH)


def _windows(source: Source) -> Iterator[tuple[int, int]]:
    """Stretches of keys, the source's own and others'. By key alone: asked by source too, SQLite
    would walk all of it for each stretch."""
    ends = File.objects.filter(source=source).aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is not None:
        for start in range(ends["first"], ends["last"] + 1, _WINDOW):
            yield start, start + _WINDOW - 1


def _long_gone(terms: Terms, start: int, end: int) -> list[int]:
    """Files of these keys whose time in the trash is over."""
    before, source_id = terms.gone_before, terms.source.pk
    if before is None:
        return []
    rows = File.objects.filter(GONE, pk__range=(start, end))
    columns = ["pk", "source_id", "trashed_at", "vanished_at"]
    return [
        pk
        for pk, of, trashed_at, vanished_at in rows.order_by("pk").values_list(*columns)
        if of == source_id and (trashed_at or vanished_at) <= before
    ]


def _with_older(terms: Terms, start: int, end: int) -> set[int]:
    older = Version.objects.filter(
        file_id__gte=start, file_id__lte=end, current=False, state=Version.State.STORED
    ).order_by()
    source_id = terms.source.pk
    return {
        pk for pk, of in older.values_list("file_id", "source_id").distinct() if of == source_id
    }


def judge(terms: Terms, file_ids: Collection[int]) -> list[Prunable]:
    """Copies of these files that may go now."""
    if terms.as_of is None:
        return []
    rows = Version.objects.filter(file_id__in=file_ids).values_list(*_Seen._fields)
    all_of = {version.pk: version for version in map(_Seen._make, rows)}
    copies: dict[int, list[_Lies]] = defaultdict(list)
    lying = Copy.objects.filter(version_id__in=list(all_of)).values_list(*_Lies._fields)
    for copy in map(_Lies._make, lying):
        copies[copy.version_id].append(copy)
    versions: dict[int, list[_Seen]] = defaultdict(list)
    for version_id in copies:
        versions[all_of[version_id].file_id].append(all_of[version_id])
    before = spans.begins([v.pk for v in all_of.values() if v.returned_at and v.pk in copies])
    over = _trash_is_over(terms, file_ids)
    wanted = _wanted_back(terms.source, file_ids)
    found: list[Prunable] = []
    for file_id, seen in versions.items():
        if file_id in over:
            going, why = seen, Why.TRASH
        else:
            going, why = _let_go(terms, seen, copies, before), Why.RETENTION
        if wanted[file_id].isdisjoint(version.pk for version in going):
            found += _prunable(terms, going, copies, why)
    return found


def _trash_is_over(terms: Terms, file_ids: Collection[int]) -> set[int]:
    before = terms.gone_before
    if before is None:
        return set()
    gone = Coalesce("trashed_at", "vanished_at")
    files = File.objects.filter(pk__in=file_ids).annotate(gone_at=gone).filter(gone_at__lte=before)
    return set(files.values_list("pk", flat=True))


def _wanted_back(source: Source, file_ids: Collection[int]) -> dict[int, set[int]]:
    """Versions, by file, that a restore under way has still to bring back."""
    items = RestoreItem.objects.filter(
        restore__run__source=source,
        restore__run__ended_at__isnull=True,
        version__file__in=file_ids,
        state__in=_UNDER_WAY,
    )
    found: dict[int, set[int]] = defaultdict(set)
    for file_id, version_id in items.values_list("version__file", "version"):
        found[file_id].add(version_id)
    return found


def _let_go(
    terms: Terms,
    seen: list[_Seen],
    copies: dict[int, list[_Lies]],
    before: dict[int, list[datetime]],
) -> list[_Seen]:
    """Those of a file's stored versions that its rules let go, and that nothing needs."""
    stored = [v for v in seen if any(copy.state in STORED for copy in copies[v.pk])]
    stored.sort(key=lambda version: (version.current, version.since, version.pk))
    while stored and not _is_everywhere(terms, copies[stored[-1].pk]):
        stored.pop()  # an older one may have to stand in for it
    if len(stored) < 2:
        return []
    stays = _kept(stored, before, terms)
    return [
        version
        for version in stored[:-1]
        if version.pk not in stays
        and not version.current
        and version.state != Version.State.PENDING
    ]


def _is_everywhere(terms: Terms, copies: Sequence[_Lies]) -> bool:
    """Whether a version is stored wherever its source is to be kept."""
    at = {copy.destination_id for copy in copies if copy.state in STORED}
    return at >= terms.destinations


def _kept(stored: Sequence[_Seen], before: dict[int, list[datetime]], terms: Terms) -> set[int]:
    """Those that the rules keep. Of one that came back each spell counts, and any keeps it."""
    begun = [(at, v.pk) for v in stored for at in (*before.get(v.pk, ()), v.since)]
    as_of = terms.as_of or timezone.now()
    rules, zone = terms.policy.rules, _zone(terms.source)
    reasons = kept([at for at, _ in begun], rules, as_of, zone)
    return {pk for (_, pk), why in zip(begun, reasons, strict=True) if why}


def _zone(source: Source) -> tzinfo:
    """Of its schedule; one that this system does not know any more is told where it is set."""
    try:
        return ZoneInfo(schedule.zone_of(source))
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _prunable(
    terms: Terms, going: Sequence[_Seen], copies: dict[int, list[_Lies]], why: Why
) -> Iterator[Prunable]:
    now = timezone.now()
    for version in going:
        if version.state == Version.State.PENDING:
            continue
        for copy in copies[version.pk]:
            # One that is being moved lies in two places: when that is done.
            if (
                copy.destination_id in terms.at_work
                and copy.state in RELEASABLE
                and not copy.old_key
            ):
                locked = (
                    copy.locked_until if copy.locked_until and copy.locked_until > now else None
                )
                yield Prunable(
                    copy.pk, copy.destination_id, version.pk, version.file_id, version.size or 0,
                    copy.object_key, why, locked,
                )  # fmt: skip


@dataclass
class Savings:
    """What would go at one destination; what is protected there is not counted in the others."""

    trash: int = 0  # copies
    retention: int = 0
    bytes: int = 0
    locked: int = 0
    locked_until: datetime | None = None  # the last of those


def savings(found: Iterable[Prunable], into: dict[int, Savings]) -> None:
    """Add these up, by destination."""
    for one in found:
        sums = into.setdefault(one.destination_id, Savings())
        if one.locked_until is not None:
            sums.locked += 1
            sums.locked_until = max(sums.locked_until or one.locked_until, one.locked_until)
            continue
        sums.trash += one.why is Why.TRASH
        sums.retention += one.why is Why.RETENTION
        sums.bytes += one.size


def preview(terms: Terms) -> Iterator[list[Prunable]]:
    """All that a prune would remove now, in batches; changes nothing."""
    for file_ids in batches(terms):
        if found := judge(terms, file_ids):
            yield found


def forgettable(terms: Terms, content: Q) -> Iterator[list[int]]:
    """Files of this content that were gone for long and of which nothing is stored, in batches."""
    source = terms.source
    below = File.objects.filter(source=source, parent_id=OuterRef("remote_id"))
    once_below = Place.objects.filter(source=source, parent_id=OuterRef("remote_id"))
    for start, end in _windows(source):
        for some in chunks(_long_gone(terms, start, end), BATCH):
            files = File.objects.filter(
                ~Exists(Copy.objects.filter(version__file=OuterRef("pk"))),
                ~Exists(below),
                ~Exists(once_below),
                content,
                pk__in=some,
            )
            if found := list(files.order_by("pk").values_list("pk", flat=True)):
                yield found
