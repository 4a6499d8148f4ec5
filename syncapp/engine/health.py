"""How things stand, over all sources and destinations, and the one sentence that says it.

Counts walk whole tables (seconds for millions of copies): for commands and alerts, not for pages.
`judge` is pure; the worst finding wins. Must not change anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils import timezone

from syncapp.engine import breakers, erasure_report, runs
from syncapp.engine.absorb import IN_TRASH
from syncapp.engine.not_backed_up import refused_files
from syncapp.engine.occupied import STORED
from syncapp.engine.when import is_unread
from syncapp.models import Breaker, Copy, Destination, Erasure, Run, Source, Version, Worker
from syncapp.types import Content
from syncapp.words import counted

# Causes of a run's end that are counted file by file, or stand at a destination.
TOLD_ELSEWHERE = frozenset(["files_failed", "copies_damaged"])


class Level(IntEnum):
    """How bad, worst highest. From UNPROTECTED on, a person has something to do."""

    OK = 0
    NOTE = 1
    UNPROTECTED = 2
    FAILED = 3
    BLOCKED = 4
    NO_WORKER = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know, as a sentence; `code` is stable."""

    level: Level
    code: str
    message: str
    source_id: int | None = None
    destination_id: int | None = None


@dataclass(slots=True)
class SourceHealth:
    """One source: present files by the state of their current version, and its copies.

    `stored` counts what is at every destination; what one of them lacks is `waiting`.
    `refused` counts what Google refuses, `trashed` what lies in its trash.
    `copies`: destination id → state → current versions.
    """

    source: Source
    destinations: list[Destination]
    last_backup: Run | None = None
    last_verify: Run | None = None
    last_drill: Run | None = None
    old_damage: int = 0  # damaged copies of older versions
    active: list[Run] = field(default_factory=list)
    stopped: list[Erasure] = field(default_factory=list)  # erasures that wait for a person
    files: int = 0
    stored: int = 0
    waiting: int = 0
    failed: int = 0
    refused: int = 0
    trashed: int = 0
    copies: dict[int, Counter[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Health:
    """Everything."""

    worker_alive: bool
    workers: list[Worker]
    sources: list[SourceHealth]
    destinations: list[Destination]
    down: dict[str, Breaker] = field(default_factory=dict)  # breakers that are open, by key

    @property
    def findings(self) -> list[Finding]:
        """What there is to say, the worst first."""
        return sorted(judge(self), key=lambda finding: -finding.level)

    @property
    def sentence(self) -> str:
        """The worst finding, and how many others need a person too."""
        worst, *others = self.findings
        more = sum(other.level >= Level.UNPROTECTED for other in others)
        return f"{worst.message} ({more} more below.)" if more else worst.message


def examine() -> Health:
    """Look at everything there is."""
    sources = Source.objects.select_related("account", "owner").order_by("pk")
    destinations = list(Destination.objects.order_by("pk"))
    return Health(
        worker_alive=runs.worker_alive(),
        workers=list(Worker.objects.order_by("host", "pid")),
        sources=[_examine_source(source) for source in sources],
        destinations=destinations,
        down=breakers.open_of(
            [destination.pk for destination in destinations],
            [source.account_id for source in sources],
        ),
    )


def judge(health: Health) -> Iterator[Finding]:
    """All findings, at least one."""
    if not health.sources:
        yield Finding(Level.UNPROTECTED, "no_source", "Nothing is backed up: there is no source.")
    elif not health.worker_alive:
        yield Finding(
            Level.NO_WORKER, "no_worker", "No worker is running, so nothing is being backed up."
        )
    for destination in health.destinations:
        yield from _judge_destination(destination)
        if row := health.down.get(breakers.destination_key(destination.pk)):
            message = f"The destination “{destination.name}” is not reachable: {told(row)}"
            yield Finding(Level.FAILED, "destination_down", message, None, destination.pk)
    for state in health.sources:
        yield from _judge_source(state)
        if row := health.down.get(breakers.account_key(state.source.account_id)):
            message = f"“{state.source.name}” can't be read just now: {told(row)}"
            yield Finding(Level.FAILED, "source_down", message, state.source.pk)
    if health.sources:
        yield _summary(health.sources)


def told(row: Breaker) -> str:
    """Why a breaker is open, and when it is tried next."""
    if row.retry_at is None or row.state == Breaker.State.HALF_OPEN:
        return f"{row.error_message} It is being tried again."
    return f"{row.error_message} The next try is at {breakers.moment(row.retry_at)}."


def _judge_destination(destination: Destination) -> Iterator[Finding]:
    about, name = destination.pk, f"“{destination.name}”"
    if not destination.enabled:
        message = f"The destination {name} is disabled."
        yield Finding(Level.NOTE, "destination_disabled", message, None, about)
    elif destination.blocked_code:
        message = f"The destination {name} takes nothing: {destination.blocked_reason}"
        yield Finding(Level.BLOCKED, destination.blocked_code, message, None, about)


def _judge_source(state: SourceHealth) -> Iterator[Finding]:
    source, name = state.source, f"“{state.source.name}”"
    last = state.last_backup
    backing_up = any(run.kind == Run.Kind.BACKUP for run in state.active)
    if source.blocked_code:
        message = f"{name} is blocked: {source.blocked_reason}"
        yield Finding(Level.BLOCKED, source.blocked_code, message, source.pk)
    else:
        yield from _judge_runs(state)
    if state.failed:
        message = f"{counted(state.failed, 'file')} of {name} could not be backed up."
        yield Finding(Level.FAILED, "files_failed", message, source.pk)
    for destination in state.destinations:
        damaged = state.copies.get(destination.pk, Counter())[Copy.State.DAMAGED]
        if damaged:
            message = f"{counted(damaged, 'file')} of {name} damaged in “{destination.name}”."
            yield Finding(Level.FAILED, "copies_damaged", message, source.pk, destination.pk)
    if not any(destination.enabled for destination in state.destinations):
        message = f"{name} is kept nowhere: it has no destination."
        yield Finding(Level.UNPROTECTED, "no_destination", message, source.pk)
    elif last is None and not backing_up:
        message = f"{name} has never been backed up."
        yield Finding(Level.UNPROTECTED, "never_backed_up", message, source.pk)
    if last and not backing_up and is_unread(source, last, timezone.now()):
        message = f"Google was not asked for changes of {name} for more than an hour."
        yield Finding(Level.UNPROTECTED, "changes_unread", message, source.pk)
    if source.paused:
        yield Finding(Level.NOTE, "paused", f"{name} is paused.", source.pk)
    for run in state.active:
        yield _judge_active(run, name)
    for erasure in state.stopped:
        yield _judge_stopped(erasure, name)


def _judge_active(run: Run, name: str) -> Finding:
    what = f"{name}: {run.get_kind_display().lower()}"
    if run.paused and run.error_code:
        message = f"{what} (run {run.pk}) waits for you: {run.error_message}"
        return Finding(Level.BLOCKED, run.error_code, message, run.source_id)
    state = "is paused" if run.paused else "under way"
    so_far = f", {run.files_settled:,} of {run.files_total:,} {run.unit}" if run.files_total else ""
    return Finding(Level.NOTE, "running", f"{what} {state}{so_far}.", run.source_id)


def _judge_stopped(erasure: Erasure, name: str) -> Finding:
    why = f" {erasure.run.error_message}" if erasure.run else ""
    was = "is not at its end" if erasure.marked_at else "was refused"
    message = f"Erasure {erasure.pk} of {name} {was}.{why} To go on: `erase resume {erasure.pk}`"
    message += "." if erasure.marked_at else f"; to let it be: `erase forget {erasure.pk}`."
    return Finding(Level.BLOCKED, "erasure_stopped", message, erasure.source_id)


def _judge_runs(state: SourceHealth) -> Iterator[Finding]:
    """Runs that failed for a reason that no other finding tells."""
    if state.old_damage:
        count = counted(state.old_damage, "copy", "copies")
        message = f"{count} of older versions of “{state.source.name}” damaged."
        yield Finding(Level.FAILED, "older_damaged", message, state.source.pk)
    for run in (state.last_backup, state.last_verify, state.last_drill):
        if run is None or run.outcome != Run.Outcome.FAILED or run.error_code in TOLD_ELSEWHERE:
            continue
        what = f"{run.get_kind_display().lower()} of “{state.source.name}”"
        message = f"The last {what} failed: {run.error_message}"
        yield Finding(Level.FAILED, run.error_code or "run_failed", message, state.source.pk)


def _summary(states: Sequence[SourceHealth]) -> Finding:
    """What is well: the only finding if nothing else is to be said."""
    stored, waiting = sum(s.stored for s in states), sum(s.waiting for s in states)
    refused = sum(s.refused for s in states)
    parts = [f"{counted(stored, 'file')} stored in every destination"]
    parts += [f"{waiting:,} waiting"] if waiting else []
    parts += [f"{refused:,} that Google refuses, each with its reason"] if refused else []
    level = Level.NOTE if waiting else Level.OK
    return Finding(level, "stored", f"{', '.join(parts)}.")


def present(versions: QuerySet[Version]) -> QuerySet[Version]:
    """Those that are the content of a file which is at the source, and which it gives."""
    return versions.filter(current=True, file__vanished_at=None, file__problem="")


def everywhere(versions: QuerySet[Version]) -> QuerySet[Version]:
    """Those present that every destination in use has a good copy of; none without one in use."""
    used = Source.destinations.through.objects.filter(
        source=OuterRef("source"), destination__enabled=True
    )
    copies = Copy.objects.filter(
        version=OuterRef(OuterRef("pk")), destination=OuterRef("destination"), state__in=STORED
    )
    kept = present(versions).filter(state=Version.State.STORED)
    return kept.filter(Exists(used), ~Exists(used.filter(~Exists(copies))))


def _examine_source(source: Source) -> SourceHealth:
    here = source.files.filter(vanished_at=None).exclude(content=Content.FOLDER)
    states: Counter[str] = Counter()
    versions = Version.objects.filter(source=source)
    contents, stored = present(versions), everywhere(versions).count()
    for state, number in contents.values_list("state").annotate(n=Count("pk")).order_by():
        states[state] = number
    return SourceHealth(
        source=source,
        destinations=list(source.destinations.order_by("pk")),
        last_backup=_last(source, Run.Kind.BACKUP),
        last_verify=_last(source, Run.Kind.VERIFY),
        last_drill=_last(source, Run.Kind.DRILL),
        old_damage=Copy.objects.filter(
            version__source=source, version__current=False, state=Copy.State.DAMAGED
        ).count(),
        active=list(source.runs.filter(ended_at=None).order_by("pk")),
        stopped=list(erasure_report.stopped().filter(source=source)),
        files=here.count(),
        stored=stored,
        waiting=states[Version.State.PENDING] + states[Version.State.STORED] - stored,
        failed=states[Version.State.FAILED],
        refused=refused_files(source.pk),
        trashed=here.filter(problem=IN_TRASH).count(),
        copies=_copies(source, versions),
    )


def _last(source: Source, kind: str) -> Run | None:
    """The last run that came to an end of its own."""
    ended = source.runs.filter(kind=kind, ended_at__isnull=False)
    return ended.exclude(outcome=Run.Outcome.CANCELLED).order_by("-pk").first()


def _copies(source: Source, versions: QuerySet[Version]) -> dict[int, Counter[str]]:
    """By destination, the number in each state; what a new one was not yet asked to keep waits."""
    rows = (
        Copy.objects.filter(version__source=source, version__current=True)
        .values_list("destination_id", "state")
        .annotate(number=Count("pk"))
        .order_by()
    )
    found: dict[int, Counter[str]] = {}
    for destination_id, state, number in rows:
        found.setdefault(destination_id, Counter())[state] = number
    stored = present(versions).filter(state=Version.State.STORED)
    for pk in source.destinations.filter(enabled=True).values_list("pk", flat=True):
        there = Copy.objects.filter(version=OuterRef("pk"), destination=pk)
        lacking = stored.filter(~Exists(there)).count()
        found.setdefault(pk, Counter())[Copy.State.PENDING] += lacking
    return found
