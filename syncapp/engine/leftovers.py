"""What interrupted work left behind: keys that no copy names any more are written down before they
are let go of (`note`), and what lies there is removed by the next run that may write under keys.

An object goes only if no copy at this place has its key, and if it is what was written down: it
bears the file's id and the version's hash, or (where keys are exact) its bytes are the version's.
Whatever else lies there is somebody's own, is left alone, and is reported by the next census.

Called where nobody else writes under the source's keys: in a run's moves, and while a verification
heals (`mending.keeps_out`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import findings, keys, record
from syncapp.engine.beat import Beat
from syncapp.engine.occupied import STORED
from syncapp.engine.sets import upsert_many
from syncapp.engine.sites import Site
from syncapp.engine.whereabouts import whereabouts
from syncapp.errors import BackupError, ObjectLocked
from syncapp.models import Copy, Destination, Finding, Leftover, Run
from syncapp.types import ObjectInfo, sha256_of
from syncapp.words import counted

BATCH = 200
AGAIN = timedelta(hours=1)  # between looks; a request of a dead worker may arrive until the second
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOLDS = [*STORED, Copy.State.RELEASED]  # the copy answers for whatever lies under its key
_WRITTEN = [
    "source_id", "destination_id", "object_key", "store_version", "remote_id", "revision", "size",
    "md5", "sha256", "modified_at", "noted_at", "looked_at",
]  # fmt: skip
_COPY = [
    "version__source_id", "destination_id", "version__file__remote_id", "version__revision",
    "version__size", "version__declared_size", "version__md5", "version__declared_md5",
    "version__sha256", "version__declared_sha256", "version__modified_at",
]  # fmt: skip


class _Look(NamedTuple):
    """What lies under a key: the object, and whether it is ours."""

    info: ObjectInfo
    ours: bool


def note(copies: QuerySet[Copy], columns: Sequence[str] = ("object_key", "old_key")) -> None:
    """These copies are about to let go of the keys in these columns, in this transaction or later.

    One query where there are none.
    """
    blank: dict[str, Any] = dict.fromkeys(columns, "")
    _write(copies.exclude(**blank), columns)


def note_made(copy: Copy, key: str) -> None:
    """Another object of the copy's version is about to be made under this key."""
    _write(Copy.objects.filter(pk=copy.pk), (), key)


def note_met(copy: Copy, key: str, store_version: str) -> None:
    """This object has the bytes of the copy's version, and the copy lies elsewhere, whole."""
    _write(Copy.objects.filter(pk=copy.pk), (), key, store_version=store_version)


def forget(copy: Copy, key: str) -> None:
    """The copy names the key now."""
    Leftover.objects.filter(
        destination_id=copy.destination_id, object_key=key, store_version="",
        revision=copy.version.revision,
    ).delete()  # fmt: skip


def _write(
    copies: QuerySet[Copy], columns: Sequence[str], *also: str, store_version: str = ""
) -> None:
    now, rows = timezone.now(), {}
    for found in copies.values_list(*_COPY, *columns):
        (source, place, remote_id, revision, size, told_size, md5, told_md5, sha256, told_sha256,
         modified_at, *named) = found  # fmt: skip
        about = (size if size is not None else told_size, md5 or told_md5, sha256 or told_sha256)
        for key in {*named, *also} - {""}:
            rows[place, key, remote_id, revision] = (
                source, place, key, store_version, remote_id, revision, *about, modified_at, now,
                None,
            )  # fmt: skip
    with transaction.atomic():
        upsert_many(
            Leftover, _WRITTEN, list(rows.values()), unique=_WRITTEN[1:6], update=_WRITTEN[6:]
        )


def due(source_id: int, destinations: Collection[int]) -> QuerySet[Leftover]:
    """What is to be looked at now."""
    rows = Leftover.objects.filter(source_id=source_id, destination_id__in=destinations)
    late = Q(looked_at__isnull=True) | Q(looked_at__lt=timezone.now() - AGAIN)
    return rows.filter(late | Exists(_reported()))


def found(source_id: int) -> QuerySet[Leftover]:
    """Those of which a census has found something."""
    rows = Leftover.objects.filter(source_id=source_id, destination__enabled=True)
    return rows.filter(Exists(_reported()))


def _reported() -> QuerySet[Finding]:
    return findings.strangers().filter(
        source_id=OuterRef("source_id"),
        destination_id=OuterRef("destination_id"),
        object_key=OuterRef("object_key"),
        copy=None,
    )


def clear(run: Run, site: Site, beat: Beat) -> None:
    """Remove what was left at one destination, as far as it is due, answers and is ours."""
    removed, last = 0, 0
    around = _same_place(Destination.objects.get(pk=site.destination_id))
    rows = due(run.source_id, [site.destination_id]).order_by("pk")
    while batch := list(rows.filter(pk__gt=last)[:BATCH]):
        last = batch[-1].pk
        beat.raise_if_lost()
        if beat.halted() or site.error is not None:
            break
        removed += _clear(site, beat, around, batch)
    if removed:
        name = Destination.objects.get(pk=site.destination_id).name
        record.event(
            run.source.owner,
            "leftovers_removed",
            f"{name}: removed {counted(removed, 'object')} that interrupted work had left there.",
            source=run.source,
            destination=Destination(pk=site.destination_id),
            run=run,
        )


