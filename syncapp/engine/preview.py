"""What a backup would do: a source as it is now, held against the catalog. Writes nothing.

A dry run reads the listing only, never a file. Memory is bounded by one page of it: each page is
compared by its remote ids, and what vanished is what the catalog counts beyond those seen. Must
not start a run, nor touch a cursor. Quota figures: Google's units a method and user since
2026-05-01 (developers.google.com/workspace/drive/api/guides/limits).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, Count, Exists, OuterRef, Q, QuerySet, When

from syncapp.engine import guard, policies
from syncapp.engine.absorb import IN_TRASH
from syncapp.engine.sets import chunks
from syncapp.models import Copy, File, Source, Version
from syncapp.sources.base import Source as SourceAdapter
from syncapp.types import Content, ItemPage, RemoteFile

LIST_UNITS, DOWNLOAD_UNITS, READ_UNITS = 100, 200, 5
UNITS_PER_MINUTE = 325_000
# Exports are looked at before and after, forms come from another API, shortcuts from the listing.
FILE_UNITS = {Content.BLOB: DOWNLOAD_UNITS, Content.EXPORT: DOWNLOAD_UNITS + 2 * READ_UNITS}
IDS_PER_QUERY = 500  # far below any database's limit on parameters
PRESENT = (Copy.State.STORED, Copy.State.VERIFIED)

_Known = dict[str, "_Row"]


@dataclass(slots=True)
class Amount:
    """So many files; bytes of those whose size is known before they are read."""

    files: int = 0
    bytes: int = 0
    unsized: int = 0  # exports and forms: Google tells no size

    def add(self, file: RemoteFile) -> None:
        """Count one file."""
        self.files += 1
        if file.size is None:
            self.unsized += 1
        else:
            self.bytes += file.size


@dataclass(slots=True)
class Preview:
    """What was found. Every file seen is in exactly one of the amounts; folders are in none.

    `waiting`: known and unchanged, but not yet in every destination (failed before, say). `refused`
    counts by the reason's code.
    """

    new: Amount = field(default_factory=Amount)
    changed: Amount = field(default_factory=Amount)
    waiting: Amount = field(default_factory=Amount)
    unchanged: Amount = field(default_factory=Amount)
    refused: Counter[str] = field(default_factory=Counter)
    folders: int = 0
    vanished: int = 0
    trashed: int = 0  # files whose copies would go to the trash, vanished ones among them
    replaced: int = 0  # stored files that would get another content
    asks: bool = False  # whether the guard would stop the backup and ask a person first
    pages: int = 0
    read_units: int = 0

    @property
    def to_read(self) -> Amount:
        """What the backup would read from Google."""
        parts = (self.new, self.changed, self.waiting)
        return Amount(
            sum(p.files for p in parts), sum(p.bytes for p in parts), sum(p.unsized for p in parts)
        )

    @property
    def files(self) -> int:
        """All files seen."""
        return self.to_read.files + self.unchanged.files + self.refused.total()

    @property
    def quota_units(self) -> int:
        """Units of Google's quota that the backup would cost: its listing and its reads."""
        return self.pages * LIST_UNITS + self.read_units

    @property
    def quota_minutes(self) -> float:
        """The least time that Google's quota allows it."""
        return self.quota_units / UNITS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class _Row:
    """A file as the catalog knows it: its current version, and how many destinations hold it."""

    listed: bool  # counts as present at the source until a scan misses it
    held: bool  # has copies that are not in the trash
    stored: bool  # some content of it is
    revision: str | None
    state: str | None
    error_code: str | None
    copies: int


