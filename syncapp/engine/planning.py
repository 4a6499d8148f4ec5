"""The plan, carried out on the catalog: Copies that are wanted and not there, and what is waiting.

In sets and idempotent; `plan` decides, this asks and writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Sum
from django.utils import timezone

from syncapp.engine import plan
from syncapp.engine.sets import by_pk, chunks
from syncapp.errors import ConfigurationError
from syncapp.models import Copy, Destination, Run, Source, Version

# Error code of versions that only wait for a destination that a person has to mend.
DESTINATION_BLOCKED = "destination_blocked"


def wanted_destinations(source: Source) -> list[int]:
    """Where the source is to be kept; ConfigurationError if nowhere."""
    wanted = list(source.destinations.filter(enabled=True).values_list("pk", flat=True))
    if not wanted:
        raise ConfigurationError(
            f"{source.name} has no destination: choose where it is to be kept.",
            code="no_destination",
        )
    return wanted


def plan_copies(run: Run) -> None:
    """Wanted − present for the whole source, then the run's totals; in sets, idempotent."""
    source = run.source
    wanted = wanted_destinations(source)
    _forget_unwanted(source, wanted)
    remake = Copy.objects.filter(
        version__source=source, state__in=[Copy.State.DAMAGED, Copy.State.FAILED],
        version__current=True, destination_id__in=wanted,
    )  # fmt: skip
    Version.objects.filter(pk__in=remake.values("version_id")).update(
        state=Version.State.PENDING, attempts=0, due_at=timezone.now()
    )
    remake.update(state=Copy.State.PENDING)
    plan_lacking(source, wanted)
    Version.objects.filter(
        source=source, state=Version.State.PENDING, error_code=DESTINATION_BLOCKED
    ).update(due_at=timezone.now(), error_code="", error_message="")
    totals = Version.objects.filter(source=source, state=Version.State.PENDING).aggregate(
        bytes=Sum("declared_size")
    )
    count = Version.objects.filter(source=source, state=Version.State.PENDING).count()
    Run.objects.filter(pk=run.pk).update(
        files_total=count + F("files_done") + F("files_failed") + F("files_refused"),
        bytes_total=(totals["bytes"] or 0) + F("bytes_done"),
    )


def _forget_unwanted(source: Source, wanted: list[int]) -> None:
    """Copies that were never made, for destinations that are no longer the source's."""
    unmade = [Copy.State.PENDING, Copy.State.FAILED, Copy.State.DAMAGED]
    Copy.objects.filter(version__source=source, state__in=unmade).exclude(
        destination__in=source.destinations.all()
    ).delete()
    Destination.objects.filter(pk__in=wanted).exclude(blocked_code="").update(
        blocked_code="", blocked_reason="", blocked_at=None
    )  # a new run tries again; the first refusal stops it again


def withdraw(versions: QuerySet[Version], state: str, code: str = "") -> None:
    """These will not be read: they leave the work, and no copy of them is waited for."""
    forget_waiting(versions.values("pk"))
    told = {"error_code": code} if code else {}
    versions.update(state=state, lease_owner="", **told)


def forget_waiting(versions: QuerySet[Version, Any] | Collection[int]) -> None:
    """Copies that were never made, of versions that will not be read."""
    Copy.objects.filter(version__in=versions, state=Copy.State.PENDING).delete()


def plan_lacking(source: Source, wanted: Iterable[int]) -> None:
    """A Copy for every current version that a wanted destination lacks."""
    for destination_id in wanted:
        _plan_destination(source, destination_id)


def _plan_destination(source: Source, destination_id: int) -> None:
    there = Copy.objects.filter(version=OuterRef("pk"), destination_id=destination_id)
    lacking = (
        Version.objects.filter(source=source, current=True, file__vanished_at__isnull=True)
        .exclude(state__in=[Version.State.REFUSED, Version.State.SUPERSEDED])
        .filter(~Exists(there))
    )
    for batch in by_pk(lacking):
        plan_versions([pk for (pk,) in batch], [destination_id])


def plan_versions(ids: Sequence[int], destinations: Sequence[int]) -> None:
    """Copies of these versions for these destinations, and the versions due."""
    pairs = plan.copies_to_make(ids, destinations, present=())
    with transaction.atomic():
        Copy.objects.bulk_create(
            [Copy(version_id=v, destination_id=d) for v, d in pairs],
            batch_size=500,
            ignore_conflicts=True,
        )
        for some in chunks(ids, 500):
            Version.objects.filter(pk__in=some).exclude(state=Version.State.PENDING).update(
                state=Version.State.PENDING, attempts=0, due_at=timezone.now()
            )
