"""A verification: everything is listed and held against the catalog, a share of it is read back.

First the census of each destination, then the copies that were not read for longest (all of them,
if that was asked for); then what is damaged is made anew (`remake`, `heal`). Goes on where it
stopped: which destinations are listed is written down, and what was read bears the time.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import F, Sum

from syncapp.engine import census, due, findings, mending, runs
from syncapp.engine.beat import Beat
from syncapp.engine.findings import STORED
from syncapp.engine.readback import Kept, Reader, Reading, Sites, kept
from syncapp.engine.sets import chunks
from syncapp.models import Copy, Lane, Run
from syncapp.words import counted

BATCH = 64
PASSES = 3  # over copies that could not be read


def verify(run: Run, lane: Lane, beat: Beat) -> None:
    """One lane of a verification, up to its healing; returns early when told to stop."""
    sites = Sites(run, beat)
    reader = Reader(run, beat, sites)
    try:
        doubtful = census.check(run, reader)
        unread = None if doubtful is None else _read_back(run, reader, doubtful)
    finally:
        reader.close()
    if unread is None:
        return
    _note_unread(run, sites, unread)
    findings.adopt(run)
    findings.close_mended(run.source)
    if mending.is_needed(run):
        large = mending.large(run.source_id).exists()
        runs.move_on(run, Run.Stage.VERIFY, Run.Stage.REMAKE if large else Run.Stage.HEAL)
    else:
        mending.end(run)


def _read_back(run: Run, reader: Reader, doubtful: list[Reading]) -> list[Reading] | None:
    """Read what is due; what could not be read, or None when told to stop."""
    due.choose(run)
    if census.once(run, "counted"):
        _count(run)
    unread = list(doubtful)
    for batch in _batches(run, reader.sites):
        reader.beat.raise_if_lost()
        if not reader.beat.may_take():
            return None
        unread += reader.read(batch)
    for _ in range(PASSES - 1):
        again, unread = [reading.copy.pk for reading in unread], []
        for some in chunks(again, BATCH):
            if reader.beat.halted():
                return None
            unread += reader.read(kept(Copy.objects.filter(pk__in=some, state__in=STORED)))
    return unread


def _batches(run: Run, sites: Sites) -> Iterator[list[Kept]]:
    last = 0
    while batch := kept(
        due.unread(run).filter(pk__gt=last, destination_id__in=sites.up).order_by("pk")[:BATCH]
    ):
        yield batch
        last = batch[-1].pk


def _count(run: Run) -> None:
    unread = due.unread(run)
    Run.objects.filter(pk=run.pk).update(
        files_total=F("files_total") + unread.count(),
        bytes_total=unread.aggregate(bytes=Sum("version__size"))["bytes"] or 0,
    )


def _note_unread(run: Run, sites: Sites, unread: list[Reading]) -> None:
    """Keep for the run's end what could not be looked at, and why."""
    told = [f"{sites.names[pk]} did not answer: {e.message}" for pk, e in sites.errors.items()]
    elsewhere = [r for r in unread if r.copy.destination_id not in sites.errors]
    if elsewhere:
        count = counted(len(elsewhere), "copy", "copies")
        told.append(f"{count} could not be read: {elsewhere[0].message}")
    codes = [e.code for e in sites.errors.values()] + [r.unread for r in elsewhere]
    if told:
        Run.objects.filter(pk=run.pk).update(error_code=codes[0][:64], error_message=" ".join(told))
