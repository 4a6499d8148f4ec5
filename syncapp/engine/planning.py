"""The plan, carried out on the catalog: Copies that are wanted and not there, and what is waiting.

In sets and idempotent. A scan plans each page as it is written; the whole catalog is planned only
for a destination that it was not planned for before (`Source.planned_for`). What such a one holds
from an earlier time is to follow its files: nobody noted what they did while it was away.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence
from functools import reduce
from operator import or_

from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from syncapp.engine import leftovers, marks, moved
from syncapp.engine.sets import among, any_of, by_pk, chunks, gather_statistics
from syncapp.errors import ConfigurationError
from syncapp.models import Copy, Destination, Run, Source, Version

MANY = 1000  # new files after which the database looks at its tables anew
_STEP = 2000  # versions planned in one transaction
# Error code of versions that only wait for a destination that a person has to mend.
DESTINATION_BLOCKED = "destination_blocked"
# The same, for a destination that is let alone until it works again (`breakers`).
DESTINATION_DOWN = "destination_down"


def wanted_destinations(source: Source) -> list[int]:
    """Where the source is to be kept; ConfigurationError if nowhere."""
    wanted = sorted(source.destinations.filter(enabled=True).values_list("pk", flat=True))
    if not wanted:
        raise ConfigurationError(
            f"{source.name} has no destination: choose where it is to be kept.",
            code="no_destination",
        )
    if source.planned_for != wanted and not Version.objects.filter(source=source).exists():
        # Nothing is there to be planned: the scan plans all of it as it goes.
        source.planned_for = wanted
        source.save(update_fields=["planned_for"])
    return wanted


def plan_copies(run: Run, wanted: list[int]) -> None:
    """What the scan's pages have not planned: other destinations, what is to be made again.

    Then the run's totals. In sets, idempotent; costs nothing where there is nothing to do.
    """
    source = run.source
    if source.planned_for != wanted:
        _forget_unwanted(source)
        joined = set(wanted) - set(source.planned_for)
        if Copy.objects.filter(destination__in=joined, version__source=source).exists():
            moved.note_all(source.pk)
        plan_lacking(source, joined)
        Source.objects.filter(pk=source.pk).update(planned_for=list(wanted))
    elif run.scan == Run.Scan.FULL and run.files_new < MANY:
        plan_lacking(source, wanted)  # a comparison finds what was left out for whatever reason
    if run.files_new >= MANY:
        gather_statistics()
    _unblock(source, wanted)
    for destination_id in wanted:
        for state in (Copy.State.DAMAGED, Copy.State.FAILED):
            _make_again(source, destination_id, state, wanted)
    waiting = Version.objects.filter(source=source, state=Version.State.PENDING).aggregate(
        count=Count("pk"), bytes=Sum("declared_size")
    )
    Run.objects.filter(pk=run.pk).update(
        files_total=waiting["count"] + F("files_done") + F("files_failed") + F("files_refused"),
        bytes_total=(waiting["bytes"] or 0) + F("bytes_done"),
    )


def plan_anew(destination_id: int, source_ids: Iterable[int]) -> None:
    """The next backup of these sources takes the destination as one that has just joined: what is
    there follows its files, what it lacks is sent. In real time that backup begins at once."""
    with transaction.atomic():
        for source in Source.objects.select_for_update().filter(pk__in=list(source_ids)):
            known = [pk for pk in source.planned_for if pk != destination_id]
            Source.objects.filter(pk=source.pk).update(planned_for=known)
            live = Source.objects.filter(pk=source.pk, mode=Source.Mode.REALTIME)
            live.filter(next_at__gt=timezone.now()).update(next_at=timezone.now())


def _make_again(source: Source, destination_id: int, state: str, wanted: Sequence[int]) -> None:
    """Copies in this state, which has an index of its own, are pending again; and those that their
    versions lack elsewhere: of what Google refused for a while nobody waits for any."""
    rows = Copy.objects.filter(destination_id=destination_id, state=state)
    for batch in chunks(list(rows.values_list("version_id", flat=True)), 500):
        versions = Version.objects.filter(pk__in=batch, source=source, current=True)
        if state == Copy.State.DAMAGED:
            # Of what is gone or in Google's trash only other destinations have the bytes (`heal`).
            versions = versions.filter(file__vanished_at__isnull=True, file__problem="")
        with transaction.atomic():
            Copy.objects.filter(
                destination_id=destination_id, state=state, version__in=versions.values("pk")
            ).update(state=Copy.State.PENDING)
            versions.update(state=Version.State.PENDING, attempts=0, due_at=timezone.now())
            present = versions.filter(file__vanished_at__isnull=True, file__problem="")
            _insert_copies("id", list(present.values_list("pk", flat=True)), wanted)


def _unblock(source: Source, wanted: Sequence[int]) -> None:
    """A new run tries stopped destinations again; the first refusal stops them again.

    One that is only let alone for a while stays so: its breaker knows when it is tried.
    """
    stopped = Destination.objects.filter(pk__in=wanted).exclude(blocked_code="")
    stopped.exclude(blocked_code=marks.OTHER).update(
        blocked_code="", blocked_reason="", blocked_at=None
    )
    Version.objects.filter(
        source=source, state=Version.State.PENDING, error_code=DESTINATION_BLOCKED
    ).update(due_at=timezone.now(), error_code="", error_message="")


def _forget_unwanted(source: Source) -> None:
    """Copies that were never made, for destinations that are no longer the source's."""
    unmade = [Copy.State.PENDING, Copy.State.FAILED, Copy.State.DAMAGED]
    unwanted = Copy.objects.filter(version__source=source, state__in=unmade).exclude(
        destination__in=source.destinations.all()
    )
    for batch in by_pk(unwanted.exclude(object_key="").exclude(error_code="missing"), size=500):
        leftovers.note(Copy.objects.filter(pk__in=[pk for (pk,) in batch]))
    unwanted.delete()


