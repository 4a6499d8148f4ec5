"""A catalog of any size, in sets: what pages, plans and commands are timed on.

`seed(source, files)` makes files in folders of 200 (folders nest, 20 to a folder), the versions of
each (one a day from WHEN on) and a stored copy of each version in each of the source's
destinations: with one version about a minute a million on SQLite. The names and ids are those of
the stand-in's synthetic account; the content is made up, so a scan of that account looks at each
file once and finds new revisions. Needs Django set up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from django.db import connection, models, transaction

from syncapp.engine.sets import chunks, upsert_many
from syncapp.models import Copy, File, Place, Source, Version

PER_FOLDER, FOLDERS_PER_FOLDER = 200, 20
ROOT, WIDE = "0ASyntheticRootUk9PVA", "1SynWide"
TYPES = [
    ("application/octet-stream", "bin"), ("image/jpeg", "jpg"), ("application/pdf", "pdf"),
    ("video/mp4", "mp4"), ("text/plain", "txt"),
]  # fmt: skip
WHEN = datetime(2024, 1, 1, tzinfo=UTC)
RENAMED_AFTER = timedelta(days=30)
COLUMNS = [
    "source_id", "remote_id", "parent_id", "name", "mime_type", "content", "owner_email",
    "drive_id", "extension", "key_name", "key_fold", "fingerprint", "mark", "move_due", "problem",
    "problem_message", "extra", "metadata", "remote_created_at", "remote_modified_at",
    "first_seen_at", "placed_at", "trashed_at", "vanished_at",
]  # fmt: skip
METADATA = {
    "webViewLink": "https://drive.google.com/file/d/1/view",
    "owners": [{"displayName": "Synthetic Account", "emailAddress": "synthetic@example.com"}],
    "lastModifyingUser": {"displayName": "Synthetic", "emailAddress": "synthetic@example.com"},
    "permissions": [{"id": "1", "type": "user", "role": "owner"}],
    "ownedByMe": True,
    "shared": False,
}
_STEP = 10_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What a catalog is like; every n-th file failed, lies in the trash, was called something else
    for the first 30 days (0: none). `wide`: so many files in one folder of their own."""

    versions: int = 1
    failed_every: int = 0
    trashed_every: int = 0
    renamed_every: int = 0
    wide: int = 0


def seed(source: Source, files: int, shape: Shape | None = None) -> None:
    """Fill the source's empty catalog."""
    shape = shape or Shape()
    rows = chain(_folders(source.pk, files, shape.wide), _files(source.pk, files, shape))
    for batch in chunks(rows, _STEP):
        with transaction.atomic():
            upsert_many(
                File, COLUMNS, batch, unique=["source_id", "remote_id"], update=["mark"]
            )  # fmt: skip
    _places(source, shape.renamed_every)
    for number in range(shape.versions):
        _versions(source, number, shape)
    _copies(source)
    source.planned_for = sorted(source.destinations.values_list("pk", flat=True))
    source.scanned_at = WHEN
    source.save()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def file_id(number: int) -> str:
    """The remote id of the n-th file."""
    return f"1SynF{number:028d}"


def folder_id(number: int) -> str:
    """The remote id of the n-th folder; number 0 holds all others."""
    return f"1SynD{number:028d}"


