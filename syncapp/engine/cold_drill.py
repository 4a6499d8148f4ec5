"""A drill's share from cold storage: a few small files, for retrieving them costs money.

Nothing is retrieved unless a person has asked for it, or allows a sum a month. What it may cost is
known beforehand, from the service's list prices: FILES of at most MOST_BYTES, in the dearest of its
cold classes, rounded up to a cent, which has room for the fees of so few requests. That sum counts
against the month from the moment at which the sample is written down.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

from django.utils import timezone

from syncapp.destinations.local import LocalDestination
from syncapp.destinations.providers import PROVIDERS
from syncapp.engine.findings import STORED
from syncapp.engine.policies import Effective
from syncapp.engine.readback import ARCHIVED
from syncapp.engine.samples import DRAWS, Sample
from syncapp.models import Copy, Destination, Restore, Run, Source, Version
from syncapp.words import counted, money

FILES, MOST_BYTES = 3, 16 * 1024**2  # of each destination
PATIENCE = timedelta(days=3)  # Amazon's slowest retrieval takes two
COLD, CENTS = "cold", "cold_cents"  # options of a drill: copies to retrieve; cents by currency


def most_cents(row: Destination) -> tuple[str, int] | None:
    """Currency and the most that this destination's share can cost; None if nobody told prices."""
    prices = PROVIDERS[row.options.get("provider") or "other"].prices
    if prices is None or not prices.retrieval:
        return None
    a_gb = prices.egress + max(prices.retrieval.values())
    return prices.currency, max(math.ceil(a_gb * FILES * MOST_BYTES / 1e9 * 100), 1)


def told(cents: Mapping[str, int]) -> str:
    """As `money` tells sums of whole units."""
    return money({currency: number / 100 for currency, number in cents.items()})


def stated(source: Source) -> str:
    """What a drill from cold storage would mean, as sentences for whoever is about to ask."""
    cents, unknown = Counter[str](), list[str]()
    for row in _places(source):
        most = most_cents(row)
        if most is None:
            unknown.append(row.name)
        else:
            cents[most[0]] += most[1]
    text = f"Up to {counted(FILES, 'small file')} of each destination's cold storage are retrieved"
    text += f", for {told(cents)} at most by the list prices" if cents else ""
    text += f"; what {', '.join(unknown)} asks for it is not known" if unknown else ""
    return f"{text}. It takes hours, up to two days."


def spent(source: Source) -> Counter[str]:
    """Cents by currency of the drills that began in this calendar month."""
    first = timezone.localtime().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    drills = Restore.objects.filter(
        run__source=source, run__kind=Run.Kind.DRILL, run__created_at__gte=first
    )
    sums = Counter[str]()
    for options in drills.values_list("options", flat=True):
        sums.update(options.get(CENTS, {}))
    return sums


def choose(run: Run, policy: Effective, *, asked: bool) -> tuple[list[Sample], Counter[str]]:
    """What is to be retrieved, and the most that it costs.

    `asked` by a person: of every destination that has anything cold. Otherwise of those that have
    nothing else, as far as the month's sum goes, which is each currency's.
    """
    chosen, cents = list[Sample](), Counter[str]()
    if not asked and not policy.drill_cold_cents:
        return chosen, cents
    before, chance = spent(run.source), random.Random(run.pk)
    for row in _places(run.source):
        most = most_cents(row)
        if not asked:
            if most is None or _is_readable(run.source_id, row.pk):
                continue
            if before[most[0]] + cents[most[0]] + most[1] > policy.drill_cold_cents:
                continue
        drawn = list(_draw(run.source_id, row.pk, chance))
        chosen += drawn
        if drawn and most is not None:
            cents[most[0]] += most[1]
    return chosen, cents


def _places(source: Source) -> Iterator[Destination]:
    rows = source.destinations.filter(enabled=True).exclude(kind=LocalDestination.kind)
    yield from rows.order_by("pk")


def _is_readable(source_id: int, destination_id: int) -> bool:
    """Whether an ordinary drill finds anything there."""
    here = Copy.objects.filter(
        version__source_id=source_id, destination_id=destination_id, state__in=STORED
    )
    return here.exclude(error_code=ARCHIVED).exists()


def _draw(source_id: int, destination_id: int, chance: random.Random) -> Iterator[Sample]:
    here = Version.objects.filter(
        copies__destination_id=destination_id,
        copies__state__in=STORED,
        copies__error_code=ARCHIVED,
        source_id=source_id,
        size__lte=MOST_BYTES,
    ).order_by("pk")
    low, high = (here.values_list("pk", flat=True), here.values_list("pk", flat=True).reverse())
    first, last = low.first(), high.first()
    if first is None or last is None:
        return
    seen: set[int] = set()
    for _ in range(FILES * DRAWS):
        drawn = here.filter(pk__gte=chance.randint(first, last)).values_list("pk", "size").first()
        if drawn is not None and drawn[0] not in seen and len(seen) < FILES:
            seen.add(drawn[0])
            yield Sample(drawn[0], destination_id, drawn[1] or 0)
