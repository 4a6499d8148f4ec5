"""Reading stored copies back and comparing every byte's hash with the catalog.

A copy that is missing or different becomes DAMAGED with the reason, and the next backup makes it
anew. Resumes where it stopped: what this run has verified has a later time than the run itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine import record, runs
from syncapp.engine.adapters import destination_for
from syncapp.engine.beat import Beat
from syncapp.engine.rates import Rates
from syncapp.engine.sets import update_many
from syncapp.errors import BackupError, NotFound, Unavailable
from syncapp.models import Copy, Event, Lane, Run

log = logging.getLogger(__name__)
HANDS = 8
BATCH = 64
PASSES = 3  # over copies that could not be read


@dataclass(frozen=True)
class Finding:
    """What reading one copy back came to; `code` "" if it is what the catalog says."""

    copy_id: int
    size: int
    code: str = ""
    message: str = ""
    unread: bool = False  # no finding about the bytes: the store did not answer


def inspect(store: Store, copy: Copy, on_bytes: Rates) -> Finding:
    """Read one copy and compare. No database here."""
    version = copy.version
    size, sha256 = 0, hashlib.sha256()
    try:
        with store.read(copy.object_key, version_id=copy.store_version) as chunks:
            for chunk in chunks:
                size += len(chunk)
                sha256.update(chunk)
                on_bytes.add(len(chunk))
    except NotFound:
        return Finding(copy.pk, 0, "missing", "The object is not there any more.")
    except BackupError as error:
        return Finding(copy.pk, size, error.code, error.message, unread=True)
    if size != version.size:
        message = f"The object has {size} bytes where {version.size} were stored."
        return Finding(copy.pk, size, "size_mismatch", message)
    if sha256.hexdigest() != version.sha256:
        return Finding(copy.pk, size, "checksum_mismatch", "The object's bytes have changed.")
    return Finding(copy.pk, size)


def unverified(run: Run) -> QuerySet[Copy]:
    """Copies that this run has still to read."""
    return Copy.objects.filter(
        Q(verified_at__isnull=True) | Q(verified_at__lt=run.created_at),
        version__source_id=run.source_id,
        destination__enabled=True,
        state__in=[Copy.State.STORED, Copy.State.VERIFIED],
    )


def verify(run: Run, lane: Lane, beat: Beat) -> None:
    """Verify every stored copy of the source, then end the run."""
    if not run.files_total:
        _count(run)
    rates = Rates(run)
    stores = {row.pk: destination_for(row) for row in run.source.destinations.filter(enabled=True)}
    unread: list[Finding] = []
    with ThreadPoolExecutor(HANDS, "verify") as pool:
        for _ in range(PASSES):
            unread = []
            for batch in _batches(run):
                beat.raise_if_lost()
                if not beat.may_take():
                    return
                found = list(pool.map(lambda copy: _inspect_one(stores, copy, rates), batch))
                findings = _where_they_were(batch, found)
                unread += [finding for finding in findings if finding.unread]
                _settle(run, [finding for finding in findings if not finding.unread])
                rates.tell(run)
            if not unread:
                break
    _end(run, unread)


def _inspect_one(stores: dict[int, Store], copy: Copy, rates: Rates) -> Finding:
    store = stores.get(copy.destination_id)
    if store is None:
        message = "Its destination is not one of this source's any more."
        return Finding(copy.pk, 0, "detached", message, unread=True)
    return inspect(store, copy, rates)


def _where_they_were(batch: list[Copy], findings: list[Finding]) -> list[Finding]:
    """A copy that was moved while it was read may look missing: it is read again."""
    read = {copy.pk: copy.object_key for copy in batch}
    now = dict(Copy.objects.filter(pk__in=read).values_list("pk", "object_key"))
    message = "It was moved while it was read."
    return [
        finding
        if now.get(finding.copy_id) == read[finding.copy_id]
        else replace(finding, code="moved", message=message, unread=True)
        for finding in findings
    ]


def _batches(run: Run) -> Iterator[list[Copy]]:
    last = 0
    while batch := list(
        unverified(run).filter(pk__gt=last).select_related("version").order_by("pk")[:BATCH]
    ):
        yield batch
        last = batch[-1].pk


def _count(run: Run) -> None:
    totals = unverified(run).aggregate(bytes=Sum("version__size"))
    run.files_total, run.bytes_total = unverified(run).count(), totals["bytes"] or 0
    run.save(update_fields=["files_total", "bytes_total"])


def _settle(run: Run, findings: list[Finding]) -> None:
    now = timezone.now()
    good = [(Copy.State.VERIFIED, now, "", "", f.copy_id) for f in findings if not f.code]
    bad = [finding for finding in findings if finding.code]
    with transaction.atomic():
        update_many(Copy, ["state", "verified_at", "error_code", "error_message"], ["id"], good)
        rows = [(Copy.State.DAMAGED, f.code, f.message, f.copy_id) for f in bad]
        update_many(Copy, ["state", "error_code", "error_message"], ["id"], rows)
        Run.objects.filter(pk=run.pk).update(
            files_done=F("files_done") + len(good),
            files_failed=F("files_failed") + len(bad),
            bytes_done=F("bytes_done") + sum(finding.size for finding in findings),
        )
    copies = Copy.objects.select_related("destination").in_bulk([f.copy_id for f in bad])
    for finding in bad:
        copy = copies[finding.copy_id]
        record.event(
            run.source.owner,
            "copy_damaged",
            f"{copy.destination.name}: {copy.object_key}: {finding.message} "
            "The next backup makes this copy anew.",
            level=Event.Level.ALERT,
            source=run.source,
            destination=copy.destination,
            run=run,
            version=copy.version,
        )


def _end(run: Run, unread: list[Finding]) -> None:
    run.refresh_from_db()
    if unread:
        message = f"{len(unread)} copies could not be read: {unread[0].message}"
        runs.fail(run, Unavailable(message, code=unread[0].code))
    elif run.files_failed:
        runs.fail(run, _Damaged(f"{run.files_failed} copies are missing or different."))
    else:
        runs.complete(run, f"{run.files_done} copies read back, every byte as stored.")


class _Damaged(BackupError):
    """Ends a verification that found damage; each copy has its own alert."""

    code = "copies_damaged"
