"""Findings: written when a check finds something, closed when it is as it should be again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from syncapp.engine import record
from syncapp.engine.sets import by_pk, chunks, insert_many
from syncapp.models import Copy, Event, Finding, Run, Source

STORED = [Copy.State.STORED, Copy.State.VERIFIED]
CODES = {
    Finding.Kind.MISSING.value: "missing",
    Finding.Kind.SIZE.value: "size_mismatch",
    Finding.Kind.CONTENT.value: "checksum_mismatch",
}
_KINDS = {code: kind for kind, code in CODES.items()}
GOOGLE, GONE = "Google", "gone"  # `healed_from`, where it is no destination
MOST_TOLD = 20  # copies of a batch that are told one by one
MOST_ALERTS = 20  # open ones of single copies, per source; the run's own tells the number
_COLUMNS = [
    *("source_id", "destination_id", "run_id", "copy_id", "kind", "object_key", "message"),
    *("found_at", "healed_at", "healed_from"),
]


def damaged(run: Run, found: Sequence[tuple[int, str, str]]) -> None:
    """A finding for each of these copies (copy, kind, message); in the caller's transaction."""
    where = {
        pk: (destination_id, key)
        for pk, destination_id, key in Copy.objects.filter(
            pk__in=[pk for pk, *_ in found], state=Copy.State.DAMAGED
        ).values_list("pk", "destination_id", "object_key")
    }
    known = set(_open_of(where).values_list("copy_id", flat=True))
    now = timezone.now()
    insert_many(
        Finding,
        _COLUMNS,
        [
            (run.source_id, where[pk][0], run.pk, pk, kind, where[pk][1], message, now, None, "")
            for pk, kind, message in found
            if pk in where and pk not in known
        ],
    )


def _open_of(copies: Collection[int]) -> QuerySet[Finding]:
    return Finding.objects.filter(copy_id__in=copies, healed_at__isnull=True).exclude(
        kind=Finding.Kind.FOREIGN
    )


def adopt(run: Run) -> None:
    """Findings for copies that something else than a check has found damaged: a move, a drill."""
    open_ones = Finding.objects.filter(copy=OuterRef("pk"), healed_at__isnull=True)
    lost = Copy.objects.filter(
        ~Exists(open_ones), version__source_id=run.source_id, state=Copy.State.DAMAGED
    )
    for batch in by_pk(lost, "error_code", "error_message", size=500):
        damaged(
            run,
            [
                (pk, _KINDS.get(code, Finding.Kind.CONTENT.value), message)
                for pk, code, message in batch
            ],
        )


def alert(run: Run, copies: Collection[int]) -> None:
    """An alert for each damaged copy, up to a number."""
    if not copies:
        return
    room = MOST_ALERTS - _alerts(run.source).count()
    if room <= 0:
        return
    rows = Copy.objects.filter(pk__in=list(copies), state=Copy.State.DAMAGED)
    for copy in rows.select_related("destination", "version").order_by("pk")[:room]:
        record.event(
            run.source.owner,
            "copy_damaged",
            f"{copy.destination.name}: {copy.object_key}: {copy.error_message}",
            level=Event.Level.ALERT,
            source=run.source,
            destination=copy.destination,
            run=run,
            version=copy.version,
        )


def _alerts(source: Source) -> QuerySet[Event]:
    return Event.objects.filter(
        owner=source.owner,
        source=source,
        code="copy_damaged",
        level=Event.Level.ALERT,
        acknowledged_at__isnull=True,
    )


def close(source: Source, copies: Collection[int], origin: str) -> None:
    """These copies are as they should be again, by the bytes of `origin`."""
    for batch in chunks(list(copies), 500):
        _open_of(batch).update(healed_at=timezone.now(), healed_from=origin[:100])
        _close_alerts(source, batch)


def healed(run: Run, copies: Collection[int], origin: str) -> None:
    """These copies are as they should be again, by the bytes of `origin`; told."""
    if not copies:
        return
    source = run.source
    close(source, copies, origin)
    for copy in Copy.objects.filter(pk__in=list(copies)).select_related("destination")[:MOST_TOLD]:
        record.event(
            source.owner,
            "copy_healed",
            f"{copy.destination.name}: {copy.object_key} is whole again, by the bytes of {origin}.",
            source=source,
            destination=copy.destination,
            run=run,
        )


def _close_alerts(source: Source, copies: Collection[int]) -> None:
    about = set(
        Copy.objects.filter(pk__in=list(copies)).values_list("version_id", "destination_id")
    )
    for pk, *what in _alerts(source).values_list("pk", "version_id", "destination_id"):
        if tuple(what) in about:
            record.mended(source.owner, "copy_damaged", pk=pk)


def lifted(run: Run, finding: Finding) -> None:
    """A copy lies on top again."""
    rows = Finding.objects.filter(pk=finding.pk, healed_at__isnull=True)
    rows.update(healed_at=timezone.now(), healed_from=finding.destination.name)
    record.event(
        run.source.owner,
        "copy_uncovered",
        f"{finding.destination.name}: {finding.object_key} lies on top again.",
        source=run.source,
        destination=finding.destination,
        run=run,
    )


def close_mended(source: Source) -> int:
    """Findings whose copy a backup has made anew since; how many."""
    mended = Finding.objects.filter(
        source=source,
        healed_at__isnull=True,
        copy__state__in=STORED,
        copy__stored_at__gt=F("found_at"),
    ).exclude(kind=Finding.Kind.FOREIGN)
    copies = list(mended.values_list("copy_id", flat=True))
    close(source, copies, GOOGLE)
    return len(copies)


def strangers() -> QuerySet[Finding]:
    """Open findings of foreign objects, known ones among them, and those that cover a copy."""
    return Finding.objects.filter(kind=Finding.Kind.FOREIGN, healed_at__isnull=True)


def foreign(run: Run, destination_id: int, found: Sequence[tuple[str, str, int | None]]) -> None:
    """A finding for each of these objects (key, message, the copy it covers), unless it is open."""
    known = set(
        strangers()
        .filter(
            source_id=run.source_id,
            destination_id=destination_id,
            object_key__in=[key for key, *_ in found],
        )
        .values_list("object_key", flat=True)
    )
    now = timezone.now()
    insert_many(
        Finding,
        _COLUMNS,
        [
            (run.source_id, destination_id, run.pk, copy_id, Finding.Kind.FOREIGN.value, key,
             message, now, None, "")
            for key, message, copy_id in found
            if key not in known
        ],
    )  # fmt: skip


def unknown(source: Source) -> QuerySet[Finding]:
    """Open findings of foreign objects, but for those that a person has said may lie there."""
    return strangers().filter(source=source, copy=None, known_at__isnull=True)


def leave(source: Source, finding_id: int) -> bool:
    """A person knows this foreign object: it stays and is a warning no more. Whether it was one."""
    return bool(unknown(source).filter(pk=finding_id).update(known_at=timezone.now()))


def gone(run: Run, destination_id: int, still_there: Collection[str]) -> None:
    """Foreign objects that this listing has not met any more."""
    here = strangers().filter(source_id=run.source_id, destination_id=destination_id)
    rows = here.exclude(run=run)
    past = [pk for pk, key in rows.values_list("pk", "object_key") if key not in still_there]
    for batch in chunks(past, 500):
        Finding.objects.filter(pk__in=batch).update(healed_at=timezone.now(), healed_from=GONE)
