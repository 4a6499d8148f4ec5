"""What is gone at the source: noted on the file, never acted on at a destination. In sets.

Only three things say so: a listing that was read to its end, the log of the very scope that a
file belongs to, and the loss of a whole shared drive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
from django.db import connection
from django.utils import timezone

from syncapp.engine import moved, places
from syncapp.engine.planning import withdraw
from syncapp.engine.seen import Seen
from syncapp.engine.sets import by_pk, chunks
from syncapp.models import File, Source, Version
from syncapp.types import Content

USER = "user"  # the scope of everything that lies in no shared drive with a log of its own
_STEP = 10_000


def unseen(source: Source, seen: Seen) -> Iterator[tuple[str, int, str]]:
    """Remote id, key and content of the files that a whole listing did not name.

    Placeholders of folders that no listing ever named (`orphans`) are not among them.
    """
    last = ""
    while batch := _listed(source.pk, last):
        last, pks = batch
        for some in chunks(seen.lacks(pks), 500):
            missing = File.objects.filter(pk__in=some)
            never = missing.filter(fingerprint="", content=Content.FOLDER)
            gone = missing.exclude(pk__in=never.values("pk"))
            yield from gone.order_by("pk").values_list("remote_id", "pk", "content")


def _listed(source_id: int, after: str) -> tuple[str, list[int]] | None:
    """The next keys by remote id, and the last id: from an index alone, safe while the table is
    written. One row (`absorb`)."""
    keys = "string_agg(id::text, ',')" if connection.vendor == "postgresql" else "group_concat(id)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT MAX(remote_id), {keys} FROM ("  # noqa: S608
            f"SELECT remote_id, id FROM {File._meta.db_table}"
            " WHERE source_id = %s AND remote_id > %s AND vanished_at IS NULL"
            " ORDER BY remote_id LIMIT %s) listed",
            [source_id, after, _STEP],
        )
        last, found = cursor.fetchone()
    return (last, orjson.loads(f"[{found}]")) if found else None


def mark(rows: Sequence[tuple[int, str]]) -> int:
    """These (key, content) have vanished: what waits is not waited for. How many were not gone
    before, folders aside: what was in the source's trash was."""
    now, fresh = timezone.now(), 0
    for some in chunks([pk for pk, _ in rows], 500):
        places.vanish(some, now)
        there = File.objects.filter(pk__in=some, trashed_at=None)
        fresh += there.exclude(content=Content.FOLDER).count()
        File.objects.filter(pk__in=some).update(vanished_at=now)
        withdraw(
            Version.objects.filter(file_id__in=some, state=Version.State.PENDING),
            Version.State.SUPERSEDED,
        )
    moved.note_files([pk for pk, content in rows if content != Content.FOLDER])
    return fresh


def removed(source: Source, scope: str, remote_ids: Sequence[str]) -> int:
    """The log of `scope` no longer finds these: counts for files of that scope alone.

    A file that moved to another scope is told of there; this log only says that it went away.
    """
    rows = list(
        File.objects.filter(source=source, remote_id__in=remote_ids, vanished_at=None)
        .values_list("pk", "content", "drive_id")
    )  # fmt: skip
    with_log = set(
        File.objects.filter(
            source=source,
            remote_id__in={drive_id for _, _, drive_id in rows if drive_id},
            content=Content.FOLDER,
            vanished_at=None,
        ).values_list("remote_id", flat=True)
    )
    return mark(
        [
            (pk, content)
            for pk, content, drive_id in rows
            if (drive_id if drive_id in with_log else USER) == scope
        ]
    )


def left(source: Source, drive_ids: Sequence[str]) -> int:
    """The account is no longer a member of these shared drives: all of them is out of sight."""
    rows = File.objects.filter(source=source, drive_id__in=drive_ids, vanished_at=None)
    return sum(mark(batch) for batch in by_pk(rows, "content"))
