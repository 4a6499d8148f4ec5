"""A destination that is lost for good: an erasure may go on without it, and its report says so."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction
from django.utils import timezone

from syncapp.errors import BackupError
from syncapp.models import (
    DatabaseBackup,
    Destination,
    ErasedObject,
    Erasure,
    SegmentCopy,
)


class GiveUpRefused(BackupError):
    """The message says why, and what to do."""

    code = "give_up_refused"


def refuse(erasure: Erasure, destination: Destination) -> None:
    """GiveUpRefused while the erasure is at work or done, or the destination is in use."""
    name = destination.name
    if destination.owner_id != erasure.owner_id:
        raise GiveUpRefused(f"{name} belongs to somebody else.")
    if erasure.proven_at is not None or (erasure.run and erasure.run.ended_at is None):
        raise GiveUpRefused(f"Erasure {erasure.pk} is under way or at its end.")
    if destination.enabled:
        raise GiveUpRefused(f"{name} is in use. Disable it first, so that nothing goes there.")


def give_up(erasure: Erasure, destination: Destination, by: str) -> None:
    """From here on the erasure neither removes nor asks for anything there. What the catalog and
    the database have there is not known any more; should it come back, it is found as a stray."""
    refuse(erasure, destination)
    if destination.pk in places(erasure):
        return
    now = f"{timezone.now():%Y-%m-%d %H:%M:%S} UTC"
    entry = {"destination": destination.pk, "place": destination.name, "at": now, "by": by}
    with transaction.atomic():
        erasure.given_up = [*erasure.given_up, entry]
        erasure.save(update_fields=["given_up"])
        mine = ErasedObject.objects.filter(erasure=erasure, destination=destination)
        mine.update(locked_until=None)
        of_source = SegmentCopy.objects.filter(segment__source=erasure.source_id)
        of_source.filter(destination=destination).delete()
        DatabaseBackup.objects.filter(destination=destination).delete()


def places(erasure: Erasure) -> list[int]:
    """The destinations that were given up."""
    return [entry["destination"] for entry in erasure.given_up]


def told(erasure: Erasure) -> Iterator[str]:
    """A sentence for each."""
    for entry in erasure.given_up:
        yield (
            f"NOT ERASED in {entry['place']}: given up by {entry['by']}, {entry['at']}. Objects, "
            "parts of the catalog and backups of the database may lie there still."
        )
