"""From the catalog to the lines of segments: files with their places, versions and stored copies.

In sets, straight from the database's own text: a million files pass here. Times are RFC 3339 in
UTC; what is empty is left out. `segment_intake` is the way back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from django.db import connection
from django.db.models import Q

from syncapp.engine import keys
from syncapp.engine.sets import among
from syncapp.models import Copy, Erased, File, Place, Span, Version
from syncapp.types import JsonObject

_IS_STORED = "state IN ('stored', 'verified')"
_T, _J = "time", "json"
# Column, its name in a line, how it is read.
FILE = (
    ("remote_id", "file", ""), ("parent_id", "parent", ""), ("name", "name", ""),
    ("mime_type", "mime_type", ""), ("content", "content", ""), ("owner_email", "owner", ""),
    ("drive_id", "drive", ""), ("extension", "extension", ""), ("key_name", "key_name", ""),
    ("key_fold", "key_fold", ""), ("fingerprint", "fingerprint", ""), ("move_due", "move_due", ""),
    ("problem", "problem", ""), ("problem_message", "problem_message", ""), ("extra", "extra", _J),
    ("metadata", "metadata", _J), ("remote_created_at", "created_at", _T),
    ("remote_modified_at", "modified_at", _T), ("first_seen_at", "first_seen_at", _T),
    ("placed_at", "placed_at", _T), ("trashed_at", "trashed_at", _T),
    ("vanished_at", "vanished_at", _T),
)  # fmt: skip
PLACE = (
    ("parent_id", "parent", ""), ("name", "name", ""), ("from_at", "from", _T),
    ("until_at", "until", _T),
)  # fmt: skip
VERSION = (
    ("revision", "revision", ""), ("current", "current", ""), ("state", "state", ""),
    ("size", "size", ""), ("md5", "md5", ""), ("sha256", "sha256", ""),
    ("content_type", "content_type", ""), ("declared_size", "declared_size", ""),
    ("declared_md5", "declared_md5", ""), ("declared_sha256", "declared_sha256", ""),
    ("modified_at", "modified_at", _T), ("modified_by", "modified_by", ""),
    ("checksum_disputed", "checksum_disputed", ""), ("first_seen_at", "first_seen_at", _T),
    ("returned_at", "returned_at", _T), ("replaced_at", "replaced_at", _T),
    ("error_code", "error_code", ""), ("error_message", "error_message", ""),
)  # fmt: skip
SPAN = (("from_at", "from", _T), ("until_at", "until", _T))
COPY = (
    ("destination_id", "to", ""), ("object_key", "key", ""), ("store_version", "version_id", ""),
    ("etag", "etag", ""), ("stored_at", "stored_at", _T),
)  # fmt: skip
Columns = Sequence[tuple[str, str, str]]
Rows = list[tuple[int, int, JsonObject]]  # id, owner's id, what is kept


def lines(file_ids: Sequence[int]) -> Iterator[JsonObject]:
    """A line for each of these files that is there, in the order of their ids."""
    files = _read(File, FILE, "id", file_ids)
    versions = _read(Version, VERSION, "file_id", file_ids)
    copies = _below(_read(Copy, COPY, "version_id", [pk for pk, _, _ in versions], _IS_STORED))
    returned = [pk for pk, _, version in versions if "returned_at" in version]
    spans = _below(_read(Span, SPAN, "version_id", returned))
    for pk, _, version in versions:
        if pk in spans:
            version["spans"] = spans[pk]
        if pk in copies:
            version["copies"] = copies[pk]
    of_file, places = _below(versions), _below(_read(Place, PLACE, "file_id", file_ids))
    for pk, _, file in files:
        if file.get("key_fold", "") == keys.fold(file.get("key_name", "")):
            file.pop("key_fold", None)
        elif "key_fold" not in file:
            file["key_fold"] = ""  # it holds no sibling off its name
        if pk in places:
            file["places"] = places[pk]
        if pk in of_file:
            file["versions"] = of_file[pk]
        yield file


def erased(source_id: int) -> Iterator[JsonObject]:
    """A line for each file that must not come back, by the hash of its id."""
    decided = Q(erasure__isnull=True) | Q(erasure__marked_at__isnull=False)
    rows = Erased.objects.filter(decided, source_id=source_id).order_by("pk")
    for digest in rows.values_list("digest", flat=True).iterator(2000):
        yield {"erased": digest}


def _below(rows: Rows) -> dict[int, list[JsonObject]]:
    found: dict[int, list[JsonObject]] = defaultdict(list)
    for _, owner, kept in rows:
        found[owner].append(kept)
    return found


def _read(model: Any, columns: Columns, owner: str, ids: Sequence[int], only: str = "") -> Rows:
    """Rows whose `owner` is one of the ids, by their key."""
    if not ids:
        return []
    picked = ", ".join(_expression(column, how) for column, _, how in columns)
    condition, given = among(owner, ids)
    condition = f"{condition} AND {only}" if only else condition
    names = [name for _, name, _ in columns]
    json_at = [i for i, (_, _, how) in enumerate(columns) if how == _J]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, {owner}, {picked} FROM {model._meta.db_table}"  # noqa: S608
            f" WHERE {condition} ORDER BY id",
            given,
        )
        return [
            (pk, above, _kept(names, values, json_at)) for pk, above, *values in cursor.fetchall()
        ]


def _kept(names: Sequence[str], values: list[Any], json_at: Sequence[int]) -> JsonObject:
    for i in json_at:
        values[i] = None if values[i] == "{}" else orjson.Fragment(values[i])
    return {
        name: value
        for name, value in zip(names, values, strict=True)
        if value is not None and value is not False and value != ""
    }


def _expression(column: str, how: str) -> str:
    """SQL that gives a column as a segment has it."""
    if connection.vendor == "postgresql":
        time = f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        return {_T: time, _J: f"{column}::text"}.get(how, column)
    return {_T: f"replace({column}, ' ', 'T') || 'Z'"}.get(how, column)
