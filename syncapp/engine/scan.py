"""From a source's listing to Files and Versions: in sets, a page at a time, constant memory.

A listing that ends early raises; only one that was read to its end may say that something has
vanished. Everything is idempotent: a scan that died is simply made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from syncapp.engine import keys
from syncapp.engine.planning import withdraw
from syncapp.engine.sets import by_pk, chunks
from syncapp.models import File, Source, Version
from syncapp.sources.base import Source as Reader
from syncapp.types import Content, RemoteFile

ORPHANS = "~orphans"
IN_TRASH = "in_trash"
_IN_TRASH_MESSAGE = "In Google's trash; it is backed up once it is taken out."
_NO_BYTES = {Content.FOLDER, Content.UNSUPPORTED}
_FILE_COLUMNS = [
    "parent_id",
    "name",
    "mime_type",
    "content",
    "owner_email",
    "drive_id",
    "extension",
    "key_name",
    "key_fold",
    "fingerprint",
    "problem",
    "problem_message",
    "extra",
    "metadata",
    "remote_created_at",
    "remote_modified_at",
    "trashed_at",
    "vanished_at",
]


@dataclass
class Counts:
    """What a scan found, folders aside."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    vanished: int = 0


class _Seen:
    """A mark per file row: one byte each, so 1 MB for a million."""

    def __init__(self) -> None:
        self._marks = bytearray()

    def add(self, ids: Iterable[int]) -> None:
        for pk in ids:
            if pk >= len(self._marks):
                self._marks.extend(bytes(pk + 1024 - len(self._marks)))
            self._marks[pk] = 1

    def __contains__(self, pk: int) -> bool:
        return pk < len(self._marks) and self._marks[pk] == 1


def scan(source: Source, reader: Reader, on_page: Callable[[Counts], None]) -> Counts:
    """List the whole source into the catalog. `on_page` is called after each page.

    Raises what the reader raises; then nothing is marked as vanished and the cursor stays.
    """
    cursor = reader.start_cursor()
    counts, seen = Counts(), _Seen()
    for page in reader.scan({}):
        absorb(source, [page.file(i) for i in range(len(page.ids))], counts, seen)
        on_page(counts)
    _adopt_orphans(source)
    counts.vanished = _mark_vanished(source, seen)
    Source.objects.filter(pk=source.pk).update(cursor=cursor, scanned_at=timezone.now())
    return counts


def absorb_one(source: Source, file: RemoteFile) -> int | None:
    """Write one file that was looked up by itself; its current version, if it has bytes."""
    absorb(source, [file], Counts(), _Seen())
    return (
        Version.objects.filter(file__source=source, file__remote_id=file.remote_id, current=True)
        .exclude(state=Version.State.REFUSED)
        .values_list("pk", flat=True)
        .first()
    )


def absorb(source: Source, files: Sequence[RemoteFile], counts: Counts, seen: _Seen) -> None:
    """Write one page: new and changed files, and a Version for each new content."""
    by_id = {file.remote_id: file for file in files}
    with transaction.atomic():
        known = {
            row.remote_id: row
            for row in File.objects.filter(source=source, remote_id__in=by_id).only(
                "remote_id", "fingerprint", "parent_id", "name", "extension",
                "key_name", "key_fold", "vanished_at", "trashed_at",
            )
        }  # fmt: skip
        prints = {remote_id: fingerprint(file) for remote_id, file in by_id.items()}
        stale = [
            file
            for remote_id, file in by_id.items()
            if remote_id not in known
            or known[remote_id].fingerprint != prints[remote_id]
            or known[remote_id].vanished_at is not None
        ]
        if stale:
            _write_files(source, stale, known, prints)
            _write_versions(source, stale)
        _count(counts, by_id, stale, known)
        seen.add(
            File.objects.filter(source=source, remote_id__in=by_id).values_list("pk", flat=True)
        )