def _clear(site: Site, beat: Beat, around: list[int], batch: Sequence[Leftover]) -> int:
    looks = site.each(partial(_look, site.store, row) for row in batch)
    there = [(row, look) for row, look in zip(batch, looks, strict=True) if isinstance(look, _Look)]
    with transaction.atomic():
        beat.fence()
        held = _held(around, [(row.object_key, look.info.version_id) for row, look in there])
        if not site.store.exact_keys:
            held = _held_in_other_letters(around, [row for row, _ in there]) | held
    going = [
        (row, look.info)
        for row, look in there
        if look.ours and (row.object_key, look.info.version_id) not in held
    ]
    answers = site.each(
        partial(site.store.purge, row.object_key, version_id=info.version_id) for row, info in going
    )
    gone = {row.pk for (row, _), no in zip(going, answers, strict=True) if no is None}
    kept = {row.pk for row, _ in going} - gone
    failed = {
        row.pk
        for (row, _), no in zip(going, answers, strict=True)
        if no is not None and not isinstance(no, ObjectLocked)
    }
    answered = [
        row
        for row, look in zip(batch, looks, strict=True)
        if not isinstance(look, BackupError) and row.pk not in failed
    ]
    settled = {row.pk for row, look in there if held.get((row.object_key, look.info.version_id))}
    with transaction.atomic():
        beat.fence()
        _settle(site.destination_id, answered, gone, kept, settled)
    return len(gone)


def _settle(
    destination_id: int,
    answered: Sequence[Leftover],
    gone: set[int],
    kept: set[int],
    settled: set[int],
) -> None:
    """Forget the rows that have done what they are for; the others are looked at again."""
    now = timezone.now()
    keys = [row.object_key for row in answered if row.pk in gone]
    reported = findings.strangers().filter(destination_id=destination_id, copy=None)
    reported.filter(object_key__in=keys).delete()
    named = {row.object_key for row in answered}
    waited = set(
        Copy.objects.filter(destination_id=destination_id, object_key__in=named)
        .exclude(state__in=_HOLDS)
        .values_list("object_key", flat=True)
    )
    over = {
        row.pk
        for row in answered
        if row.pk in settled
        or (row.pk not in kept and row.noted_at < now - AGAIN and row.object_key not in waited)
    }
    Leftover.objects.filter(pk__in=over).delete()
    Leftover.objects.filter(pk__in=[row.pk for row in answered]).update(looked_at=now)


def _held(around: list[int], wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Those (key, version's id) that a copy has, or may have before long; whether one has it."""
    keys = {key for key, _ in wanted}
    rows = Copy.objects.filter(destination_id__in=around)
    found = list(
        rows.filter(object_key__in=keys).values_list("object_key", "store_version", "state")
    )
    second = rows.filter(old_key__in=keys).exclude(old_key="")
    found += [(key, of, "") for key, of in second.values_list("old_key", "old_store_version")]
    held: dict[tuple[str, str], bool] = {}
    for key, of, state in found:
        for one in wanted:
            # A copy without a version's id has the key, whatever lies there.
            if one[0] == key and (of in ("", one[1]) or not one[1]):
                held[one] = held.get(one, False) or state in _HOLDS
    return held


def _held_in_other_letters(
    around: list[int], rows: Sequence[Leftover]
) -> dict[tuple[str, str], bool]:
    """Keys that may be one with a key of a copy of the same file, for a file system that ignores
    case; whose object bears another file's marks is not ours anyway."""
    copies = Copy.objects.filter(
        destination_id__in=around,
        version__source_id__in={row.source_id for row in rows},
        version__file__remote_id__in={row.remote_id for row in rows},
    )
    named = copies.values_list("object_key", "old_key")
    taken = {keys.fold(key) for both in named for key in both if key}
    return {(row.object_key, ""): False for row in rows if keys.fold(row.object_key) in taken}


def _same_place(destination: Destination) -> list[int]:
    """All destinations, of whomever, whose objects may be this one's too, however its service is
    named there."""
    here = whereabouts(destination).spot
    others = Destination.objects.filter(kind=destination.kind)
    return [destination.pk, *(row.pk for row in others if whereabouts(row).spot == here)]


def _look(store: Store, row: Leftover) -> _Look | None:
    """What lies there, None if nothing. Reads it where neither marks nor hash tell."""
    info = store.head(row.object_key, version_id=row.store_version)
    if info is None:
        return None
    # Where keys are not exact, equal bytes may be those of another file's copy.
    ours = _bears_marks(info, row) or (store.exact_keys and _has_bytes(store, info, row))
    return _Look(info, ours)


def _bears_marks(info: ObjectInfo, row: Leftover) -> bool:
    """Whether it bears what is kept with this version's objects."""
    if info.metadata.get("remote-id") != row.remote_id:
        return False
    sha256 = info.metadata.get("sha256", "")
    if sha256 and row.sha256:
        return sha256 == row.sha256
    return row.modified_at is not None and mtime_of(info) == row.modified_at


def mtime_of(head: ObjectInfo) -> datetime | None:
    """The time of its content that it bears, else the store's word."""
    seconds = head.metadata.get("mtime", "")
    try:
        return _EPOCH + timedelta(seconds=float(seconds)) if seconds else head.modified_at
    except (ValueError, OverflowError):
        return head.modified_at


def _has_bytes(store: Store, info: ObjectInfo, row: Leftover) -> bool:
    if info.size != row.size or not (row.sha256 or row.md5):
        return False
    if info.md5 and row.md5:
        return info.md5 == row.md5
    if not row.sha256 or info.frozen:
        return False
    with store.read(row.object_key, version_id=info.version_id) as chunks:
        return sha256_of(chunks) == row.sha256
