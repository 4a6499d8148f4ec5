"""Finding files by name, path, type, size and date, over all versions and what was deleted.

One index leads (`search_leads`); all other wishes are held against what it gives, a batch at a
time. A page looks at no more than MOST_LOOKED_AT candidates and ends after MOST_SECONDS, whatever
the catalog's size: where few of a million match, it comes back with fewer hits and the place to go
on from. Hits come source by source, in the order of the index that leads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial, reduce
from operator import or_
from time import monotonic
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from syncapp.engine import search_leads, spans
from syncapp.engine.folders import Folders
from syncapp.engine.keys import fold
from syncapp.engine.search_leads import Leg
from syncapp.engine.search_walks import Candidate, Spot
from syncapp.engine.search_words import has_all, long_words, words_of
from syncapp.models import File, Place, Version
from syncapp.models.catalog import GONE

MOST_LOOKED_AT = 10_000
MOST_SECONDS = 0.15
_FIRST_BATCH, _BATCH = 100, 500


class Kind(StrEnum):
    """What a file is, as people say it."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    PDF = "pdf"
    DOCUMENT = "document"
    ARCHIVE = "archive"
    FOLDER = "folder"
    OTHER = "other"


class Deleted(StrEnum):
    """Whether files that are gone at the source are wanted."""

    ALSO = "also"
    NO = "no"
    ONLY = "only"


_DOCUMENT = (
    "text/", "application/msword", "application/rtf", "application/vnd.openxmlformats-",
    "application/vnd.oasis.opendocument", "application/vnd.ms-", "application/vnd.google-apps.doc",
    "application/vnd.google-apps.presentation", "application/vnd.google-apps.spreadsheet",
)  # fmt: skip
_ARCHIVE = (
    "application/zip", "application/x-zip", "application/x-tar", "application/gzip",
    "application/x-gzip", "application/x-7z", "application/x-rar", "application/vnd.rar",
    "application/x-bzip", "application/x-xz",
)  # fmt: skip
_STARTS: dict[Kind, tuple[str, ...]] = {
    Kind.IMAGE: ("image/",),
    Kind.VIDEO: ("video/",),
    Kind.AUDIO: ("audio/",),
    Kind.PDF: ("application/pdf",),
    Kind.DOCUMENT: _DOCUMENT,
    Kind.ARCHIVE: _ARCHIVE,
    Kind.FOLDER: ("application/vnd.google-apps.folder",),
}
_KNOWN = tuple(start for starts in _STARTS.values() for start in starts)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for, in these sources. Sizes in bytes, both ends included.

    `text`: words that must all be in the name, present or former. `path`: a stretch of the path of
    the folders above. `since` and `until` are of Google's modified time; size and time must be of
    one and the same version. `at`: what was there at that moment, its name and version then.
    """

    sources: Sequence[int]
    text: str = ""
    path: str = ""
    kind: Kind | None = None
    larger: int | None = None
    smaller: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    at: datetime | None = None
    deleted: Deleted = Deleted.ALSO

    @property
    def of_versions(self) -> bool:
        """Whether anything is asked that only versions tell."""
        ends = (self.larger, self.smaller, self.since, self.until)
        return any(end is not None for end in ends)


class Hit(NamedTuple):
    """A file that matches, the name by which it does, its newest version that does (None for a
    folder, or where nothing was read), and the path of the folders above."""

    file: File
    name: str
    version: Version | None
    folder: str


@dataclass(frozen=True, slots=True)
class Page:
    """`after` is where to go on, "" at the end; `looked_at` candidates gave these hits.

    `cut`: it ended before it was full, though there is more to look at.
    """

    hits: Sequence[Hit]
    after: str
    looked_at: int
    cut: bool = False


def search(wanted: Wanted, after: str = "", limit: int = 50) -> Page:
    """The next hits. `after` is what the page before gave; whatever else it may be begins anew."""
    lead, legs = _lead(wanted)
    begin, spot = _read(lead, after)
    looking = _Looking(wanted, by_name=lead == "name")
    found: list[tuple[_Seen, str]] = []  # and where to go on behind it
    looked_at, size, began = 0, _FIRST_BATCH, monotonic()
    for leg in legs:
        if leg.key < begin:
            continue
        fits = spot and isinstance(spot[0], datetime) == (leg.field == "modified_at")
        spot = spot if leg.key == begin and fits else None
        while True:
            batch, spot = leg.walk(spot, size)
            matching = looking.matching(leg, batch)
            spots = {c.row: (c.value, c.row) for c in batch}
            places = ((row, _write(lead, leg, spots[row])) for row in spots if row in matching)
            found += [(matching[row], place) for row, place in places]
            if len(found) > limit:
                shown = found[:limit]
                return Page(_hits(wanted, [one for one, _ in shown]), shown[-1][1], looked_at)
            looked_at, size = looked_at + len(batch), _BATCH if batch else size
            if spot is None:
                break
            if looked_at >= MOST_LOOKED_AT or monotonic() - began > MOST_SECONDS:
                place = _write(lead, leg, spot)
                return Page(_hits(wanted, [one for one, _ in found]), place, looked_at, cut=True)
    return Page(_hits(wanted, [one for one, _ in found]), "", looked_at)


def _lead(wanted: Wanted) -> tuple[str, Iterable[Leg]]:
    """What leads, and its legs."""
    sources = wanted.sources
    if wanted.deleted is Deleted.ONLY and search_leads.few_are_gone(sources):
        return "gone", search_leads.gone(sources)
    if long_words(wanted.text):
        only = wanted.kind is Kind.FOLDER
        return "name", search_leads.by_name(sources, wanted.text, only_folders=only)
    if long_words(wanted.path.rpartition("/")[2]):
        return "path", search_leads.below(sources, wanted.path)
    if wanted.larger is not None or wanted.smaller is not None:
        return "size", search_leads.by_version(sources, "size", wanted.larger, wanted.smaller)
    if wanted.since is not None or wanted.until is not None:
        return "date", search_leads.by_version(sources, "modified_at", wanted.since, wanted.until)
    if wanted.kind is not None:
        return "type", search_leads.by_type(sources, partial(_is, wanted.kind))
    if wanted.deleted is Deleted.ONLY:
        return "gone", search_leads.gone(sources)
    return "all", search_leads.everywhere(sources)


def _is(kind: Kind, mime_type: str) -> bool:
    if kind is Kind.OTHER:
        return not mime_type.startswith(_KNOWN)
    return mime_type.startswith(_STARTS[kind])


class _Seen(NamedTuple):
    """A candidate's file, and what it is called where it is looked for."""

    file_id: int
    source_id: int
    parent_id: str
    name: str


