"""What there is to heal, when it may be healed, and what is said at the end of a verification."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from syncapp.engine import findings, leftovers, record, runs
from syncapp.engine.feed import RECORDED
from syncapp.engine.kinds import ACTIVE
from syncapp.errors import BackupError, Unavailable
from syncapp.models import Copy, Event, Finding, Lane, Run, Source
from syncapp.words import counted

# Stages that write or remove under keys of the source.
WRITES_KEYS = [Run.Stage.MOVE, Run.Stage.TRANSFER, Run.Stage.PRUNE, Run.Stage.ERASE]


def damaged(source_id: int) -> QuerySet[Copy]:
    """Copies to be made anew."""
    return Copy.objects.filter(
        version__source_id=source_id, destination__enabled=True, state=Copy.State.DAMAGED
    )


def large(source_id: int) -> QuerySet[Copy]:
    """Those of them that are sent part by part before the others are healed."""
    return damaged(source_id).filter(version__size__gte=RECORDED)


def covered(source_id: int) -> QuerySet[Finding]:
    """Copies that are there, with something else on top of them; not of a version that another has
    replaced since: that is on top by right."""
    return findings.strangers().filter(
        source_id=source_id, copy__state__in=findings.STORED, copy__version__current=True
    )


def is_needed(run: Run) -> bool:
    """Whether there is anything to heal, or to clear away."""
    if damaged(run.source_id).exists() or covered(run.source_id).exists():
        return True
    return leftovers.found(run.source_id).exists()


def others_write(source_id: int) -> bool:
    """Whether another run of the source is at a stage that writes under keys: it goes first."""
    return Run.objects.filter(ACTIVE, source_id=source_id, stage__in=WRITES_KEYS).exists()


def keeps_out(run: Run) -> bool:
    """Whether another run of the source writes under keys that this one would write under.

    In a transaction: the source's row is held until its end, so that no two look at once.
    """
    if run.stage != Run.Stage.HEAL and run.stage not in WRITES_KEYS:
        return False
    Source.objects.select_for_update().filter(pk=run.source_id).values_list("pk").first()
    lanes = Lane.objects.filter(run__source_id=run.source_id, ended_at__isnull=True)
    if run.stage == Run.Stage.HEAL:
        return others_write(run.source_id) or lanes.filter(stage__in=WRITES_KEYS).exists()
    return lanes.filter(stage=Run.Stage.HEAL).exists()


def at_google(source_id: int) -> QuerySet[Copy]:
    """Damaged copies that a backup can make anew: of what Google still gives."""
    return damaged(source_id).filter(
        version__current=True, version__file__vanished_at__isnull=True, version__file__problem=""
    )


class Damaged(BackupError):
    """Ends a verification that leaves damage behind; each copy has its finding."""

    code = "copies_damaged"


def end(run: Run) -> None:
    """End a verification: what was found, what was healed, what is left to do."""
    run.refresh_from_db()
    left = damaged(run.source_id).count()
    source = run.source
    found = run.findings.exclude(kind=Finding.Kind.FOREIGN)
    since = Finding.objects.filter(source=source, healed_at__gte=run.created_at)
    healed = since.exclude(healed_from=findings.GONE).count()
    copies = counted(run.files_done, "copy", "copies")
    parts = [f"{counted(run.files_seen, 'object')} listed, {copies} read back"]
    parts += [f"{found.count()} found missing or different"] if found.exists() else []
    parts += [f"{healed} healed"] if healed else []
    foreign = findings.unknown(source).count()
    parts += [f"{counted(foreign, 'object')} there not ours"] if foreign else []
    told = f"{', '.join(parts)}."
    if left:
        told = f"{_left(source, left)} {told}"
    if run.error_code:
        runs.fail(run, Unavailable(f"{run.error_message} {told}", code=run.error_code))
    elif left:
        runs.fail(run, Damaged(told))
    elif healed or found.exists() or foreign:
        runs.complete(run, told, outcome=Run.Outcome.WARNINGS)
    else:
        runs.complete(run, f"{told[:-1]}, every byte as stored.")
    if not left:
        record.mended(source.owner, "copies_lost", source=source)


def _left(source: Source, left: int) -> str:
    """What becomes of copies that no other destination could mend; begins the backup for it."""
    again = at_google(source.pk).count()
    parts = []
    if again:
        these = counted(again, "damaged copy", "damaged copies")
        parts.append(f"The next backup makes {these} anew from Google.")
        if not source.paused and not source.blocked_code:
            runs.request_backup(source, trigger=Run.Trigger.DAMAGE)
    if left > again:
        parts.append(_lost(source, left - again))
    return " ".join(parts)


def _lost(source: Source, copies: int) -> str:
    rest = damaged(source.pk).exclude(pk__in=at_google(source.pk).values("pk"))
    elsewhere = Q(version__copies__state__in=findings.STORED)
    versions = rest.values("version").distinct().count()
    whole = rest.filter(elsewhere).values("version").distinct().count()
    gone = versions - whole
    left = counted(copies, "damaged copy", "damaged copies")
    told = f"{left} of {counted(versions, 'version')} could not be made anew."
    if gone:
        told += (
            f" {gone} of these versions have no good copy anywhere: old or deleted content that"
            " Google has no more. Look for it in other backups; if its bucket keeps versions or"
            " has an archive, restore the object there and verify again."
        )
        record.event(
            source.owner,
            "copies_lost",
            f"{source.name}: {told}",
            level=Event.Level.ALERT,
            source=source,
        )
    return told