def fingerprint(file: RemoteFile) -> str:
    """A hash of everything that is kept of a file."""
    kept = [
        file.parent_id, file.name, file.mime_type, file.content.value, file.revision, file.size,
        file.md5, file.sha256, str(file.created_at), str(file.modified_at), file.trashed,
        file.owner, file.drive_id, file.extension, file.problem, file.extra, file.metadata,
    ]  # fmt: skip
    data = json.dumps(kept, sort_keys=True, default=str).encode()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _count(
    counts: Counts,
    by_id: dict[str, RemoteFile],
    stale: Sequence[RemoteFile],
    known: dict[str, File],
) -> None:
    counts.seen += sum(file.content is not Content.FOLDER for file in by_id.values())
    for file in stale:
        if file.content is not Content.FOLDER:
            counts.new += file.remote_id not in known
            counts.changed += file.remote_id in known


def _write_files(
    source: Source, stale: Sequence[RemoteFile], known: dict[str, File], prints: dict[str, str]
) -> None:
    names = _components(source, stale, known)
    now = timezone.now()
    rows = [
        File(
            source=source,
            remote_id=file.remote_id,
            parent_id=file.parent_id,
            name=file.name,
            mime_type=file.mime_type[:255],
            content=file.content.value,
            owner_email=file.owner[:320],
            drive_id=file.drive_id,
            extension=file.extension,
            key_name=names[file.remote_id],
            key_fold=keys.fold(names[file.remote_id]),
            fingerprint=prints[file.remote_id],
            problem=file.problem or (IN_TRASH if file.trashed else ""),
            problem_message=file.problem_message or (_IN_TRASH_MESSAGE if file.trashed else ""),
            extra=file.extra,
            metadata=file.metadata,
            remote_created_at=file.created_at,
            remote_modified_at=file.modified_at,
            trashed_at=now if file.trashed else None,
            vanished_at=None,
        )
        for file in stale
    ]
    _free_old_names(known, names)
    File.objects.bulk_create(
        rows,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["source", "remote_id"],
        update_fields=_FILE_COLUMNS,
    )


def _free_old_names(known: dict[str, File], names: dict[str, str]) -> None:
    """Let siblings swap names within a page: clear those that change before writing anew."""
    moved = [
        row.pk
        for remote_id, row in known.items()
        if names.get(remote_id, row.key_name) != row.key_name
    ]
    for batch in chunks(moved, 500):
        File.objects.filter(pk__in=batch).update(key_fold="")


def _components(
    source: Source, stale: Sequence[RemoteFile], known: dict[str, File]
) -> dict[str, str]:
    """Each file's key component: kept if its name and folder are the same, otherwise made."""
    kept: dict[str, str] = {}
    fresh: list[RemoteFile] = []
    for file in stale:
        row = known.get(file.remote_id)
        same = row is not None and (row.parent_id, row.name, row.extension) == (
            file.parent_id, file.name, file.extension,
        )  # fmt: skip
        if row is not None and row.key_name and same:
            kept[file.remote_id] = row.key_name
        else:
            fresh.append(file)
    taken = _taken(source, fresh)
    for file in sorted(fresh, key=lambda f: (f.content is not Content.FOLDER, f.remote_id)):
        siblings = taken.setdefault(file.parent_id, set())
        name = keys.component(file.name, file.extension, file.remote_id, siblings)
        siblings.add(keys.fold(name))
        kept[file.remote_id] = name
    return kept


def _taken(source: Source, fresh: Sequence[RemoteFile]) -> dict[str, set[str]]:
    """Folds already used in the folders of these files, as far as they could be in the way."""
    wanted: set[str] = set()
    for file in fresh:
        plain = keys.component(file.name, file.extension, file.remote_id, ())
        wanted.add(keys.fold(plain))
        wanted.add(
            keys.fold(keys.component(file.name, file.extension, file.remote_id, {keys.fold(plain)}))
        )
    taken: dict[str, set[str]] = {}
    rows = (
        File.objects.filter(
            source=source, parent_id__in={f.parent_id for f in fresh}, key_fold__in=wanted
        )
        .exclude(remote_id__in=[f.remote_id for f in fresh])
        .values_list("parent_id", "key_fold")
    )
    for parent_id, key_fold in rows:
        taken.setdefault(parent_id, set()).add(key_fold)
    return taken


