"""What attempts came to, written in batches: Copies, Versions, Attempts, counters, alerts.

One transaction a batch, fenced by the lease: a lane that lost a version to another writes nothing
of it. A copy becomes STORED here and nowhere else, and only from an ObjectInfo, which an adapter
gives after its store has confirmed the checksum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from syncapp.engine import lease, plan, record
from syncapp.engine.absorb import absorb_one
from syncapp.engine.folders import Folders
from syncapp.engine.occupied import STORED
from syncapp.engine.outcome import ALL_UP, Down, Outcome, decide
from syncapp.engine.planning import (
    DESTINATION_BLOCKED,
    DESTINATION_DOWN,
    forget_waiting,
)
from syncapp.engine.sets import any_of, insert_many, update_many
from syncapp.engine.transfer import OriginLost, Result
from syncapp.errors import BackupError, ConfigurationError, LetAlone
from syncapp.models import Attempt, Copy, Destination, Event, File, Run, Version
from syncapp.words import counted

MOST_OPEN_ALERTS = 20  # of single files, per source; the run's own alert tells the number
_BLOCKED_WAIT = timedelta(hours=1)  # unless it is freed before: when the destination works
_WAITS = {
    DESTINATION_BLOCKED: "Waits for a destination that is stopped.",
    DESTINATION_DOWN: "Waits for a destination that is not reachable.",
}


class Settlement:
    """Writes the results of one lane."""

    def __init__(self, run: Run, owner: str, folders: Folders) -> None:
        self.run, self.owner, self.folders = run, owner, folders

    def write(
        self, results: Sequence[Result], parked: Collection[int], down: Down = ALL_UP
    ) -> None:
        """Commit a batch; versions in `parked` stay leased for another try from the spool.

        Of a halted attempt only what is stored counts; its version is free again, not tried.
        """
        outcomes = {result.job.version_id: decide(result, down) for result in results}
        with transaction.atomic():
            ours = lease.keep(self.owner, list(outcomes))
            kept = [result for result in results if result.job.version_id in ours]
            self._copies(kept, outcomes)
            outdated = self._outdated(kept)
            states = self._versions(kept, outcomes, parked, down, outdated)
            # Nothing is to be made of what Google refuses; the plan makes them if it gives way.
            refused = [pk for pk, state in states.items() if state == plan.REFUSED]
            if refused:
                forget_waiting(refused)
            self._attempts(kept, outcomes)
            self._count(kept, states)
        blocked = {d: e for outcome in outcomes.values() for d, e in outcome.blocked.items()}
        for destination_id, error in blocked.items():
            block_destination(destination_id, error, self.run)
        self._replace([result for result in kept if result.newer is not None])
        self._tell([r for r in kept if r.newer is None], outcomes, states)

    def _replace(self, results: Sequence[Result]) -> None:
        """Files that changed while they were read: their newer content becomes a version now."""
        source = self.run.source
        wanted = list(source.destinations.filter(enabled=True).values_list("pk", flat=True))
        for result in results:
            if result.newer is not None:
                absorb_one(source, result.newer, wanted)

    def _copies(self, results: Sequence[Result], outcomes: dict[int, Outcome]) -> None:
        now = timezone.now()
        stored, failed = [], []
        for result in results:
            outcome = outcomes[result.job.version_id]
            for target in result.job.targets:
                destination = target.destination_id
                info = result.stored.get(destination)
                error = result.error or result.failed.get(destination)
                if info is not None:
                    stored.append(
                        (Copy.State.STORED, target.key, info.version_id, info.etag[:128], now, None,
                         "", "", target.copy_id)
                    )  # fmt: skip
                elif error is not None:
                    final = destination in outcome.given_up
                    state = Copy.State.FAILED if final else Copy.State.PENDING
                    failed.append((state, error.code[:64], error.message, target.copy_id))
        columns = ["state", "object_key", "store_version", "etag", "stored_at", "verified_at",
                   "error_code", "error_message"]  # fmt: skip
        update_many(Copy, columns, ["id"], stored)
        update_many(Copy, ["state", "error_code", "error_message"], ["id"], failed)

    def _outdated(self, results: Sequence[Result]) -> set[int]:
        """Stored copies that have other bytes than what was read now (an export is not given
        twice alike), or were found lost when they were read instead: made anew with the others.
        Versions that are due again for that."""
        lost, replaced = [], []
        for result in results:
            job, digest = result.job, result.digest
            if isinstance(result.error, OriginLost) and job.origin is not None:
                lost.append(job.origin.copy_id)
            elif digest and result.stored and job.stored_sha256 not in ("", digest.sha256):
                replaced.append(job.version_id)
                job.stored_sha256 = digest.sha256
        if lost or replaced:
            made = [(r.stored, target) for r in results for target in r.job.targets]
            new = [target.copy_id for stored, target in made if target.destination_id in stored]
            old = Q(pk__in=lost) | Q(version_id__in=replaced)
            Copy.objects.filter(old, state__in=STORED).exclude(pk__in=new).update(
                state=Copy.State.PENDING
            )
        return set(replaced)

    def _versions(
        self,
        results: Sequence[Result],
        outcomes: dict[int, Outcome],
        parked: Collection[int],
        down: Down,
        outdated: Collection[int],
    ) -> dict[int, str]:
        """Write the versions; their new states by id."""
        copies, lacking = _copies_of([ids_of(result) for result in results])
        states: dict[int, str] = {}
        rows: dict[tuple[str, ...], list[tuple[Any, ...]]] = defaultdict(list)
        now = timezone.now()
        for result in results:
            version_id, outcome = ids_of(result), outcomes[ids_of(result)]
            state = plan.REFUSED if outcome.refused else plan.version_state(copies[version_id])
            states[version_id] = state
            values = _read(result)
            columns: tuple[str, ...] = _READ if values else ()
            if version_id in parked and state == plan.PENDING:
                rows[(*columns, *_TOLD)].append((*values, *_told(outcome), version_id))
            else:
                # Only what was left out, or is let alone, is lacking: it waits for that.
                waits = not outcome.wait_s and not result.halted and result.error is None
                waits = waits and version_id not in outdated
                code = _wait_code(lacking[version_id], down) if waits else ""
                freed = _freed(outcome, state, now, code)
                rows[(*columns, *_FREED, *_TOLD)].append((*values, *freed, version_id))
        for named, some in rows.items():
            update_many(Version, named, ["id"], some)
        return states

    def _attempts(self, results: Sequence[Result], outcomes: dict[int, Outcome]) -> None:
        rows = []
        for result in results:
            if result.halted:
                continue
            outcome = outcomes[ids_of(result)]
            if isinstance(outcome.error, LetAlone):
                continue
            rows.append(
                (ids_of(result), self.run.pk, result.job.attempt, result.started_at, result.seconds,
                 result.bytes_read, outcome.destination_id, _code(outcome.error),
                 _message(outcome.error))
            )  # fmt: skip
        insert_many(Attempt, _ATTEMPT, rows)

    def _count(self, results: Sequence[Result], states: dict[int, str]) -> None:
        done = [r for r in results if states[ids_of(r)] == plan.STORED]
        sizes = [(r.digest.size if r.digest else 0, r.job.file.size) for r in done]
        Run.objects.filter(pk=self.run.pk).update(
            files_done=F("files_done") + len(done),
            files_failed=F("files_failed") + list(states.values()).count(plan.FAILED),
            files_refused=F("files_refused") + list(states.values()).count(plan.REFUSED),
            bytes_done=F("bytes_done") + sum(size for size, _ in sizes),
            # The size of an export is known only now.
            bytes_total=F("bytes_total") + sum(size for size, known in sizes if known is None),
            bytes_read=F("bytes_read") + sum(r.bytes_read for r in results),
        )

    def _tell(
        self, results: Sequence[Result], outcomes: dict[int, Outcome], states: dict[int, str]
    ) -> None:
        """Alerts for files that were given up; alerts of files that are stored now are closed."""
        source = self.run.source
        stored = [pk for pk, state in states.items() if state == plan.STORED]
        record.mended(source.owner, "file_failed", version_id__in=any_of(stored))
        lost = [r for r in results if states[ids_of(r)] in (plan.FAILED, plan.REFUSED)]
        if not lost:
            return
        alerts = Event.objects.filter(
            owner=source.owner, source=source, code="file_failed", acknowledged_at__isnull=True
        ).count()
        files = File.objects.in_bulk(
            list(
                Version.objects.filter(pk__in=[ids_of(r) for r in lost]).values_list(
                    "file", flat=True
                )
            )
        )
        by_remote = {file.remote_id: file for file in files.values()}
        for result in lost:
            refused = states[ids_of(result)] == plan.REFUSED
            if not refused and alerts >= MOST_OPEN_ALERTS:
                continue
            alerts += not refused
            file = by_remote[result.job.file.remote_id]
            path = self.folders.path(file.parent_id, file.name)
            record.event(
                source.owner,
                "file_refused" if refused else "file_failed",
                f"{path}: {_message(outcomes[ids_of(result)].error)}",
                level=Event.Level.WARNING if refused else Event.Level.ALERT,
                source=source,
                run=self.run,
                version=Version(pk=ids_of(result)),
            )


def ids_of(result: Result) -> int:
    """The version that a result is about."""
    return result.job.version_id


def _code(error: BackupError | None) -> str:
    return error.code[:64] if error else ""


def _message(error: BackupError | None) -> str:
    return error.message[:2000] if error else ""


_ATTEMPT = ("version_id", "run_id", "number", "started_at", "seconds", "bytes_read",
            "destination_id", "error_code", "error_message")  # fmt: skip
_READ = ("size", "md5", "sha256", "content_type", "checksum_disputed")
_FREED = ("state", "due_at", "lease_owner", "leases")
_TOLD = ("attempts", "error_code", "error_message")


def _copies_of(ids: Sequence[int]) -> tuple[dict[int, list[str]], dict[int, set[int]]]:
    """Of each version: its copies' states, and the destinations that still lack one."""
    states: dict[int, list[str]] = {pk: [] for pk in ids}
    lacking: dict[int, set[int]] = {pk: set() for pk in ids}
    columns = "version_id", "destination_id", "state"
    copies = Copy.objects.filter(version_id__in=any_of(ids))
    for pk, destination, state in copies.values_list(*columns):
        states[pk].append(state)
        if state == Copy.State.PENDING:
            lacking[pk].add(destination)
    return states, lacking


