"""Everything pages read. Each function takes the person first and sees only what is theirs.

Lists page by key; nothing here counts a whole large table (see `totals`), and nothing writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Max, Min, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.fields import BooleanField

from accounts.models import GoogleAccount, User
from syncapp.engine import moment, not_backed_up
from syncapp.engine.folders import Folders
from syncapp.engine.runs import GOOD
from syncapp.models import (
    Attempt,
    Copy,
    Destination,
    Event,
    File,
    Place,
    Run,
    Source,
    Span,
    Version,
)
from syncapp.types import Content
from syncapp.web import paths
from syncapp.web.paging import Page, oldest_first, row_number

FILES_PER_PAGE = 50
MOST_SPANS = 10  # told of a version that came and went
# Beyond this nobody reads the exact figure, and counting it would cost.
COUNT_LIMIT = 10_000


def sources_of(user: User) -> QuerySet[Source]:
    """The person's sources, with account and destinations."""
    return (
        Source.objects.filter(owner=user)
        .select_related("account")
        .prefetch_related("destinations")
        .order_by("name", "pk")
    )


def destinations_of(user: User) -> QuerySet[Destination]:
    """The person's destinations."""
    return Destination.objects.filter(owner=user).order_by("name")


def accounts_of(user: User) -> QuerySet[GoogleAccount]:
    """The Google accounts that the person has linked."""
    return GoogleAccount.objects.filter(user=user).order_by("email")


def runs_of(user: User) -> QuerySet[Run]:
    """The person's runs."""
    return Run.objects.filter(source__owner=user).select_related("source", "requested_by")


def events_of(user: User, *, level: str = "", source: str = "") -> QuerySet[Event]:
    """The person's log, narrowed to a level or a source."""
    events = Event.objects.filter(owner=user).select_related("source", "destination")
    if level in Event.Level.values:
        events = events.filter(level=level)
    if (number := row_number(source)) is not None:
        events = events.filter(source=number)
    return events


def open_alerts(user: User) -> QuerySet[Event]:
    """What still needs a person."""
    return events_of(user).filter(level=Event.Level.ALERT, acknowledged_at=None).order_by("-pk")


@dataclass(frozen=True, slots=True)
class LatestRuns:
    """Of each source (by id): the runs under way, and its latest backups.

    `tried` is the latest that came to an end of its own, `good` the latest that succeeded,
    `listed` the latest that tells whether there are any files: a change log that names none
    doesn't, a whole listing does.
    """

    active: dict[int, list[Run]]
    tried: dict[int, Run]
    good: dict[int, Run]
    listed: dict[int, Run]


def latest_runs(user: User) -> LatestRuns:
    """Three queries, whatever the number of sources and the length of their history."""
    active: dict[int, list[Run]] = {}
    for run in runs_of(user).filter(ended_at=None).order_by("pk"):
        active.setdefault(run.source_id, []).append(run)
    ended = Run.objects.filter(
        source=OuterRef("pk"), kind=Run.Kind.BACKUP, ended_at__isnull=False
    ).order_by("-pk")
    tried, good = ended.exclude(outcome=Run.Outcome.CANCELLED), ended.filter(outcome__in=GOOD)
    listed = ended.filter(Q(outcome__in=GOOD, scan=Run.Scan.FULL) | Q(files_seen__gt=0))
    found = Source.objects.filter(owner=user).values_list(
        *(Subquery(backups.values("pk")[:1]) for backups in (tried, good, listed))
    )
    ids = [set(column) for column in zip(*found, strict=True)] or [set(), set(), set()]
    runs = list(runs_of(user).filter(pk__in=set().union(*ids)))
    return LatestRuns(
        active, *({run.source_id: run for run in runs if run.pk in column} for column in ids)
    )


def _in_trouble(user: User) -> QuerySet[Version]:
    # Spelled out, because SQLite doesn't see through parameters that an index covers this.
    covered = RawSQL(
        "\"syncapp_version\".\"state\" IN ('failed', 'refused')", [], output_field=BooleanField()
    )
    return Version.objects.filter(covered, source__owner=user, current=True)


def failed_versions(user: User) -> QuerySet[Version]:
    """Versions that were given up after their last attempt."""
    return (
        _in_trouble(user)
        .filter(state=Version.State.FAILED)
        .select_related("file", "source")
        .prefetch_related("copies__destination")
    )