def preview(
    source: Source, adapter: SourceAdapter, *, on_page: Callable[[Preview], None] | None = None
) -> Preview:
    """Scan and compare; `on_page` sees the figures grow. Raises what a scan raises."""
    found = Preview()
    destinations = list(source.destinations.filter(enabled=True).values_list("pk", flat=True))
    listed = source.files.filter(vanished_at=None).exclude(content=Content.FOLDER).count()
    held = _with_holding(source.files.exclude(content=Content.FOLDER)).filter(held=True).count()
    for page in adapter.scan({}):
        listed_here, held_here = _compare_page(source, page, destinations, found)
        listed, held = listed - listed_here, held - held_here
        if on_page is not None:
            on_page(found)
    # An item that moved while it was listed may come twice.
    found.vanished, found.trashed = max(listed, 0), max(held, 0)
    known = Version.objects.filter(source=source, current=True).count() + found.new.files
    policy, changed = policies.effective(source), found.trashed + found.replaced
    found.asks = guard.asks(source, policy, changed, known)
    return found


def _compare_page(
    source: Source, page: ItemPage, destinations: list[int], found: Preview
) -> tuple[int, int]:
    """Sort one page's files into the amounts; how many of them the catalog already lists, and of
    how many copies stay out of the trash."""
    items = [page.file(i) for i in range(len(page.ids))]
    files = [file for file in items if file.content is not Content.FOLDER]
    known = _known(source, [file.remote_id for file in files], destinations)
    for file in files:
        _sort(file, known.get(file.remote_id), len(destinations), found)
    found.folders += len(items) - len(files)
    found.pages += 1
    stay = {file.remote_id for file in files if not file.trashed}
    held = sum(row.held and remote_id in stay for remote_id, row in known.items())
    return sum(row.listed for row in known.values()), held


def _sort(file: RemoteFile, row: _Row | None, destinations: int, found: Preview) -> None:
    problem = file.problem or (IN_TRASH if file.trashed else "")
    if problem == IN_TRASH and row is not None and row.state == Version.State.STORED:
        found.unchanged.add(file)
    elif problem:
        found.refused[problem] += 1
    elif row is None or row.revision is None:
        _read(file, found.new, found)
    elif row.revision != file.revision:
        _read(file, found.changed, found)
        found.replaced += row.stored
    elif row.state == Version.State.REFUSED:
        found.refused[row.error_code or "refused"] += 1
    elif row.state == Version.State.STORED and row.copies >= destinations:
        found.unchanged.add(file)
    else:
        _read(file, found.waiting, found)
        found.replaced += row.state == Version.State.PENDING and row.stored


def _read(file: RemoteFile, amount: Amount, found: Preview) -> None:
    amount.add(file)
    found.read_units += FILE_UNITS.get(file.content, 0)


def _known(source: Source, remote_ids: list[str], destinations: list[int]) -> _Known:
    known: _Known = {}
    for ids in chunks(remote_ids, IDS_PER_QUERY):
        rows = File.objects.filter(source=source, remote_id__in=ids)
        files = list(
            _with_holding(rows)
            .exclude(content=Content.FOLDER)
            .values_list("pk", "remote_id", "vanished_at", "held", "stored")
        )
        versions = _current_versions([pk for pk, *_ in files], destinations)
        for pk, remote_id, vanished_at, held, stored in files:
            version = versions.get(pk, (None, None, None, 0))
            known[remote_id] = _Row(vanished_at is None, held, stored, *version)
    return known


def _with_holding(files: QuerySet[File]) -> QuerySet[Any]:
    """Each with `stored`, whether some content of it is, and `held`: so, and not in the trash; what
    is to go there counts until it has."""
    stored = Version.objects.filter(file=OuterRef("pk"), state=Version.State.STORED)
    rows = files.annotate(stored=Exists(stored))
    held = Q(stored=True) & (Q(vanished_at=None, trashed_at=None) | Q(move_due=True))
    return rows.annotate(held=Case(When(held, then=True), default=False))


def _current_versions(
    files: Iterable[int], destinations: list[int]
) -> dict[int, tuple[str, str, str, int]]:
    here = Q(copies__state__in=PRESENT, copies__destination__in=destinations)
    rows = (
        Version.objects.filter(file__in=files, current=True)
        .annotate(present=Count("copies", filter=here))
        .values_list("file_id", "revision", "state", "error_code", "present")
    )
    return {pk: (revision, state, code, present) for pk, revision, state, code, present in rows}