def _wait_code(lacking: set[int], down: Down) -> str:
    """What a version waits for that lacks only copies that were not made; "" for nothing: what it
    was kept from has been found well since."""
    if not lacking.isdisjoint(down.up):
        return ""
    if lacking.isdisjoint(down.destinations):
        return DESTINATION_BLOCKED
    return DESTINATION_DOWN


def _freed(outcome: Outcome, state: str, now: datetime, code: str) -> tuple[Any, ...]:
    """Free again, or settled: state, when due, no lease, and what is told."""
    waits = state == plan.PENDING and bool(code)
    wait = _BLOCKED_WAIT if waits else timedelta(seconds=outcome.wait_s)
    told = _told(outcome, code if waits else None)
    return (state, now + wait if wait else now, "", 0, *told)


def _told(outcome: Outcome, code: str | None = None) -> tuple[Any, ...]:
    """Attempts and the error, for the version's row."""
    shown = _code(outcome.error) if code is None else code
    return (outcome.attempts, shown, _message(outcome.error))


def _read(result: Result) -> tuple[Any, ...]:
    """What the read told of the version; nothing if it came to no end, or if it differs from what
    is stored and was itself stored nowhere."""
    digest = result.digest
    if digest is None:
        return ()
    if not result.stored and result.job.stored_sha256 not in ("", digest.sha256):
        return ()
    return (
        digest.size, digest.md5, digest.sha256, result.content_type[:255], result.disputed,
    )  # fmt: skip