def count_failed(user: User) -> int:
    """How many were given up, at most COUNT_LIMIT."""
    failed = _in_trouble(user).filter(state=Version.State.FAILED)
    return failed.order_by()[:COUNT_LIMIT].count()


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be stored: where it is, why, and at which destinations."""

    version: Version
    folders: Sequence[paths.Folder]
    destinations: Sequence[str]
    reason: str


def failures(user: User, after: str = "", size: int = FILES_PER_PAGE) -> tuple[list[Failure], str]:
    """A page of failures, and where the next begins ("" if nowhere)."""
    page = oldest_first(failed_versions(user), after, size)
    return failures_in(page), page.next


def failures_in(page: Page[Version]) -> list[Failure]:
    """The failures of a page of versions."""
    folders = paths.folders_of([version.file_id for version in page.rows])
    return [_failure(version, folders[version.file_id]) for version in page.rows]


def _failure(version: Version, folders: Sequence[paths.Folder]) -> Failure:
    failed = [copy for copy in version.copies.all() if copy.state == Copy.State.FAILED]
    reasons = [version.error_message, *(copy.error_message for copy in failed)]
    return Failure(
        version,
        folders,
        [copy.destination.name for copy in failed if copy.error_code],
        next((reason for reason in reasons if reason), version.error_code or "No reason was kept."),
    )


@dataclass(frozen=True, slots=True)
class Reason:
    """Files that are not backed up, for one reason."""

    code: str
    message: str
    files: int

    @property
    def excluded(self) -> bool:
        """Whether a rule leaves them out; otherwise Google refuses them."""
        return self.code in not_backed_up.EXCLUDED


def not_read(user: User) -> QuerySet[File]:
    """Files that the listing says are not to be read."""
    return not_backed_up.at_listing(File.objects.filter(source__owner=user))


def refused_at_reading(user: User) -> QuerySet[Version]:
    """Current versions that Google refused when they were read; of other files."""
    return not_backed_up.refused_at_reading(_in_trouble(user))


def refusals(user: User) -> list[Reason]:
    """Files not backed up, by reason: what Google refuses first, each the most frequent first."""
    listed = (
        not_read(user)
        .values_list("problem")
        .annotate(Max("problem_message"), Min("problem_message"), files=Count("pk"))
        .order_by()
    )
    read = (
        refused_at_reading(user)
        .values_list("error_code")
        .annotate(Max("error_message"), Min("error_message"), files=Count("pk"))
        .order_by()
    )
    files, messages = Counter[str](), dict[str, str]()
    for code, message, other, count in [*listed, *read]:
        files[code] += count
        told = f"{message} And others like it." if other != message else message
        messages[code] = told or messages.get(code, "")
    found = [Reason(code, messages[code], count) for code, count in files.most_common()]
    return sorted(found, key=lambda reason: reason.excluded)


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Attempts of a run that ended in one way."""

    code: str
    message: str
    destination: str
    attempts: int
    files: int
    file: File  # one of them


def run_failures(run: Run) -> list[RunFailure]:
    """A run's failed attempts by reason; `run` is the person's."""
    rows = (
        Attempt.objects.filter(run=run, error_code__gt="")
        .values_list("error_code", "destination__name")
        .annotate(
            Max("error_message"),
            attempts=Count("pk"),
            versions=Count("version", distinct=True),
            one=Min("version"),
        )
        .order_by("-attempts")[:50]
    )
    found = list(rows)
    some = Version.objects.select_related("file").in_bulk({one for *_, one in found})
    return [
        RunFailure(code, message, name or "", attempts, number, some[one].file)
        for code, name, message, attempts, number, one in found
    ]


