"""What protection is judged by, gathered for several sources in a fixed number of queries.

Counting copies walks them (about a second for a million on SQLite): pages ask `web/protected`,
which counts large catalogs in a thread and keeps the figures for a while.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet

from syncapp.destinations.local import LocalDestination
from syncapp.destinations.providers import PROVIDERS
from syncapp.engine import breakers, findings, not_backed_up
from syncapp.engine.health import told
from syncapp.engine.policies import Effective, Origin, resolve
from syncapp.engine.protection import Facts, Place, Protection, judge
from syncapp.engine.readback import ARCHIVED
from syncapp.engine.when import current_at
from syncapp.models import (
    Breaker,
    Copy,
    Destination,
    File,
    Finding,
    Policy,
    Run,
    SegmentCopy,
    Source,
    Version,
)

_GOOD = [Run.Outcome.OK, Run.Outcome.WARNINGS]


def protections(sources: Sequence[Source], now: datetime) -> dict[int, Protection]:
    """The judgement of each source, by id."""
    return {pk: judge(facts, now) for pk, facts in facts_of(sources, now).items()}


def facts_of(sources: Sequence[Source], now: datetime) -> dict[int, Facts]:
    """What is known of each source, by id; the number of queries does not depend on theirs."""
    ids = [source.pk for source in sources]
    if not ids:
        return {}
    policies = _policies(sources)
    copies = _copies(ids, policies, now)
    places = _places(sources, copies)
    backups = _last_runs(ids, Run.Kind.BACKUP, _GOOD)
    # One with warnings has tried nothing: it says nothing against what an earlier one has found.
    drills = _last_runs(ids, Run.Kind.DRILL, [Run.Outcome.OK, Run.Outcome.FAILED])
    versions, refused, found = _versions(ids), _refused(ids), _findings(ids)
    facts = {}
    for source in sources:
        policy, last, drill = policies[source.pk], backups.get(source.pk), drills.get(source.pk)
        failed = drill is not None and drill.outcome == Run.Outcome.FAILED
        facts[source.pk] = Facts(
            places=[place.seen for place in places[source.pk]],
            blocked=source.blocked_reason if source.blocked_code else "",
            paused=source.paused,
            by_hand=source.mode == Source.Mode.MANUAL,
            current_at=current_at(source, last, now) if last else None,
            refused=refused[source.pk],
            verify_days=policy.verify_days,
            drill_days=policy.drill_days,
            proven_at=source.proven_at,
            drill_failed=drill.error_message if failed and drill else "",
            **_together(copies[source.pk, place.pk] for place in places[source.pk]),
            **versions[source.pk],
            **found[source.pk],
        )
    return facts


def _policies(sources: Sequence[Source]) -> dict[int, Effective]:
    rows = list(Policy.objects.filter(owner_id__in={source.owner_id for source in sources}))
    own = {row.source_id: row for row in rows if row.source_id is not None}
    default = {row.owner_id: row for row in rows if row.source_id is None}
    return {
        source.pk: resolve(
            [(Origin.SOURCE, own.get(source.pk)), (Origin.DEFAULT, default.get(source.owner_id))]
        )
        for source in sources
    }


class _At(NamedTuple):
    """A destination of a source."""

    pk: int
    seen: Place


def _places(
    sources: Sequence[Source], copies: Mapping[tuple[int, int], _Copies]
) -> dict[int, list[_At]]:
    ids = [source.pk for source in sources]
    pairs = list(
        Source.destinations.through.objects.filter(source_id__in=ids).values_list(
            "source_id", "destination_id"
        )
    )
    rows = Destination.objects.filter(enabled=True).in_bulk({pk for _, pk in pairs})
    down = breakers.open_of(rows, [])
    kept = set(
        SegmentCopy.objects.filter(segment__source_id__in=ids)
        .values_list("segment__source_id", "destination_id")
        .distinct()
    )
    found: dict[int, list[_At]] = {pk: [] for pk in ids}
    for source_id, destination_id in sorted(pairs):
        row = rows.get(destination_id)
        if row is not None:
            outage = down.get(breakers.destination_key(row.pk))
            held = copies[source_id, destination_id]
            seen = _place(row, outage, held, catalog=(source_id, destination_id) in kept)
            found[source_id].append(_At(destination_id, seen))
    return found


def _place(row: Destination, outage: Breaker | None, held: _Copies, *, catalog: bool) -> Place:
    trouble = row.blocked_reason if row.blocked_code else told(outage) if outage else ""
    readable = held.copies - held.archived
    counts = held.present, readable, held.read, held.since
    return Place(row.name, spot_of(row), in_eu(row), trouble, catalog, *counts)


def spot_of(row: Destination) -> str:
    """Where it is, as far as accidents are concerned: this server, or a service's region."""
    if row.kind == LocalDestination.kind:
        return "here"
    provider, region = row.options.get("provider") or "other", row.options.get("region", "")
    host = urlsplit(str(row.options.get("endpoint", ""))).hostname or ""
    return f"{provider} {region or host}"