def unserved(owner: str, ids: Sequence[int], down: Down = ALL_UP) -> None:
    """Versions with nothing to do: complete, waiting for a destination that is stopped, or due
    again, if what they were kept from was found well meanwhile."""
    with transaction.atomic():
        ours = sorted(lease.keep(owner, ids))
        copies, lacking = _copies_of(ours)
        states = {pk: plan.version_state(copies[pk]) for pk in ours}
        settled = [(state, "", 0, pk) for pk, state in states.items() if state != plan.PENDING]
        update_many(Version, ["state", "lease_owner", "leases"], ["id"], settled)
        rows = []
        for pk in (pk for pk, state in states.items() if state == plan.PENDING):
            code = _wait_code(lacking[pk], down)
            due_at = timezone.now() + (_BLOCKED_WAIT if code else timedelta(0))
            rows.append(("", 0, due_at, code, _WAITS.get(code, ""), pk))
        columns = ["lease_owner", "leases", "due_at", "error_code", "error_message"]
        update_many(Version, columns, ["id"], rows)


def give_up_poisoned(run: Run, owner: str, ids: Sequence[int]) -> None:
    """Versions whose worker died at each of many tries fail, so that the others get on."""
    message = "The worker died each time this file was in flight; see the worker's log."
    lost = lease.held(owner, ids)
    Copy.objects.filter(version__in=lost, state=Copy.State.PENDING).update(
        state=Copy.State.FAILED, error_code="worker_lost", error_message=message
    )
    count = lost.update(
        state=Version.State.FAILED,
        lease_owner="",
        leases=0,
        error_code="worker_lost",
        error_message=message,
    )
    Run.objects.filter(pk=run.pk).update(files_failed=F("files_failed") + count)
    record.event(
        run.source.owner,
        "worker_lost",
        f"{run.source.name}: gave up {counted(count, 'file')}: {message}",
        level=Event.Level.ALERT,
        source=run.source,
        run=run,
    )


def block_destination(
    destination_id: int, error: ConfigurationError, run: Run | None = None
) -> None:
    """Stop a destination until a person has acted; told once."""
    now = timezone.now()
    fresh = Destination.objects.filter(pk=destination_id, blocked_code="").update(
        blocked_code=error.code[:64], blocked_reason=error.message, blocked_at=now
    )
    if fresh:
        destination = Destination.objects.select_related("owner").get(pk=destination_id)
        record.event(
            destination.owner,
            "destination_blocked",
            f"{destination.name} takes nothing any more: {error.message}",
            level=Event.Level.ALERT,
            destination=destination,
            run=run,
        )