# Folders, then files, then what a scan has found and no plan has named yet.
_PHASES = (
    Q(content=Content.FOLDER) & ~Q(key_fold=""),
    ~Q(content=Content.FOLDER) & ~Q(key_fold=""),
    Q(key_fold=""),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a folder: the file, its current version, its copies by destination."""

    file: File
    version: Version | None
    copies: dict[int, Copy] = field(default_factory=dict)
    versions: int = 0
    kept: bool = True  # whether anything of it is stored; of a folder always

    @property
    def gone_at(self) -> datetime | None:
        """Since when it is gone at the source."""
        return self.file.trashed_at or self.file.vanished_at


def folder_entries(
    source: Source, folder: str, after: str = "", *, deleted: bool = False
) -> tuple[list[Entry], str]:
    """A page of a folder of the person's source, and where the next page begins.

    Without what is gone at the source, unless `deleted` says so.

    Ordered by folded name within each phase, along the index that keeps names unique.
    """
    phase, name, number = _place(after)
    inside = File.objects.filter(source=source, parent_id=folder)
    if not deleted:
        inside = inside.filter(trashed_at=None, vanished_at=None)
    rows: list[tuple[int, File]] = []
    for position in range(phase, len(_PHASES)):
        found = inside.filter(_PHASES[position]).order_by("key_fold", "pk")
        if position == phase:
            found = found.filter(key_fold__gte=name)
            found = found.exclude(key_fold=name, pk__lte=number)
        wanted = FILES_PER_PAGE + 1 - len(rows)
        rows += [(position, file) for file in found[:wanted]]
        if len(rows) > FILES_PER_PAGE:
            break
    shown = rows[:FILES_PER_PAGE]
    following = ""
    if len(rows) > FILES_PER_PAGE:
        position, last = shown[-1]
        following = f"{position}:{last.pk}:{last.key_fold}"
    return _entries([file for _, file in shown]), following


def past_entries(
    source: Source, folder: str, at: datetime, after: str = ""
) -> tuple[list[moment.Entry], str]:
    """A page of a folder of the person's source as it was, and where the next page begins."""
    behind = _place(after) if after else None
    limit = FILES_PER_PAGE + 1
    found = moment.children(source.pk, folder, at, after=behind, limit=limit)
    shown = found[:FILES_PER_PAGE]
    more = len(found) > FILES_PER_PAGE
    return shown, f"{shown[-1].order}:{shown[-1].file_id}:{shown[-1].fold}" if more else ""


def _place(after: str) -> tuple[int, str, int]:
    phase, _, rest = after.partition(":")
    raw, _, name = rest.partition(":")
    number = row_number(raw)
    if phase not in {"0", "1", "2"} or number is None or "\0" in name:
        return 0, "", 0
    return int(phase), name, number


def _entries(files: Iterable[File]) -> list[Entry]:
    shown = list(files)
    ids = [file.pk for file in shown]
    versions = {v.file_id: v for v in Version.objects.filter(file__in=ids, current=True)}
    stored = Count("pk", filter=Q(state=Version.State.STORED))
    rows = Version.objects.filter(file__in=ids).values_list("file_id").order_by()
    numbers = list(rows.annotate(versions=Count("pk"), stored=stored))
    counts = {pk: number for pk, number, _ in numbers}
    kept = {pk for pk, _, number in numbers if number}
    copies: dict[int, dict[int, Copy]] = {}
    for copy in Copy.objects.filter(version__in=[v.pk for v in versions.values()]):
        copies.setdefault(copy.version_id, {})[copy.destination_id] = copy
    return [
        Entry(
            file,
            version := versions.get(file.pk),
            copies.get(version.pk, {}) if version else {},
            counts.get(file.pk, 0),
            kept=file.content == Content.FOLDER or file.pk in kept,
        )
        for file in shown
    ]


def file_versions(file: File) -> QuerySet[Version]:
    """All versions of the person's file, with their copies and, as `earlier`, their last Spans."""
    spans = Prefetch("spans", Span.objects.order_by("-from_at")[:MOST_SPANS], to_attr="earlier")
    return file.versions.prefetch_related("copies__destination", spans)


def former_places(file: File) -> list[tuple[Place, str]]:
    """The latest places at which the person's file was before, and their folders' path."""
    places = list(file.places.order_by("-until_at", "-pk")[:FILES_PER_PAGE])
    folders = Folders(file.source_id)
    folders.load({place.parent_id for place in places})
    return [(place, folders.path(place.parent_id, "").rstrip("/")) for place in places]


def trail(source: Source, folder: str, at: datetime | None = None) -> list[paths.Folder]:
    """The folders from the top down to and with `folder`; empty if it is not there."""
    if at is not None:
        return [paths.Folder(*step) for step in moment.above(source.pk, folder, at)]
    here = File.objects.filter(source=source, remote_id=folder).first() if folder else None
    if here is None:
        return []
    return [*paths.folders_of([here.pk])[here.pk], paths.Folder(here.remote_id, here.name)]
