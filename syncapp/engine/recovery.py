"""Rebuilding the catalog from one destination, a source at a time.

Each part of a segment is one transaction that also notes how far it is, so a recovery that was
killed goes on where it was. Until all is there the source is blocked. Nothing is written to the
destination. `reconcile` follows: what lies there is compared with what the catalog says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from syncapp.destinations.base import Destination as Store
from syncapp.destinations.local import LocalDestination
from syncapp.engine import marks, planning, reconcile, recovery_plan, recovery_setup, segment_store
from syncapp.engine.reconcile import Compared
from syncapp.engine.recovery_plan import Chain
from syncapp.engine.segment_intake import Intake
from syncapp.engine.sets import gather_statistics
from syncapp.errors import BackupError, ConfigurationError
from syncapp.models import (
    Canary,
    Copy,
    Destination,
    File,
    Finding,
    Place,
    Recovery,
    Source,
    Span,
    Version,
)

log = logging.getLogger(__name__)
OnFiles = Callable[[int], None]
CLEAR, FILL, FILL_FIRST = "clear", "fill", "fill first"
_PREPARED = "_prepared"


@dataclass
class Rebuilt:
    """What became of one source."""

    source: Source
    recovery: Recovery
    files: int


def look(store: Store, on_part: recovery_plan.OnPart = lambda _: None) -> list[Chain]:
    """Every source that has segments there, and what to rebuild it from; each part is checked."""
    found = recovery_plan.sources(store)
    return [recovery_plan.chain(store, slug, there, on_part) for slug, there in found.items()]


def destination_row(at_hand: Destination, owner: User, chain: Chain) -> Destination:
    """The owner's row for the place that is recovered from (`at_hand` need not be saved): the one
    at the same place, with the keys of now, or a new one, called as the catalog calls it."""
    options = at_hand.options
    if at_hand.kind == LocalDestination.kind:
        options = {**options, _PREPARED: "1"}
    for row in Destination.objects.filter(owner=owner, kind=at_hand.kind):
        if _chosen(row.options) == _chosen(options):
            row.secrets = at_hand.secrets
            row.blocked_code = row.blocked_reason = ""
            row.save()
            return row
    name = recovery_setup.free_name(owner, _name_in(chain))
    return Destination.objects.create(
        owner=owner, kind=at_hand.kind, options=options, secrets=at_hand.secrets, name=name
    )


def settle_place(row: Destination, *, take_over: bool) -> marks.OtherInstallation | None:
    """After a rebuild: whose place it is. Ours by its mark or, with `take_over`, from now on; else
    nothing is written there until a person says so, and why that is comes back: the installation
    that made these backups may be alive. Other BackupErrors: our mark could not be left there."""
    store = segment_store.catalog_store(row)
    if take_over:
        marks.claim(row, store, take_over=True)
        return None
    try:
        mark = marks.found(store)
    except BackupError:
        mark = None
    if mark is not None and mark.installation in marks.known(row):
        return None
    error = marks.OtherInstallation(mark)
    row.blocked_code, row.blocked_reason = error.code, error.message
    row.blocked_at = timezone.now()
    row.save(update_fields=["blocked_code", "blocked_reason", "blocked_at"])
    return error


def _chosen(options: Mapping[str, str]) -> dict[str, str]:
    """Without what tests of the destination have left."""
    return {name: value for name, value in options.items() if not name.startswith("_")}


def _name_in(chain: Chain) -> str:
    """What the destination at hand was called by the catalog."""
    known = chain.segments[-1].names[0].destination
    names = [d["name"] for d in chain.header["destinations"] if d["id"] == known]
    return str(names[0]) if names else "Recovered destination"


def rebuild(chain: Chain, at_hand: Destination, owner: User, on_files: OnFiles) -> Rebuilt:
    """One source's rows from its segments; goes on where an earlier try has ended.

    What came of damaged segments is made anew of whole ones, if it was not used meanwhile.
    `on_files` hears how many lines were done. ConfigurationError if the source is there already
    and did not come from here. DamagedSegment if a part changed since it was checked.
    """
    source = recovery_setup.source_row(chain.header, owner)
    recovery = _recovery(chain, source, at_hand)
    if recovery.rebuilt_at is None:
        _fill(chain, source, recovery, at_hand, on_files)
        _open(chain, source, recovery, at_hand)
    source.refresh_from_db()
    return Rebuilt(source, recovery, recovery.files)


def _recovery(chain: Chain, source: Source, at_hand: Destination) -> Recovery:
    plan = _plan(chain)
    found = Recovery.objects.filter(source=source).first()
    if found is None:
        if File.objects.filter(source=source).exists():
            raise _here_already(source)
        return Recovery.objects.create(
            source=source, destination=at_hand, plan=plan, notes=chain.notes, damaged=chain.damaged
        )
    differs = found.plan != plan or found.destination_id != at_hand.pk
    if found.ended_at is not None:
        differs = differs and found.damaged and not chain.damaged
        if differs and (source.runs.exists() or Canary.objects.filter(file__source=source)):
            raise _here_already(source)
    if differs:
        _empty(source)
        found.plan, found.done, found.files = plan, 0, 0
        found.rebuilt_at = found.ended_at = None
        found.destination, found.notes, found.damaged = at_hand, chain.notes, chain.damaged
        found.save()
    return found


def _here_already(source: Source) -> ConfigurationError:
    return ConfigurationError(
        f"“{source.name}” is here already and has a catalog. Recover into an empty database, or "
        "remove that source first."
    )


def _plan(chain: Chain) -> list[list[str]]:
    """The steps, in order. What changed is cleared before any of it is filled in: files of one
    segment may have exchanged their names."""
    steps = []
    for i, found in enumerate(chain.segments):
        keys = [name.key for name in found.names]
        if i:
            steps += [[CLEAR, key] for key in keys]
        steps += [[FILL if i else FILL_FIRST, key] for key in keys]
    return steps


def _empty(source: Source) -> None:
    """Another plan than last time: what was rebuilt by the old one goes."""
    with transaction.atomic():
        for rows in (
            Finding.objects.filter(source=source),
            Copy.objects.filter(version__source=source),
            Span.objects.filter(version__source=source),
            Version.objects.filter(source=source),
            Place.objects.filter(source=source),
            File.objects.filter(source=source),
        ):
            rows._raw_delete(rows.db)


def _fill(
    chain: Chain, source: Source, recovery: Recovery, at_hand: Destination, on_files: OnFiles
) -> None:
    store = segment_store.catalog_store(at_hand)
    ids = {key: found for found in chain.segments for key in (n.key for n in found.names)}
    for step, (what, key) in enumerate(recovery.plan):
        found = ids[key]
        if step < recovery.done:
            on_files(found.lines // len(found.names) if what != CLEAR else 0)
            continue
        with transaction.atomic():
            known = found.names[0].destination
            rows = recovery_setup.destination_rows(found.header, source.owner, at_hand, known)
            intake = Intake(source.pk, rows)
            lines = recovery_plan.part_lines(store, key)
            if what == CLEAR:
                for _ in intake.clear(lines):
                    pass
            else:
                for count in intake.fill(lines, among_others=what == FILL):
                    recovery.files += count
                    on_files(count)
            recovery.done = step + 1
            recovery.save(update_fields=["done", "files"])


def _open(chain: Chain, source: Source, recovery: Recovery, at_hand: Destination) -> None:
    """The catalog is complete: where the source is kept, what of it is still to be copied."""
    known = chain.segments[-1].names[0].destination
    with transaction.atomic():
        rows = recovery_setup.destination_rows(chain.header, source.owner, at_hand, known)
        recovery_setup.policies(chain.header, source)
        recovery_setup.open_source(source, chain.header, rows)
        recovery.files = File.objects.filter(source=source).count()
        recovery.rebuilt_at = timezone.now()
        recovery.save()
    gather_statistics()
    planning.plan_lacking(source, source.planned_for)
    log.info("recovery.rebuilt source=%d files=%d", source.pk, recovery.files)


def compare(source: Source, at_hand: Destination, on_objects: OnFiles) -> Compared:
    """Hold the catalog against what lies at the destination; the end of a recovery."""
    compared = reconcile.compare(source, at_hand, on_objects)
    for recovery in Recovery.objects.filter(source=source, ended_at__isnull=True):
        recovery.notes = [*recovery.notes, *compared.notes()]
        recovery.files = source.files.count()
        recovery.ended_at = timezone.now()
        recovery.save()
    return compared
