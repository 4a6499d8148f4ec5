"""Stops a run that would change too much of what is stored, until a person has agreed.

Asked once a scan is in the catalog, before anything is moved or sent. What it counts stands in the
catalog itself (files gone whose copies are not in the trash yet, contents that wait to replace
stored ones), so that no crash and no later run can slip past it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.models import User
from syncapp.engine import policies, record, runs, spans
from syncapp.engine.folders import Folders
from syncapp.errors import MassChange
from syncapp.models import Event, File, Run, Source, Version
from syncapp.models.catalog import GONE
from syncapp.words import counted

FEWEST = 10  # files; fewer are never too large a share
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Changes:
    """What a run is about to do to what is stored. Bytes are those of the newest versions."""

    trashed: int = 0
    trashed_bytes: int = 0
    replaced: int = 0
    replaced_bytes: int = 0
    new_bytes: int = 0  # of the contents that replace them
    emptied: int = 0

    @property
    def files(self) -> int:
        return self.trashed + self.replaced

    @property
    def shrinks_by(self) -> int:
        """Bytes fewer than before."""
        return self.trashed_bytes + self.replaced_bytes - self.new_bytes


def changes(source: Source) -> Changes:
    """What waits to be done."""
    gone = _going(source).aggregate(files=Count("pk"), bytes=Sum("size"))
    replacing = _replacing(source).aggregate(
        files=Count("pk"),
        bytes=Sum("size_before"),
        after=Sum("declared_size"),
        emptied=Count("pk", filter=Q(declared_size=0, size_before__gt=0)),
    )
    return Changes(
        gone["files"],
        gone["bytes"] or 0,
        replacing["files"],
        replacing["bytes"] or 0,
        replacing["after"] or 0,
        replacing["emptied"],
    )


def check(run: Run) -> None:
    """MassChange if the run must ask first; else tells of what is unusual."""
    source = run.source
    found = changes(source)
    if found.emptied:
        _warn(run, runs.EMPTIED, _emptied(source, found))
    if found.files < FEWEST:
        return
    current = Version.objects.filter(source=source, current=True)
    known = current.aggregate(files=Count("pk"), bytes=Sum(Coalesce("size", "declared_size")))
    files = known["files"]
    size = (known["bytes"] or 0) - found.new_bytes + found.replaced_bytes
    policy = policies.effective(source)
    if asks(source, policy, found.files, files):
        raise MassChange(_question(source, found, files))
    if found.shrinks_by * 100 > policy.guard_percent * size:
        left = size - found.shrinks_by
        _warn(run, runs.SHARP_DROP, f"{source.name} shrinks from {size:,} to {left:,} bytes.")


def asks(source: Source, policy: policies.Effective, changed: int, files: int) -> bool:
    """Whether a person must agree before so many of the source's files are trashed or replaced."""
    too_many = changed > policy.guard_files or changed * 100 > policy.guard_percent * files
    return changed >= FEWEST and too_many and changed > source.approved_changes


def approve(source: Source, *, by: User | None = None) -> Run | None:
    """Let the next run do what waits now, and begin it; None if nothing is held back."""
    if source.blocked_code != MassChange.code:
        return None
    runs.refuse_paused(source)
    found = changes(source)
    Source.objects.filter(pk=source.pk).update(approved_changes=found.files)
    who = f" by {by}" if by else ""
    message = (
        f"{source.name}: {counted(found.files, 'file')} to be trashed or replaced, agreed{who}."
    )
    record.event(source.owner, "changes_approved", message, source=source)
    runs.unblock(source)
    run, _ = runs.request_backup(source, by=by)
    return run


def _going(source: Source) -> QuerySet[File]:
    size = Version.objects.filter(file=OuterRef("pk"), current=True).values("size")[:1]
    due = File.objects.filter(source=source, move_due=True)
    return due.filter(GONE).annotate(size=Subquery(size))


def _replacing(source: Source) -> QuerySet[Any]:
    older = (
        Version.objects.filter(file=OuterRef("file"), state=Version.State.STORED)
        .exclude(pk=OuterRef("pk"))
        .order_by(spans.SINCE.desc(), "-pk")
    )
    waiting = Version.objects.filter(source=source, state=Version.State.PENDING, current=True)
    return waiting.annotate(size_before=Subquery(older.values("size")[:1])).exclude(
        size_before=None
    )


def _question(source: Source, found: Changes, files: int) -> str:
    paths = _paths(source, _going(source).values_list("parent_id", "name")[:MOST_EXAMPLES])
    paths = paths or _paths(
        source, _replacing(source).values_list("file__parent_id", "file__name")[:MOST_EXAMPLES]
    )
    return (
        f"Of {counted(files, 'file')} of {source.name}, {found.trashed:,} would go to the trash and"
        f" {found.replaced:,} would be replaced: more than the guard allows without asking. Nothing"
        f" was changed at the destinations. Among them: {paths}. If that is what you want, approve"
        " it; if not, put it right in Google Drive and back up again."
    )


def _emptied(source: Source, found: Changes) -> str:
    rows = _replacing(source).filter(declared_size=0, size_before__gt=0)
    paths = _paths(source, rows.values_list("file__parent_id", "file__name")[:MOST_EXAMPLES])
    return (
        f"{source.name}: {counted(found.emptied, 'file')} had content before and none now; the"
        f" earlier versions are kept. Among them: {paths}."
    )


def _paths(source: Source, rows: Iterable[tuple[str, str]]) -> str:
    folders = Folders(source.pk)
    return ", ".join(folders.path(parent_id, name) for parent_id, name in rows)


def _warn(run: Run, code: str, message: str) -> None:
    if not Event.objects.filter(run=run, code=code).exists():
        level = Event.Level.WARNING
        record.event(run.source.owner, code, message, level=level, source=run.source, run=run)
