"""`manage.py files --search …`: what is looked for, read from options, and how a hit is written.

JSON of a hit, stable: {source, file, id, path, type, size, modified_at, modified_by, version,
deleted_at}; `path` as it was where it was found, times in ISO 8601, UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine.search import Deleted, Hit, Kind, Wanted, search
from syncapp.management.base import usage
from syncapp.management.lookup import find_moment, find_past
from syncapp.management.output import moment, printable, size
from syncapp.models import Source
from syncapp.types import JsonObject

OPTIONS = ("search", "path", "kind", "larger", "smaller", "since", "until", "at", "deleted")
_SIZE = re.compile(r"(\d{1,15})\s*(|k|M|G|T)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def add_search(parser: CommandParser) -> None:
    """Any of these makes it a search."""
    group = parser.add_argument_group("search", "All versions, former names and deleted files.")
    group.add_argument("--search", metavar="WORDS", help="Words in the name.")
    group.add_argument("--path", help="In folders with this in their path.")
    group.add_argument("--kind", choices=[kind.value for kind in Kind], help="Type of file.")
    group.add_argument("--larger", metavar="SIZE", help="At least: 500000, 20MB, 1GB.")
    group.add_argument("--smaller", metavar="SIZE", help="At most.")
    group.add_argument("--since", metavar="TIME", help="Modified then or later: 2026-11-25.")
    group.add_argument("--until", metavar="TIME", help="Modified then or earlier.")
    group.add_argument("--at", metavar="TIME", help="As it was then.")
    group.add_argument(
        "--deleted",
        choices=[kind.value for kind in Deleted],
        help="Whether files that are gone at the source are wanted; else: also.",
    )
    group.add_argument("--limit", type=int, default=1000, help="At most so many; default 1000.")


def is_search(options: dict[str, Any]) -> bool:
    """Whether anything is looked for."""
    return any(options[name] is not None for name in OPTIONS)


def hits(sources: Sequence[Source], options: dict[str, Any]) -> Iterator[Hit]:
    """What is found, page by page, at most `limit`."""
    wanted = _wanted(sources, options)
    left, after = options["limit"], ""
    while left > 0:
        page = search(wanted, after, min(left, 500))
        yield from page.hits
        left, after = left - len(page.hits), page.after
        if not after:
            return


def _wanted(sources: Sequence[Source], options: dict[str, Any]) -> Wanted:
    return Wanted(
        [source.pk for source in sources],
        text=options["search"] or "",
        path=options["path"] or "",
        kind=Kind(options["kind"]) if options["kind"] else None,
        larger=read_size(options["larger"], "--larger"),
        smaller=read_size(options["smaller"], "--smaller"),
        since=find_moment(options["since"], "--since", end_of_day=False),
        until=find_moment(options["until"], "--until"),
        at=find_past(options["at"], "--at"),
        deleted=Deleted(options["deleted"] or Deleted.ALSO),
    )


def read_size(text: str | None, option: str) -> int | None:
    """Bytes of a size such as 20MB; a usage error names the option."""
    if text is None:
        return None
    found = _SIZE.fullmatch(text.strip())
    number = int(found[1]) * _UNITS[found[2].lower()] if found else 2**63
    if number >= 2**63:
        raise usage(f"{option}: “{printable(text)}” is no size such as 500000, 20MB or 1GB.")
    return number


def path_of(hit: Hit) -> str:
    """From the top down to the name with which it was found."""
    return f"{hit.folder}/{hit.name}" if hit.folder else hit.name


def hit_line(hit: Hit) -> str:
    """One line for a person."""
    version = hit.version
    length = size(version.size) if version and version.size is not None else "–"
    changed = version.modified_at if version else hit.file.remote_modified_at
    gone_at = hit.file.trashed_at or hit.file.vanished_at
    gone = f"  (deleted {moment(gone_at)})" if gone_at else ""
    where = f"{printable(hit.file.source.name)}: {printable(path_of(hit))}"
    return f"{moment(changed)}  {length:>10}  {where}{gone}"


def hit_document(hit: Hit) -> JsonObject:
    """As the module says."""
    version, file = hit.version, hit.file
    changed = version.modified_at if version else file.remote_modified_at
    return {
        "source": file.source.slug,
        "file": file.pk,
        "id": file.remote_id,
        "path": path_of(hit),
        "type": file.mime_type,
        "size": version.size if version else None,
        "modified_at": _iso(changed),
        "modified_by": version.modified_by if version else "",
        "version": version.pk if version else None,
        "deleted_at": _iso(file.trashed_at or file.vanished_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