_COLUMNS = ("source_id", "parent_id", "name")


class _Looking:
    """Holds candidates against everything that is wanted: a few queries a batch."""

    def __init__(self, wanted: Wanted, *, by_name: bool) -> None:
        self._wanted = wanted
        self._words = words_of(wanted.text)
        self._by_name = by_name
        self._path = fold(wanted.path.strip("/"))
        self._folders = {source_id: Folders(source_id) for source_id in wanted.sources}

    def matching(self, leg: Leg, batch: Sequence[Candidate]) -> dict[int, _Seen]:
        """What matches, by the candidates' rows: of a file that comes several times only one."""
        seen = self._rows([candidate.file_id for candidate in batch])
        counted: dict[int, int] | None = None  # file → the row with which it counts
        if leg.former:
            counted, seen = self._former(seen)
        elif self._words and not self._by_name:
            seen |= self._former(seen)[1]
        if self._wanted.at is not None:
            seen = self._at(self._wanted.at, seen)
        seen = {pk: one for pk, one in seen.items() if has_all(one.name, self._words)}
        if self._wanted.of_versions:
            versions = self._versions(leg.field, seen)
            seen = {pk: one for pk, one in seen.items() if pk in versions}
            counted = versions if leg.field else counted
        seen = self._below(seen)
        return {
            candidate.row: seen[candidate.file_id]
            for candidate in batch
            if candidate.file_id in seen
            and (counted is None or counted.get(candidate.file_id) == candidate.row)
        }

    def _rows(self, ids: Sequence[int]) -> dict[int, _Seen]:
        rows = File.objects.filter(pk__in=ids, source_id__in=self._wanted.sources)
        if self._wanted.kind is not None:
            starts = _STARTS.get(self._wanted.kind, _KNOWN)
            begins = reduce(or_, (Q(mime_type__startswith=start) for start in starts))
            rows = rows.filter(~begins if self._wanted.kind is Kind.OTHER else begins)
        if self._wanted.deleted is Deleted.NO:
            rows = rows.exclude(GONE)
        elif self._wanted.deleted is Deleted.ONLY:
            rows = rows.filter(GONE)
        return {row[0]: _Seen(*row) for row in rows.values_list("pk", *_COLUMNS)}

    def _at(self, at: datetime, seen: dict[int, _Seen]) -> dict[int, _Seen]:
        """Those that were there at the moment, as they were called then."""
        present = File.objects.exclude(GONE).filter(pk__in=list(seen), placed_at__lte=at)
        found = {row[0]: _Seen(*row) for row in present.values_list("pk", *_COLUMNS)}
        was = Place.objects.filter(file__in=[pk for pk in seen if pk not in found])
        was = was.filter(from_at__lte=at, until_at__gt=at)
        return found | {row[0]: _Seen(*row) for row in was.values_list("file_id", *_COLUMNS)}

    def _former(self, seen: dict[int, _Seen]) -> tuple[dict[int, int], dict[int, _Seen]]:
        """Files that only a former name finds: the last such place, and the name there."""
        others = [pk for pk, one in seen.items() if not has_all(one.name, self._words)]
        places, named = {}, {}
        rows = Place.objects.filter(file__in=others).order_by("pk")
        for pk, *row in rows.values_list("pk", "file_id", *_COLUMNS):
            if has_all(row[-1], self._words):
                places[row[0]], named[row[0]] = pk, _Seen(*row)
        return places, named

    def _versions(self, field: str, seen: dict[int, _Seen]) -> dict[int, int]:
        """Files with such a version, and which: the first that a walk along `field` meets."""
        rows = versions_of(self._wanted).filter(file__in=list(seen))
        rows = rows.order_by(*([field, "pk"] if field else ["pk"]))
        return dict(rows.values_list("file_id", "pk"))

    def _below(self, seen: dict[int, _Seen]) -> dict[int, _Seen]:
        if not self._path:
            return seen
        for source_id, folders in self._folders.items():
            folders.load({one.parent_id for one in seen.values() if one.source_id == source_id})
        return {
            pk: one
            for pk, one in seen.items()
            if self._path in fold(self._folders[one.source_id].path(one.parent_id, ""))
        }