def _write_versions(source: Source, stale: Sequence[RemoteFile]) -> None:
    """A current Version for each new content; what was waiting before it is superseded."""
    wanted = {
        file.remote_id: file
        for file in stale
        if file.content not in _NO_BYTES and not file.problem and not file.trashed
    }
    pks = dict(
        File.objects.filter(source=source, remote_id__in=[f.remote_id for f in stale])
        .values_list("remote_id", "pk")
    )  # fmt: skip
    refused = [pks[f.remote_id] for f in stale if f.remote_id not in wanted]
    withdraw(
        Version.objects.filter(file_id__in=refused, state=Version.State.PENDING),
        Version.State.REFUSED,
        "refused_by_source",
    )
    current = dict(
        Version.objects.filter(file_id__in=[pks[r] for r in wanted], current=True)
        .values_list("file_id", "revision")
    )  # fmt: skip
    fresh = {pks[r]: f for r, f in wanted.items() if current.get(pks[r]) != f.revision}
    old = Version.objects.filter(file_id__in=fresh, current=True)
    withdraw(old.exclude(state=Version.State.STORED), Version.State.SUPERSEDED)
    old.update(current=False)
    Version.objects.bulk_create(
        [_version(source, pk, file) for pk, file in fresh.items()],
        batch_size=500,
        update_conflicts=True,
        unique_fields=["file", "revision"],
        update_fields=["current"],
    )
    # A revision that came back, or one that Google refused before and gives now, is due again.
    again = [pks[r] for r in wanted]
    Version.objects.filter(
        file_id__in=again,
        current=True,
        state__in=[Version.State.SUPERSEDED, Version.State.REFUSED],
    ).update(state=Version.State.PENDING, attempts=0, due_at=timezone.now())


def _version(source: Source, file_pk: int, file: RemoteFile) -> Version:
    return Version(
        source=source,
        file_id=file_pk,
        revision=file.revision,
        current=True,
        declared_size=file.size if file.content is Content.BLOB else None,
        declared_md5=file.md5 or "",
        declared_sha256=file.sha256 or "",
        modified_at=file.modified_at,
    )


def _adopt_orphans(source: Source) -> None:
    """Files whose folder was never listed hang under the synthetic folder for orphans."""
    folders = File.objects.filter(
        source=source, content=Content.FOLDER, remote_id=OuterRef("parent_id")
    )
    lost = (
        File.objects.filter(source=source)
        .exclude(parent_id="")
        .filter(~Exists(folders))
        .order_by("pk")
    )
    for row in list(lost.only("pk", "remote_id", "name", "extension")):
        taken = set(
            File.objects.filter(source=source, parent_id=ORPHANS).values_list("key_fold", flat=True)
        )
        name = keys.component(row.name, row.extension, row.remote_id, taken)
        File.objects.filter(pk=row.pk).update(
            parent_id=ORPHANS, key_name=name, key_fold=keys.fold(name)
        )


def _mark_vanished(source: Source, seen: _Seen) -> int:
    """What the whole listing did not name is gone at the source. Its copies stay."""
    files = 0
    rows = File.objects.filter(source=source, vanished_at__isnull=True)
    for batch in by_pk(rows, "content"):
        gone = [(pk, content) for pk, content in batch if pk not in seen]
        for some in chunks([pk for pk, _ in gone], 500):
            File.objects.filter(pk__in=some).update(vanished_at=timezone.now())
            withdraw(
                Version.objects.filter(file_id__in=some, state=Version.State.PENDING),
                Version.State.SUPERSEDED,
            )
        files += sum(content != Content.FOLDER for _, content in gone)
    return files
