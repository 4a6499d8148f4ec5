"""What pages read of restores: the person's own, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from syncapp.engine.restore_plan import google_names
from syncapp.models import File, Restore, RestoreItem, Source
from syncapp.web import paths
from syncapp.web.paging import Page, oldest_first
from syncapp.web.restore_forms import address

NAMED = 20


def restores_of(user: User) -> QuerySet[Restore]:
    """The person's restores; drills have pages of their own."""
    wanted = Restore.objects.filter(run__source__owner=user, run__kind="restore")
    return wanted.select_related("run__source", "run__requested_by", "origin")


@dataclass(frozen=True, slots=True)
class ChosenThing:
    """A file or folder that was chosen, and the folders above it."""

    file: File
    folders: Sequence[paths.Folder]


def chosen(source: Source, files: Sequence[int]) -> tuple[list[ChosenThing], int]:
    """The first NAMED of the chosen things, and how many more there are."""
    rows = list(File.objects.filter(source=source, pk__in=files[:NAMED]).order_by("name", "pk"))
    above = paths.folders_of([row.pk for row in rows])
    return [ChosenThing(row, above[row.pk]) for row in rows], max(len(files) - NAMED, 0)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An item that failed, waits or was left alone, and why; its path as it was in Google."""

    item: RestoreItem
    folders: Sequence[paths.Folder]
    name: str


def failed(restore: Restore, after: str) -> tuple[list[Unfinished], str]:
    """A page of what a restore could not bring back, and where the next begins."""
    rows = RestoreItem.objects.filter(restore=restore, state=RestoreItem.State.FAILED)
    page: Page[RestoreItem] = oldest_first(rows.select_related("file"), after)
    return [_shown(item) for item in page.rows], page.next


def left_alone(restore: Restore) -> list[Unfinished]:
    """The first NAMED of what was not restored because something else has the name."""
    rows = RestoreItem.objects.filter(restore=restore, state=RestoreItem.State.SKIPPED)
    return [_shown(item) for item in rows.select_related("file").order_by("pk")[:NAMED]]


def troubled(restore: Restore) -> list[Unfinished]:
    """Some of the items that had a fault and are tried again: those that are not due yet."""
    found: list[RestoreItem] = []
    for state in (RestoreItem.State.PENDING, RestoreItem.State.THAWING):
        rows = RestoreItem.objects.filter(restore=restore, state=state, due_at__gt=timezone.now())
        found += rows.select_related("file").order_by("due_at", "pk")[:NAMED]
    return [_shown(item) for item in found if item.error_message]


def _shown(item: RestoreItem) -> Unfinished:
    *above, name = google_names(item.path.split("/"))
    return Unfinished(item, [paths.Folder("", folder) for folder in above], name)


def elsewhere(restore: Restore) -> str:
    """The address where the same wish can be given another place."""
    options = restore.options
    origin = f"{restore.prefer}:{restore.origin_id}" if restore.origin_id else restore.prefer
    kept = [("target", restore.target), ("collision", restore.collision), ("origin", origin)]
    kept += [(name, str(options[name])) for name in ("path", "destination") if name in options]
    kept += [("at", restore.at.isoformat())] if restore.at else []
    return address(reverse("restore"), restore.run.source, restore.files, kept)
