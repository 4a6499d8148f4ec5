"""The account as it was at any moment: what lay where, and which content it had.

Time is when the backup saw something, not what Google says about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Lower
from django.utils import timezone

from syncapp.engine import spans
from syncapp.engine.occupied import STORED
from syncapp.engine.sets import chunks
from syncapp.models import Copy, File, Place, Version
from syncapp.restore_targets.base import numbered
from syncapp.types import Content

BATCH = 1000
# What a folder takes along when it goes is told before or after it, by a few pages of a log.
ALONG = timedelta(minutes=10)
_INSTANT = timedelta(microseconds=1)
_DEEPEST = 200  # Drive allows 100 levels; anything deeper is a loop


class Chosen(NamedTuple):
    """A file and its content at a moment; `version_id` None for a folder, or where no content of
    the file is stored. `path`: raw names from the chosen item downwards, of one folder's siblings
    all different; `names`: the same as Google has them, equal ones and no extensions. `holds`: a
    folder that is not empty."""

    file_id: int
    version_id: int | None
    path: tuple[str, ...]
    size: int
    sha256: str
    modified_at: datetime | None
    mime_type: str
    content: str
    names: tuple[str, ...]
    holds: bool = False


class _Way(NamedTuple):
    path: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    holds: bool = False


class _Seen(NamedTuple):
    file_id: int
    remote_id: str
    name: str
    mime_type: str
    content: str
    extension: str


_COLUMNS = ("pk", "remote_id", "name", "mime_type", "content", "extension")


def descend(
    source_id: int, file_ids: Collection[int], at: datetime | None, *, folders: bool = False
) -> Iterator[list[Chosen]]:
    """Everything below the chosen files and folders as it was at the moment (None: now).

    [] means everything. Depth first, in lists of at most 1000; of one folder's siblings each has a
    name of its own. What is chosen by id is there, whether it was gone or not: a folder that was
    gone by then, with what went along with it. With `folders`, those that hold something come too,
    each before what it holds.
    """
    moment = at or timezone.now()
    if file_ids:
        rows = File.objects.filter(source_id=source_id, pk__in=file_ids).order_by("pk")
        tops = [_Seen(*row) for row in rows.values_list(*_COLUMNS)]
        gone = _gone(source_id, tops, moment)
    else:
        tops, gone = _children(source_id, "", moment), {}
    found = _walk(source_id, tops, moment, gone)
    for some in chunks((one for one in found if folders or not one[1].holds), BATCH):
        yield _with_versions(some, moment)


def _gone(source_id: int, tops: Sequence[_Seen], moment: datetime) -> dict[int, datetime]:
    """Folders that had gone by the moment, and when they were last seen where they were."""
    folders = [seen.file_id for seen in tops if seen.content == Content.FOLDER]
    rows = File.objects.filter(source_id=source_id, pk__in=folders)
    return {
        pk: min(one for one in (trashed_at, vanished_at) if one) - _INSTANT
        for pk, trashed_at, vanished_at in rows.values_list("pk", "trashed_at", "vanished_at")
        if any(one and one <= moment for one in (trashed_at, vanished_at))
    }


def _walk(
    source_id: int, tops: Sequence[_Seen], moment: datetime, gone: Mapping[int, datetime]
) -> Iterator[tuple[_Seen, _Way]]:
    """Each thing once, with its way down from the top; `gone` has moments of their own."""
    for seen, way in _named(tops, _Way()):
        own = gone.get(seen.file_id)
        if own is None:
            yield from _below(source_id, [(seen, way)], moment)
        else:
            yield from _below(source_id, [(seen, way)], own, ALONG)


def _below(
    source_id: int,
    tops: Sequence[tuple[_Seen, _Way]],
    moment: datetime,
    slack: timedelta = timedelta(0),
) -> Iterator[tuple[_Seen, _Way]]:
    stack = [iter(tops)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        seen, way = step
        if seen.content != Content.FOLDER:
            yield seen, way
            continue
        below = _children(source_id, seen.remote_id, moment, slack)
        if not below or len(stack) >= _DEEPEST:
            yield seen, way
        else:
            yield seen, way._replace(holds=True)
            stack.append(iter(_named(below, way)))


def _named(siblings: Iterable[_Seen], above: _Way) -> list[tuple[_Seen, _Way]]:
    taken: set[str] = set()
    found = []
    for seen in siblings:
        name = wanted = file_name(seen.name, seen.extension)
        number = 1
        while name in taken:
            number += 1
            name = numbered(wanted, number)
        taken.add(name)
        found.append((seen, _Way((*above.path, name), (*above.names, seen.name))))
    return found


def file_name(name: str, extension: str) -> str:
    """The name for bytes on disk: exports get their extension."""
    if extension and not name.lower().endswith(f".{extension}"):
        return f"{name}.{extension}"
    return name


def _children(
    source_id: int, parent: str, moment: datetime, slack: timedelta = timedelta(0)
) -> list[_Seen]:
    """What lay in a folder at the moment; or had left it no more than `slack` before."""
    here = File.objects.filter(
        source_id=source_id,
        parent_id=parent,
        placed_at__lte=moment,
        trashed_at__isnull=True,
        vanished_at__isnull=True,
    )
    found = [_Seen(*row) for row in here.values_list(*_COLUMNS)]
    was = Place.objects.filter(
        source_id=source_id, parent_id=parent, until_at__gt=moment - slack, from_at__lte=moment
    )
    columns = ("file__pk", "file__remote_id", "name")
    about = ("file__mime_type", "file__content", "file__extension")
    known = {seen.file_id for seen in found}
    found += [_Seen(*row) for row in was.values_list(*columns, *about) if row[0] not in known]
    return sorted(found, key=lambda seen: (seen.content != Content.FOLDER, seen.name, seen.file_id))


# As the present list orders. A former name, and one whose folded form another has, has none of its
# own: then the database's small letters (SQLite knows those of ASCII).
_FOLD = Case(When(key_fold="", then=Lower("name")), default=F("key_fold"))


class Entry(NamedTuple):
    """A thing in a folder at a moment, as Google called it then; `order`, `fold` and id are the
    keys of its place in the page. `version_id` None: a folder, or nothing of it is stored."""

    order: int
    fold: str
    file_id: int
    name: str
    remote_id: str
    content: str
    mime_type: str
    version_id: int | None = None
    size: int | None = None
    modified_at: datetime | None = None

    @property
    def is_folder(self) -> bool:
        return self.content == Content.FOLDER


def children(
    source_id: int,
    parent: str,
    at: datetime,
    *,
    after: tuple[int, str, int] | None = None,
    limit: int = 50,
) -> list[Entry]:
    """What lay in a folder at the moment: folders first, then by name, capitals or not.

    A page of it: what comes behind (order, fold, file's id).
    """
    about = ("remote_id", "content", "mime_type")
    present = File.objects.filter(source_id=source_id, parent_id=parent, placed_at__lte=at)
    present = present.filter(trashed_at__isnull=True, vanished_at__isnull=True)
    present = present.annotate(order=_order("content"), fold=_FOLD)
    here = present.values_list("order", "fold", "pk", "name", *about)
    past = Place.objects.filter(source_id=source_id, parent_id=parent)
    past = past.filter(until_at__gt=at, from_at__lte=at)
    past = past.annotate(order=_order("file__content"), fold=Lower("name"))
    was = past.values_list("order", "fold", "file_id", "name", *(f"file__{n}" for n in about))
    if after is not None:
        here, was = here.filter(_behind("pk", *after)), was.filter(_behind("file_id", *after))
    rows = here.union(was, all=True).order_by("order", "fold", "pk")[:limit]
    found = [Entry(*row) for row in rows]
    versions = _versions([entry.file_id for entry in found if not entry.is_folder], at)
    return [_with_version(entry, versions.get(entry.file_id)) for entry in found]


def _order(content: str) -> Case:
    return Case(When(**{content: Content.FOLDER}, then=Value(0)), default=Value(1))


def _behind(key: str, order: int, fold: str, number: int) -> Q:
    same = Q(order=order)
    last = same & Q(fold=fold, **{f"{key}__gt": number})
    return Q(order__gt=order) | (same & Q(fold__gt=fold)) | last


def _with_version(
    entry: Entry, version: tuple[int, int | None, str, datetime | None] | None
) -> Entry:
    if version is None:
        return entry
    pk, size, _, modified_at = version
    return entry._replace(version_id=pk, size=size, modified_at=modified_at)


def above(source_id: int, folder: str, at: datetime) -> list[tuple[str, str]]:
    """(remote id, name) from the top down to this folder, as it was at the moment; of a folder that
    was not there, as it is known now. [] if it never was."""
    steps: list[tuple[str, str]] = []
    while folder and len(steps) < _DEEPEST:
        row = File.objects.filter(source_id=source_id, remote_id=folder).first()
        if row is None:
            break
        places = row.places.filter(from_at__lte=at, until_at__gt=at)
        place = places.order_by("-pk").first() or row
        steps.append((folder, place.name))
        folder = place.parent_id
    return steps[::-1]


def _with_versions(some: Sequence[tuple[_Seen, _Way]], moment: datetime) -> list[Chosen]:
    files = [seen.file_id for seen, _ in some if seen.content != Content.FOLDER]
    versions = _versions(files, moment)
    times = _times([seen.file_id for seen, _ in some if seen.content == Content.FOLDER], moment)
    chosen = []
    for seen, way in some:
        nothing = (None, 0, "", times.get(seen.file_id))
        pk, size, sha256, modified_at = versions.get(seen.file_id, nothing)
        about = (sha256, modified_at, seen.mime_type, seen.content)
        chosen.append(Chosen(seen.file_id, pk, way.path, size or 0, *about, way.names, way.holds))
    return chosen


def _times(folders: Sequence[int], moment: datetime) -> dict[int, datetime | None]:
    """When folders were changed; of one that was changed after the moment that is not known."""
    if not folders:
        return {}
    rows = File.objects.filter(pk__in=folders, remote_modified_at__lte=moment)
    return dict(rows.values_list("pk", "remote_modified_at"))


def contents(files: Sequence[int], moment: datetime) -> list[int]:
    """The versions that these files had at the moment, of those that are stored."""
    return [pk for pk, *_ in _versions(files, moment).values()]


def _versions(
    files: Sequence[int], moment: datetime
) -> dict[int, tuple[int, int | None, str, datetime | None]]:
    stored = Copy.objects.filter(version_id=OuterRef("pk"), state__in=STORED)
    rows = Version.objects.filter(Exists(stored), file_id__in=files, first_seen_at__lte=moment)
    spells = ("first_seen_at", "returned_at", "replaced_at")
    seen = list(rows.values_list("pk", "file_id", *spells, "size", "sha256", "modified_at"))
    later = [pk for pk, _, _, returned_at, *_ in seen if returned_at and returned_at > moment]
    before = spans.last_before(later, moment)
    best: dict[int, tuple[bool, datetime, int]] = {}
    found: dict[int, tuple[int, int | None, str, datetime | None]] = {}
    for pk, file_id, seen_at, returned_at, replaced_at, size, sha256, modified_at in seen:
        from_at, until_at = before.get(pk, (returned_at or seen_at, replaced_at))
        rank = (until_at is None or until_at > moment, from_at, pk)
        if file_id not in best or rank > best[file_id]:
            best[file_id] = rank
            found[file_id] = (pk, size, sha256, modified_at)
    return found
