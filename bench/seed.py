"""A catalog of any size, in sets: what pages, plans and commands are timed on.

`seed(source, files)` makes files in folders of 200 (folders nest, 20 to a folder), a current
version of each and a stored copy in each of the source's destinations: about 40 s a million on
SQLite. The names and ids are those of the stand-in's synthetic account; the content is made up,
so a scan of that account looks at each file once and finds new revisions. Needs Django set up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from django.db import connection, models, transaction

from syncapp.engine.sets import chunks, upsert_many
from syncapp.models import Copy, File, Source, Version

PER_FOLDER, FOLDERS_PER_FOLDER = 200, 20
ROOT = "0ASyntheticRootUk9PVA"
TYPES = [
    ("application/octet-stream", "bin"), ("image/jpeg", "jpg"), ("application/pdf", "pdf"),
    ("video/mp4", "mp4"), ("text/plain", "txt"),
]  # fmt: skip
WHEN = datetime(2024, 1, 1, tzinfo=UTC)
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


def seed(source: Source, files: int, *, failed_every: int = 0, trashed_every: int = 0) -> None:
    """Fill the source's empty catalog. Every n-th file failed or lies in the trash, 0 for none."""
    rows = chain(_folders(source.pk, files), _files(source.pk, files, trashed_every))
    for batch in chunks(rows, _STEP):
        with transaction.atomic():
            upsert_many(
                File, COLUMNS, batch, unique=["source_id", "remote_id"], update=["mark"]
            )  # fmt: skip
    _versions(source, failed_every)
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


def _folders(source_id: int, files: int) -> Iterator[tuple[Any, ...]]:
    yield _row(source_id, ROOT, "", "My Drive", "application/vnd.google-apps.folder", "folder")
    for n in range(-(-files // PER_FOLDER)):
        parent = folder_id((n - 1) // FOLDERS_PER_FOLDER) if n else ROOT
        name = f"folder {n:05d}"
        mime_type = "application/vnd.google-apps.folder"
        yield _row(source_id, folder_id(n), parent, name, mime_type, "folder")


def _files(source_id: int, files: int, trashed_every: int) -> Iterator[tuple[Any, ...]]:
    for n in range(files):
        mime_type, ending = TYPES[n % len(TYPES)]
        name = f"file {n:07d}.{ending}"
        row = _row(source_id, file_id(n), folder_id(n // PER_FOLDER), name, mime_type, "blob", n)
        if trashed_every and n % trashed_every == 0:
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


def _versions(source: Source, failed_every: int) -> None:
    version = Version(
        source=source, revision="seeded", declared_size=0, size=0, state=Version.State.STORED,
        modified_at=WHEN, content_type="application/octet-stream",
    )  # fmt: skip
    size = "(f.id * 7919) %% 10000000"
    failed = f"CASE WHEN f.id %% {failed_every} = 0 THEN 'failed' ELSE 'stored' END"
    told = {"file_id": "f.id", "size": size, "declared_size": size}
    if failed_every:
        told["state"] = failed
    table = File._meta.db_table
    where = f"{table} f WHERE f.source_id = %s AND f.content = 'blob' AND f.problem = ''"
    _insert(version, told, where, source.pk)


def _copies(source: Source) -> None:
    for destination in source.destinations.all():
        copy = Copy(destination=destination, state=Copy.State.STORED, stored_at=WHEN)
        key = f"'{source.slug}/files/' || v.file_id"
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
