"""Files that are not backed up, one by one: where each is, and why.

First those that are not read at all (refused at the listing, excluded), then those refused when
they were read; the dashboard counts both (`queries.refusals`). Paged by key: "f" and a file's id,
then "v" and a version's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import User
from syncapp.models import File
from syncapp.web import paths, queries
from syncapp.web.paging import PAGE_ROWS, oldest_first

LISTED, READ = "f", "v"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One file and the reason."""

    file: File
    folders: Sequence[paths.Folder]
    code: str
    message: str


def page(user: User, after: str = "", code: str = "") -> tuple[list[Refusal], str]:
    """A page, and where the next begins ("" if nowhere); `code` leaves only that reason."""
    found: list[tuple[str, int, File, str, str]] = []
    if not after.startswith(READ):
        found = _listed(user, after[1:], code)
    if len(found) <= PAGE_ROWS:
        start = after[1:] if after.startswith(READ) else ""
        found += _read(user, start, code, PAGE_ROWS + 1 - len(found))
    rows, more = found[:PAGE_ROWS], len(found) > PAGE_ROWS
    above = paths.folders_of([file.pk for _, _, file, _, _ in rows])
    shown = [Refusal(file, above[file.pk], why, message) for _, _, file, why, message in rows]
    return shown, f"{rows[-1][0]}{rows[-1][1]}" if more else ""


def _listed(user: User, after: str, code: str) -> list[tuple[str, int, File, str, str]]:
    files = queries.not_read(user)
    if code:
        files = files.filter(problem=code)
    rows = oldest_first(files.select_related("source"), after, PAGE_ROWS + 1).rows
    return [(LISTED, file.pk, file, file.problem, file.problem_message) for file in rows]


def _read(user: User, after: str, code: str, most: int) -> list[tuple[str, int, File, str, str]]:
    versions = queries.refused_at_reading(user)
    if code:
        versions = versions.filter(error_code=code)
    rows = oldest_first(versions.select_related("file__source"), after, most).rows
    return [(READ, v.pk, v.file, v.error_code, v.error_message) for v in rows]
