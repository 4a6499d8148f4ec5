"""The report of an erasure: a text that a person can keep, a line for each object; and its end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from syncapp.engine import database_backup, erasure_given_up, erasure_rows, erasure_scope
from syncapp.engine.database_backup import BackupsRemain
from syncapp.engine.sets import by_pk
from syncapp.errors import BackupError
from syncapp.models import ErasedObject, Erasure
from syncapp.visible import visible

_STEPS = {
    "surveyed_at": "looked for everything",
    "marked_at": "decided; nothing of it comes back",
    "removed_at": "removed from stores and database",
    "rewritten_at": "catalogs beside the data and backups of the database written anew",
    "proven_at": "every object asked for once more",
}
_ELSEWHERE = (
    "Not touched: what lies in Google itself, and what was restored before to folders, other "
    "places or another Drive."
)


def lines(erasure: Erasure) -> Iterator[str]:
    """The report, line by line; any number of objects."""
    yield f"Erasure {erasure.pk} of “{visible(erasure.source_name)}”"
    yield f"Asked for {_told(erasure.created_at)}"
    yield f"What: {visible(erasure.what)}"
    yield ""
    for name, what in _STEPS.items():
        moment = getattr(erasure, name)
        yield f"{_told(moment) if moment else 'not yet':24}{what}"
    yield ""
    yield f"Files and folders forgotten: {erasure.files_erased:,}."
    for note in erasure.notes:
        yield visible(str(note))
    for sentence in erasure_given_up.told(erasure):
        yield visible(sentence)
    yield _ELSEWHERE
    yield ""
    yield "Objects: when each was asked for and found absent, where, key, version"
    rows = ErasedObject.objects.filter(erasure=erasure)
    lost = set(erasure_given_up.places(erasure))
    lost |= {entry["place"] for entry in erasure.given_up}  # of a destination that is removed
    columns = [
        *("destination_id", "place", "object_key"), *("store_version", "locked_until", "absent_at")
    ]  # fmt: skip
    for batch in by_pk(rows, *columns):
        for _, where, place, key, version, locked_until, absent_at in batch:
            state = _state(locked_until, absent_at)
            if absent_at is None and (where or place) in lost:
                state = "NOT ERASED, given up"
            yield f"{state:40}{visible(place)}\t{visible(key)}\t{version}"


def stopped() -> QuerySet[Erasure]:
    """Those that wait for a person: begun and not at their end; refused, and not asked for anew."""
    later = Erasure.objects.filter(source=OuterRef("source"), pk__gt=OuterRef("pk"))
    open_ones = Erasure.objects.filter(source__isnull=False, proven_at__isnull=True)
    at_rest = open_ones.filter(Q(run=None) | Q(run__ended_at__isnull=False))
    wanted = at_rest.filter(Q(marked_at__isnull=False) | ~Exists(later))
    return wanted.select_related("run").order_by("pk")


class ForgetRefused(BackupError):
    """The erasure is not at its end: nothing but its report tells how to go on."""

    code = "forget_refused"


def forget(erasure: Erasure) -> None:
    """Delete the report, the last that has the names; no backup of the database keeps it either.

    ForgetRefused before the erasure's end; BackupsRemain where backups of the database can't be
    removed now. Either way the report stays.
    """
    if not _over(erasure):
        raise ForgetRefused(f"Erasure {erasure.pk} is not at its end: resume it first.")
    erasure_rows.overwrite_what_is_deleted()
    if erasure.marked_at is None:
        erasure_scope.forget_list(erasure)
    try:
        database_backup.remove_everywhere(erasure.delete)
    except BackupsRemain as error:
        message = f"{error.message} They hold the report, so it stays; forget it again afterwards."
        raise BackupsRemain(message) from error
    erasure_rows.empty_log()


def _over(erasure: Erasure) -> bool:
    """Proven; or refused, and nothing was erased."""
    if erasure.run is not None and erasure.run.ended_at is None:
        return False
    return erasure.proven_at is not None or erasure.marked_at is None


def _state(locked_until: datetime | None, absent_at: datetime | None) -> str:
    if absent_at is not None:
        return f"absent {_told(absent_at)}"
    return f"PROTECTED until {_told(locked_until)}" if locked_until else "NOT PROVEN"


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