def in_eu(row: Destination) -> bool | None:
    """Whether its bytes lie in the European Union, as far as the service's region tells."""
    provider = PROVIDERS.get(row.options.get("provider") or "")
    regions = provider.regions if provider else ()
    return next((r.in_eu for r in regions if r.name == row.options.get("region")), None)


def _last_runs(ids: Sequence[int], kind: str, outcomes: Sequence[str]) -> dict[int, Run]:
    ended = Run.objects.filter(source_id__in=ids, kind=kind, outcome__in=outcomes)
    newest = ended.values("source_id").annotate(newest=Max("pk")).values_list("newest", flat=True)
    return {run.source_id: run for run in Run.objects.filter(pk__in=list(newest))}


class _Copies(NamedTuple):
    """Stored copies of one source at one destination."""

    copies: int = 0
    present: int = 0  # of present contents
    read: int = 0
    archived: int = 0
    since: datetime | None = None


def _copies(
    ids: Sequence[int], policies: dict[int, Effective], now: datetime
) -> dict[tuple[int, int], _Copies]:
    """By source and destination."""
    fresh = Q(pk__in=[])
    for pk in ids:
        since = now - timedelta(days=policies[pk].verify_days)
        fresh |= Q(version__source_id=pk, verified_at__gte=since)
    rows = Copy.objects.filter(version__source_id__in=ids, state__in=findings.STORED)
    counted = (
        rows.values("version__source_id", "destination_id")
        .annotate(
            copies=Count("pk"),
            present=Count("pk", filter=Q(version__current=True)),
            read=Count("pk", filter=fresh),
            archived=Count("pk", filter=Q(error_code=ARCHIVED)),
            since=Min("stored_at"),
        )
        .order_by()
    )
    found: dict[tuple[int, int], _Copies] = defaultdict(_Copies)
    of = "version__source_id", "destination_id"
    for pk, destination_id, *values in counted.values_list(*of, *_Copies._fields):
        found[pk, destination_id] = _Copies(*values)
    return found


def _together(places: Iterable[_Copies]) -> dict[str, Any]:
    """What all destinations of a source hold, in the names of `Facts`."""
    held = list(places)
    names = "copies", "read", "archived"
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in held) for name in names}
    return sums | {"since": min((one.since for one in held if one.since), default=None)}


def _versions(ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {pk: {"waiting": 0, "failed": 0} for pk in ids}
    # One each, in the words of the partial indexes.
    for name, state in (("waiting", Version.State.PENDING), ("failed", Version.State.FAILED)):
        rows = Version.objects.filter(source_id__in=ids, state=state, current=True)
        for pk, number in _by_source(rows):
            found[pk][name] = number
    return found


def _refused(ids: Sequence[int]) -> Counter[int]:
    found: Counter[int] = Counter()
    listed = not_backed_up.refused_at_listing(File.objects.filter(source_id__in=ids))
    read = not_backed_up.refused_at_reading(Version.objects.filter(source_id__in=ids))
    for rows in (listed, read):
        for pk, number in _by_source(rows):
            found[pk] += number
    return found


def _by_source(rows: QuerySet[Any]) -> list[tuple[int, int]]:
    counted = rows.values("source_id").annotate(n=Count("pk")).order_by()
    return list(counted.values_list("source_id", "n"))


def _findings(ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = defaultdict(
        lambda: {"damaged": 0, "covered": 0, "foreign": 0, "lost": 0}
    )
    rows = Finding.objects.filter(source_id__in=ids, healed_at__isnull=True)
    foreign = Q(kind=Finding.Kind.FOREIGN)
    counted = (
        rows.values("source_id")
        .annotate(
            damaged=Count("pk", filter=~foreign),
            covered=Count("pk", filter=foreign & Q(copy__isnull=False)),
            foreign=Count("pk", filter=foreign & Q(copy__isnull=True, known_at__isnull=True)),
        )
        .order_by()
    )
    names = "damaged", "covered", "foreign"
    for pk, *values in counted.values_list("source_id", *names):
        found[pk] |= dict(zip(names, values, strict=True))
    elsewhere = Copy.objects.filter(version=OuterRef("copy__version"), state__in=findings.STORED)
    gone = rows.exclude(foreign).filter(
        ~Exists(elsewhere),
        ~Q(
            copy__version__current=True,
            copy__version__file__vanished_at__isnull=True,
            copy__version__file__problem="",
        ),
    )
    lost = gone.values("source_id").annotate(n=Count("copy__version", distinct=True)).order_by()
    for pk, number in lost.values_list("source_id", "n"):
        found[pk]["lost"] = number
    return found