def _folders(source_id: int, files: int, wide: int) -> Iterator[tuple[Any, ...]]:
    yield _row(source_id, ROOT, "", "My Drive", "application/vnd.google-apps.folder", "folder")
    if wide:
        yield _row(source_id, WIDE, ROOT, "wide", "application/vnd.google-apps.folder", "folder")
    for n in range(-(-files // PER_FOLDER)):
        parent = folder_id((n - 1) // FOLDERS_PER_FOLDER) if n else ROOT
        name = f"folder {n:05d}"
        mime_type = "application/vnd.google-apps.folder"
        yield _row(source_id, folder_id(n), parent, name, mime_type, "folder")


def _files(source_id: int, files: int, shape: Shape) -> Iterator[tuple[Any, ...]]:
    for n in range(files):
        mime_type, ending = TYPES[n % len(TYPES)]
        name = f"file {n:07d}.{ending}"
        parent = WIDE if n < shape.wide else folder_id(n // PER_FOLDER)
        row = _row(source_id, file_id(n), parent, name, mime_type, "blob", n)
        if shape.trashed_every and n % shape.trashed_every == 0:
            trashed = {"problem": "in_trash", "trashed_at": WHEN}
            row = tuple(trashed.get(c, v) for c, v in zip(COLUMNS, row, strict=True))
        yield row


def _row(
    source_id: int, remote_id: str, parent: str, name: str, mime_type: str, content: str, n: int = 0
) -> tuple[Any, ...]:
    modified = WHEN + timedelta(minutes=n)
    return (
        source_id, remote_id, parent, name, mime_type, content, "synthetic@example.com", "", "",
        name, name, f"{n:032x}", 0, False, "", "", {}, METADATA, WHEN, modified, WHEN,
        WHEN, None, None,
    )  # fmt: skip


def _places(source: Source, every: int) -> None:
    """Every n-th file was called “former …” for 30 days."""
    if not every:
        return
    until = WHEN + RENAMED_AFTER
    place = Place(source=source, from_at=WHEN, until_at=until)
    told = {"file_id": "f.id", "parent_id": "f.parent_id", "name": "'former ' || f.name"}
    table = File._meta.db_table
    which = f"f.id %% {every} = 0 AND f.trashed_at IS NULL AND f.content = 'blob'"
    _insert(place, told, f"{table} f WHERE f.source_id = %s AND {which}", source.pk)
    places = Place.objects.filter(source=source).values("file")
    File.objects.filter(source=source, pk__in=places).update(placed_at=until)


def _versions(source: Source, number: int, shape: Shape) -> None:
    """The n-th version of each file; the last one is current."""
    current = number == shape.versions - 1
    seen = WHEN + timedelta(days=number)
    version = Version(
        source=source, revision=f"seeded{number or ''}", declared_size=0, size=0,
        state=Version.State.STORED, content_type="application/octet-stream", current=current,
        first_seen_at=seen, replaced_at=None if current else seen + timedelta(days=1),
    )  # fmt: skip
    size = f"((f.id + {number}) * 7919) %% 10000000"
    failed = f"CASE WHEN f.id %% {shape.failed_every} = 0 THEN 'failed' ELSE 'stored' END"
    told = {"file_id": "f.id", "size": size, "declared_size": size}
    told["modified_at"] = "f.remote_modified_at"
    if shape.failed_every and current:
        told["state"] = failed
    table = File._meta.db_table
    where = f"{table} f WHERE f.source_id = %s AND f.content = 'blob' AND f.problem = ''"
    _insert(version, told, where, source.pk)


def _copies(source: Source) -> None:
    for destination in source.destinations.all():
        copy = Copy(destination=destination, state=Copy.State.STORED, stored_at=WHEN)
        old = f"'{source.slug}/.versions/' || v.id"
        key = f"CASE WHEN v.current THEN '{source.slug}/files/' || v.file_id ELSE {old} END"
        state = "CASE WHEN v.state = 'failed' THEN 'failed' ELSE 'stored' END"
        told = {"version_id": "v.id", "object_key": key, "state": state}
        where = f"{Version._meta.db_table} v WHERE v.source_id = %s"
        _insert(copy, told, where, source.pk)


def _insert(pattern: models.Model, told: dict[str, str], where: str, source_id: int) -> None:
    """Rows like `pattern`, one for each row of `where`; `told` has expressions for columns."""
    blank = {f: f.value_from_object(pattern) for f in pattern._meta.concrete_fields}
    others = [f for f, v in blank.items() if f.attname not in told and v is not None]
    names = ", ".join([*told, *(f.attname for f in others)])
    picked = ", ".join([*told.values(), *["%s"] * len(others)])
    values = [f.get_db_prep_save(blank[f], connection) for f in others]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {pattern._meta.db_table} ({names}) SELECT {picked} FROM {where}",
            [*values, source_id],
        )