def versions_of(wanted: Wanted) -> QuerySet[Version]:
    """The versions that are asked for."""
    asked: dict[str, Any] = {
        "size__gte": wanted.larger,
        "size__lte": wanted.smaller,
        "modified_at__gte": wanted.since,
        "modified_at__lte": wanted.until,
    }
    rows = Version.objects.filter(**{k: value for k, value in asked.items() if value is not None})
    if wanted.at is not None:
        rows = rows.filter(spans.lasted(wanted.at))
    return rows


def _hits(wanted: Wanted, found: Sequence[_Seen]) -> list[Hit]:
    ids = [one.file_id for one in found]
    files = File.objects.select_related("source").defer("extra", "metadata").in_bulk(ids)
    rows = versions_of(wanted).filter(file__in=ids).order_by(spans.SINCE, "pk")
    versions = {version.file_id: version for version in rows}
    folders = {source_id: Folders(source_id) for source_id in wanted.sources}
    for source_id, tree in folders.items():
        tree.load({one.parent_id for one in found if one.source_id == source_id})
    return [
        Hit(
            files[one.file_id],
            one.name,
            versions.get(one.file_id),
            folders[one.source_id].path(one.parent_id, "").rstrip("/"),
        )
        for one in found
        if one.file_id in files
    ]


def _write(lead: str, leg: Leg, spot: Spot) -> str:
    """A place to go on from, to be carried in an address."""
    value, row = spot
    plain = value.isoformat() if isinstance(value, datetime) else value
    text = json.dumps([lead, leg.key, plain, row])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(lead: str, after: str) -> tuple[str, Spot | None]:
    """The leg, and the place in it; the beginning, if it is no place of this lead."""
    try:
        cut = after[:1000]
        led, key, value, row = json.loads(base64.urlsafe_b64decode(cut + "=" * (-len(cut) % 4)))
        number = int(row)
        value = _time(value) if isinstance(value, str) else int(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return "", None
    if led != lead or any(isinstance(n, int) and abs(n) >= 2**63 for n in (value, number)):
        return "", None
    return str(key), (value, number)


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found
