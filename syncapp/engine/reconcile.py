"""After a recovery: what lies at the destination, held against what the catalog says.

One pass over the listing, in sets, constant memory. Copies whose object is there are noted as seen
(`claims`); those that were not seen at its end are missing. Objects that no copy claims (stored
after the last segment was written) are taken into the catalog where they themselves tell what they
are (`adoption`); others are foreign: reported, never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from syncapp.engine import claims, findings, segment_store
from syncapp.engine.adoption import Adoption
from syncapp.engine.occupied import STORED
from syncapp.engine.sets import chunks, update_many
from syncapp.models import Copy, Destination, Finding, Source
from syncapp.types import ObjectInfo
from syncapp.words import counted

BATCH = 1000  # objects: a page of a listing
MOST_FINDINGS = 1000  # rows; the numbers count all
_MISSING = "The catalog has it, but it is not at the destination."
_FOREIGN = "No copy claims it, and it does not tell which file it is."


@dataclass
class Compared:
    """How many objects were found, which of them only their bytes told, what of them was adopted,
    and what is missing or foreign."""

    objects: int = 0
    read: int = 0
    adopted: int = 0
    missing: int = 0
    foreign: int = 0
    examples: list[str] = field(default_factory=list)  # keys of what is missing

    def notes(self) -> list[str]:
        """In words, for a person; nothing where all is as it should be."""
        told = []
        if self.read:
            told.append(
                f"Known by their bytes alone, for times and attributes were lost: "
                f"{counted(self.read, 'object')}, read and as the catalog has them."
            )
        if self.adopted:
            told.append(
                f"Taken up, stored after the last segment: {counted(self.adopted, 'object')}."
            )
        if self.missing:
            told.append(
                f"Not at the destination: {counted(self.missing, 'copy', 'copies')} that the "
                f"catalog has; the next backup makes those of present files anew. Among them: "
                f"{', '.join(self.examples)}"
            )
        if self.foreign:
            told.append(
                f"Left alone, for nothing tells what it is: {counted(self.foreign, 'object')}."
            )
        return told


def compare(
    source: Source, destination: Destination, on_objects: Callable[[int], None]
) -> Compared:
    """Hold the source's part of the destination against its copies there."""
    store = segment_store.catalog_store(destination)
    began, told = timezone.now(), Compared()
    adoption = Adoption(source, destination, store, began)
    listing = (info for info in store.versions(f"{source.slug}/") if not info.marker)
    for batch in chunks(listing, BATCH):
        found = claims.sort(source, destination, store, batch)
        _note_seen(source, destination, found, began)
        telling, foreign = adoption.sort(found.unclaimed)
        with transaction.atomic():
            for info, head in telling:
                adoption.adopt(info, head)
            _report(source, destination, foreign, told)
        told.objects += len(batch)
        told.read += len(found.read)
        told.foreign += len(foreign)
        on_objects(len(batch))
    adoption.finish()
    told.adopted = adoption.adopted
    _missing(source, destination, began, told)
    return told


def _note_seen(
    source: Source, destination: Destination, found: claims.Sorted, began: datetime
) -> None:
    """Note the copies that are there as they should be."""
    columns = ["state", "store_version", "etag", "checked_at", "verified_at", "error_code",
               "error_message"]  # fmt: skip
    read = [
        (Copy.State.VERIFIED, info.version_id, info.etag[:128], began, began, "", "",
         copy.pk, copy.state, copy.object_key)
        for copy, info in found.read
    ]  # fmt: skip
    with transaction.atomic():
        update_many(Copy, ["checked_at"], ["id"], [(began, pk) for pk in found.seen])
        update_many(Copy, columns, ["id", "state", "object_key"], read)
        findings.close(source, [copy.pk for copy, _ in found.read], destination.name)


def _missing(source: Source, destination: Destination, began: datetime, told: Compared) -> None:
    """Copies that the listing did not have: damaged, so that the next backup makes them anew. What
    was stored since it began may have come behind it."""
    unseen: QuerySet[Copy] = Copy.objects.filter(
        Q(checked_at__isnull=True) | Q(checked_at__lt=began),
        Q(stored_at__isnull=True) | Q(stored_at__lt=began),
        destination=destination,
        version__source=source,
        state__in=STORED,
    )
    told.missing = unseen.count()
    some = list(unseen.order_by("pk")[:MOST_FINDINGS])
    told.examples = [copy.object_key for copy in some[:5]]
    with transaction.atomic():
        Finding.objects.bulk_create(
            Finding(
                source=source, destination=destination, copy=copy, kind=Finding.Kind.MISSING,
                object_key=copy.object_key, message=_MISSING,
            )
            for copy in some
        )  # fmt: skip
        unseen.update(state=Copy.State.DAMAGED, error_code="missing", error_message=_MISSING)


def _report(
    source: Source, destination: Destination, foreign: Sequence[ObjectInfo], told: Compared
) -> None:
    room = max(MOST_FINDINGS - told.foreign, 0)
    about = {"source": source, "destination": destination, "kind": Finding.Kind.FOREIGN}
    keys = [info.key for info in foreign[:room]]
    known = findings.strangers().filter(source=source, destination=destination, object_key__in=keys)
    new = dict.fromkeys(keys).keys() - set(known.values_list("object_key", flat=True))
    Finding.objects.bulk_create(
        Finding(**about, object_key=key, message=_FOREIGN) for key in sorted(new)
    )
