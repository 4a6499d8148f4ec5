"""From a path that a person types to the file or folder that it means, at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from syncapp.engine import keys
from syncapp.models import File, Place, Source

MOST_FOUND = 20


def find(source: Source, path: str, at: datetime | None) -> list[File]:
    """All that have this path; several only where names are equal.

    What was there at the moment (None: now) comes before what had gone by then, so that what was
    deleted is found by its old path. A path may leave out the top folder, such as "My Drive". A
    `/` within a name is written as a restore writes it: `／`.
    """
    names = [keys.decode(part) for part in path.strip("/").split("/") if part]
    moment = at or timezone.now()
    found = _walk(source, [""], names, moment)
    if not found and names:
        tops = File.objects.filter(source=source, parent_id="")
        found = _walk(source, list(tops.values_list("remote_id", flat=True)), names, moment)
    return found


def _walk(
    source: Source, parents: Sequence[str], names: Sequence[str], moment: datetime
) -> list[File]:
    found: list[File] = []
    for name in names:
        found = _children(source, parents, name, moment)
        parents = [file.remote_id for file in found]
        if not found:
            break
    return found


def _children(source: Source, parents: Sequence[str], name: str, moment: datetime) -> list[File]:
    files = File.objects.filter(_named("", name), source=source, parent_id__in=parents)
    places = Place.objects.filter(_named("file__", name), source=source, parent_id__in=parents)
    here = files.filter(placed_at__lte=moment, trashed_at=None, vanished_at=None)
    was = places.filter(from_at__lte=moment, until_at__gt=moment)
    return _files(here, was) or _files(files, places.filter(from_at__lte=moment))


def _files(files: QuerySet[File], places: QuerySet[Place]) -> list[File]:
    ids = {*files.values_list("pk", flat=True)[:MOST_FOUND]}
    ids |= {*places.values_list("file_id", flat=True)[:MOST_FOUND]}
    return list(File.objects.filter(pk__in=ids).order_by("pk")[:MOST_FOUND])


def _named(about_file: str, name: str) -> Q:
    """The name itself, or that of an export with its extension."""
    stem, dot, extension = name.rpartition(".")
    plain = Q(name=name)
    if not dot:
        return plain
    return plain | Q(name=stem, **{f"{about_file}extension": extension.lower()})