@transaction.atomic(savepoint=False)
def withdraw(versions: QuerySet[Version], state: str, code: str = "") -> None:
    """These will not be read: they leave the work, and no copy of them is waited for.

    A lane that is just settling one is waited for, and then what it has stored counts.
    """
    held = list(versions.select_for_update(no_key=True).values_list("pk", flat=True))
    if not held:
        return
    forget_waiting(held)
    told = {"error_code": code} if code else {}
    Version.objects.filter(pk__in=any_of(held)).update(state=state, lease_owner="", **told)


def forget_waiting(versions: Collection[int]) -> None:
    """Copies that were never made, of versions that will not be read and are held."""
    waiting = Copy.objects.filter(version_id__in=any_of(versions), state=Copy.State.PENDING)
    leftovers.note(waiting)  # a worker that died may have sent them
    waiting.delete()


def plan_lacking(source: Source, wanted: Collection[int]) -> None:
    """A Copy for every current version that a wanted destination lacks.

    SQLite looks at each version once for all destinations; PostgreSQL joins them faster one by one.
    The keys are read at once, 8 bytes each: a limit would have PostgreSQL join all for each batch.
    """
    at_once = 1 if connection.vendor == "postgresql" else 100  # terms of a condition
    for some in chunks(wanted, at_once):
        keys = _lacking(source, some).values_list("pk", flat=True)
        for batch in chunks(array("q", keys.iterator(_STEP)), _STEP):
            plan_versions(batch, some)


def _lacking(source: Source, wanted: Iterable[int]) -> QuerySet[Version]:
    there = Copy.objects.filter(version=OuterRef("pk"))
    lacks = (Q(~Exists(there.filter(destination_id=pk))) for pk in wanted)
    return (
        Version.objects.filter(source=source, current=True, file__vanished_at__isnull=True)
        .exclude(state__in=[Version.State.REFUSED, Version.State.SUPERSEDED])
        .filter(reduce(or_, lacks))
    )


def plan_versions(ids: Sequence[int], destinations: Sequence[int]) -> None:
    """Copies of these versions for these destinations, and the versions due."""
    with transaction.atomic():
        _insert_copies("id", ids, destinations)
        for some in chunks(ids, 500):
            Version.objects.filter(pk__in=some).exclude(state=Version.State.PENDING).update(
                state=Version.State.PENDING, attempts=0, due_at=timezone.now()
            )


def plan_files(file_pks: Sequence[int], destinations: Sequence[int]) -> None:
    """Copies of these files' current versions for these destinations, where they are lacking."""
    _insert_copies("file_id", file_pks, destinations)


def make_due(file_pks: Collection[int]) -> None:
    """Current versions of these files that got another copy to make are waiting again."""
    Version.objects.filter(
        file_id__in=file_pks,
        current=True,
        state__in=[Version.State.STORED, Version.State.FAILED],
        copies__state=Copy.State.PENDING,
    ).update(state=Version.State.PENDING, attempts=0, due_at=timezone.now())


def _insert_copies(column: str, values: Sequence[int], destinations: Sequence[int]) -> None:
    """One statement for a page of versions: 2 µs a row, where making them here costs 30."""
    if not values or not destinations:
        return
    blank = Copy(state=Copy.State.PENDING)
    fields = [f for f in Copy._meta.concrete_fields if not f.primary_key]
    set_apart = {"version_id": "v.id", "destination_id": "d.id"}
    others = [f for f in fields if f.attname not in set_apart and not f.null]
    names = [*set_apart, *(f.attname for f in others)]
    picked = [*set_apart.values(), *["%s"] * len(others)]
    these, given = among(f"v.{column}", values)
    there, wanted = among("d.id", destinations)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Copy._meta.db_table} ({', '.join(names)})"  # noqa: S608
            f" SELECT {', '.join(picked)} FROM {Version._meta.db_table} v"
            f" CROSS JOIN {Destination._meta.db_table} d"
            f" WHERE {these} AND {there} AND v.current AND v.state NOT IN (%s, %s)"
            " ON CONFLICT (version_id, destination_id) DO NOTHING",
            [
                *(f.get_db_prep_save(f.value_from_object(blank), connection) for f in others),
                *given, *wanted, Version.State.REFUSED.value, Version.State.SUPERSEDED.value,
            ],
        )  # fmt: skip
