"""Copies found missing or different while they were read: noted once, wherever that was seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db import transaction

from syncapp.engine import record
from syncapp.engine.occupied import STORED
from syncapp.engine.origins import Place
from syncapp.models import Copy, Event, Finding, Run

_CODES = {
    Finding.Kind.MISSING: "missing",
    Finding.Kind.SIZE: "size_mismatch",
    Finding.Kind.CONTENT: "checksum_mismatch",
}


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with the object at a place; `kind` is a Finding's."""

    place: Place
    kind: Finding.Kind
    message: str


def note(found: Iterable[Damage], run: Run | None = None) -> int:
    """Mark these copies DAMAGED, each with a Finding and an alert; how many.

    One that was moved, removed or stored anew since it was read is left as it is.
    """
    return sum(_note(damage, run) for damage in found)


def elsewhere(places: Collection[Place]) -> set[int]:
    """Of these copies, by id, those that do not lie there any more: moved since, or let go."""
    rows = Copy.objects.filter(pk__in=[place.copy_id for place in places])
    now = {pk: tuple(at) for pk, *at in rows.values_list("pk", "object_key", "store_version")}
    return {p.copy_id for p in places if now.get(p.copy_id) != (p.key, p.store_version)}


def _note(damage: Damage, run: Run | None) -> bool:
    place, code = damage.place, _CODES[damage.kind]
    with transaction.atomic():
        marked = Copy.objects.filter(
            pk=place.copy_id,
            object_key=place.key,
            store_version=place.store_version,
            state__in=STORED,
        ).update(state=Copy.State.DAMAGED, error_code=code, error_message=damage.message)
        if not marked:
            return False
        copy = Copy.objects.select_related("version__source__owner", "destination").get(
            pk=place.copy_id
        )
        source = copy.version.source
        known = Finding.objects.filter(copy=copy, kind=damage.kind, healed_at__isnull=True)
        if not known.exists():
            Finding.objects.create(
                source=source,
                destination=copy.destination,
                run=run,
                copy=copy,
                kind=damage.kind,
                object_key=place.key,
                message=damage.message,
            )
    record.event(
        source.owner,
        "copy_damaged",
        f"{copy.destination.name}: {place.key}: {damage.message} "
        "A verification or the next backup makes it anew.",
        level=Event.Level.ALERT,
        source=source,
        destination=copy.destination,
        run=run,
        version=copy.version,
    )
    return True
