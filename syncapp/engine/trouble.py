"""Files that are not backed up, or whose copy is damaged: each with its path and reason.

Rows come in batches by key, so memory does not grow with their number. Must not leave out a file
for which a scan or an attempt has recorded a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Count, QuerySet

from syncapp.engine import not_backed_up
from syncapp.engine.folders import Folders
from syncapp.engine.sets import by_pk
from syncapp.models import Copy, File, Source, Version

_BATCH = 500


class Kind(StrEnum):
    """What is wrong."""

    FAILED = "failed"  # given up after its attempts; the next backup tries again
    REFUSED = "refused"  # Google does not give it
    EXCLUDED = "excluded"  # a rule leaves it out: in Google's trash and never stored, or erased
    DAMAGED = "damaged"  # a copy that was stored is missing or different


@dataclass(frozen=True, slots=True)
class Trouble:
    """One file's. `destination` is "" unless a copy is damaged; `object_key` is its key there."""

    kind: Kind
    path: str
    code: str
    message: str
    destination: str = ""
    object_key: str = ""


def troubles(source: Source, kind: Kind) -> Iterator[Trouble]:
    """All of one kind."""
    folders = Folders(source.pk)
    if kind is Kind.DAMAGED:
        yield from _damaged(source, folders)
        return
    if kind is not Kind.FAILED:
        yield from _unread(source, kind, folders)
    if kind is Kind.EXCLUDED:
        return
    versions = _versions(source, kind)
    columns = "file__parent_id", "file__name", "error_code", "error_message"
    for batch in by_pk(versions, *columns, size=_BATCH):
        folders.load({parent_id for _, parent_id, *_ in batch})
        for _, parent_id, name, code, message in batch:
            yield Trouble(kind, folders.path(parent_id, name), code, message)


def reasons(source: Source, kind: Kind) -> Counter[str]:
    """How many files by the reason's code; not of DAMAGED."""
    found: Counter[str] = Counter()
    if kind is not Kind.EXCLUDED:
        read = _versions(source, kind).values_list("error_code").annotate(n=Count("pk")).order_by()
        for code, number in read:
            found[code or kind.value] += number
    if kind is not Kind.FAILED:
        listed = _listed(source, kind).values_list("problem").annotate(n=Count("pk")).order_by()
        for code, number in listed:
            found[code] += number
    return found


def _versions(source: Source, kind: Kind) -> QuerySet[Version]:
    versions = Version.objects.filter(source=source)
    if kind is Kind.REFUSED:
        return not_backed_up.refused_at_reading(versions)
    return versions.filter(
        current=True,
        state=Version.State.FAILED,
        file__problem="",
        file__vanished_at__isnull=True,
    )


def _listed(source: Source, kind: Kind) -> QuerySet[File]:
    files = File.objects.filter(source=source)
    if kind is Kind.REFUSED:
        return not_backed_up.refused_at_listing(files)
    return not_backed_up.excluded(files)


def _unread(source: Source, kind: Kind, folders: Folders) -> Iterator[Trouble]:
    columns = "parent_id", "name", "problem", "problem_message"
    for batch in by_pk(_listed(source, kind), *columns, size=_BATCH):
        folders.load({parent_id for _, parent_id, *_ in batch})
        for _, parent_id, name, code, message in batch:
            yield Trouble(kind, folders.path(parent_id, name), code, message)


def _damaged(source: Source, folders: Folders) -> Iterator[Trouble]:
    copies = Copy.objects.filter(version__source=source, state=Copy.State.DAMAGED)
    columns = (
        *("version__file__parent_id", "version__file__name", "error_code", "error_message"),
        *("destination__name", "object_key"),
    )
    for batch in by_pk(copies, *columns, size=_BATCH):
        folders.load({parent_id for _, parent_id, *_ in batch})
        for _, parent_id, name, code, message, destination, key in batch:
            path = folders.path(parent_id, name)
            yield Trouble(Kind.DAMAGED, path, code, message, destination, key)
