"""What a drill restores: a random sample that has some of everything, and the pinned files.

Seeded by the run, so that a drill can be repeated by whoever doubts it. Drawn by key: a draw reads
a few rows of an index, however many files there are; only the largest are looked for in all.
What lies in cold storage is left out: its retrieval takes hours and costs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.conf import settings
from django.db.models import Max, Min, Q

from syncapp.engine import spans
from syncapp.engine.findings import STORED
from syncapp.engine.readback import ARCHIVED
from syncapp.models import Copy, File, Run, Source, Version
from syncapp.types import Content

LARGEST = 20  # of which one is drawn
DRAWS = 4  # tries for each that is wanted: some draws meet the same file


class Sample(NamedTuple):
    """One stored copy to be restored from where it is."""

    version_id: int
    destination_id: int
    size: int


def choose(run: Run, files: int) -> list[Sample]:
    """About `files` of each destination's, in random order; pinned ones from each that has them."""
    chance = random.Random(run.pk)
    destinations = sorted(run.source.destinations.filter(enabled=True).values_list("pk", flat=True))
    found: dict[Sample, None] = dict.fromkeys(_pinned(run, destinations))
    if destinations:
        share = max(-(-files // len(destinations)), 1)
        for destination_id in destinations:
            drawn = _stratified(run.source_id, destination_id, share, chance)
            found |= dict.fromkeys(drawn)
    chosen = list(found)
    chance.shuffle(chosen)
    return chosen


def is_stored(file: File) -> bool:
    """Whether any content of it is, so that a drill can restore it."""
    return Version.objects.filter(file=file, copies__state__in=STORED).exists()


def unstored_pins(source: Source) -> list[File]:
    """Pinned files of which nothing is stored: no drill can restore them."""
    pinned = source.canaries.select_related("file").order_by("pk")
    return [canary.file for canary in pinned if not is_stored(canary.file)]


def _pinned(run: Run, destinations: Sequence[int]) -> Iterator[Sample]:
    """The newest stored version of each, at every destination that has it outside cold storage."""
    for file_id in run.source.canaries.order_by("pk").values_list("file_id", flat=True):
        versions = Version.objects.filter(file_id=file_id, copies__state__in=STORED)
        newest = versions.order_by("-current", spans.SINCE.desc()).first()
        if newest is not None:
            copies = Copy.objects.filter(
                version=newest, destination_id__in=destinations, state__in=STORED
            ).exclude(error_code=ARCHIVED)
            for destination_id in copies.order_by("destination_id").values_list(
                "destination_id", flat=True
            ):
                yield Sample(newest.pk, destination_id, newest.size or 0)


def _stratified(
    source_id: int, destination_id: int, number: int, chance: random.Random
) -> Iterator[Sample]:
    """A large one, an old version, an export, and the rest from anywhere."""
    here = Version.objects.filter(
        Q(copies__destination_id=destination_id, copies__state__in=STORED)
        & ~Q(copies__error_code=ARCHIVED),
        source_id=source_id,
    )
    by_size = here.filter(size__lte=settings.SPOOL_BUDGET).order_by("-size")
    if largest := list(by_size.values_list("pk", "size")[:LARGEST]):
        version_id, size = chance.choice(largest)
        yield Sample(version_id, destination_id, size or 0)
    strata = [here.filter(current=False), here.filter(file__content=Content.EXPORT)]
    ends = Version.objects.filter(source_id=source_id).aggregate(low=Min("pk"), high=Max("pk"))
    seen: set[int] = set()
    for n in range(number * DRAWS):
        rows = strata[n] if n < len(strata) else here
        if len(seen) >= number or ends["low"] is None:
            return
        begin = chance.randint(ends["low"], ends["high"])
        after = rows.filter(pk__gte=begin).order_by("pk").values_list("pk", "size").first()
        drawn = after or rows.order_by("pk").values_list("pk", "size").first()
        if drawn is not None and drawn[0] not in seen:
            seen.add(drawn[0])
            yield Sample(drawn[0], destination_id, drawn[1] or 0)
