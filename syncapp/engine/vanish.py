"""What is gone at the source: noted on the file, never acted on at a destination. In sets.

Only three things say so: a listing that was read to its end, the log of the very scope that a
file belongs to, and the loss of a whole shared drive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
        last = batch[-1][0]
        missing = [row for row in batch if row[1] not in seen]
        for some in chunks(missing, 500):
            never = File.objects.filter(
                pk__in=[pk for _, pk, _ in some], fingerprint="", content=Content.FOLDER
            )
            left_out = set(never.values_list("pk", flat=True))
            yield from (row for row in some if row[1] not in left_out)


def _listed(source_id: int, after: str) -> list[tuple[str, int, str]]:
    """The next rows by remote id: read from an index alone, safe while the table is written."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT remote_id, id, content FROM {File._meta.db_table}"  # noqa: S608
            " WHERE source_id = %s AND remote_id > %s AND vanished_at IS NULL"
            " ORDER BY remote_id LIMIT %s",
            [source_id, after, _STEP],
        )
        return list(cursor.fetchall())


def mark(rows: Sequence[tuple[int, str]]) -> int:
    """These (key, content) have vanished: what waits is not waited for. How many, folders aside."""
    now = timezone.now()
    for some in chunks([pk for pk, _ in rows], 500):
        places.vanish(some, now)
        File.objects.filter(pk__in=some).update(vanished_at=now)
        withdraw(
            Version.objects.filter(file_id__in=some, state=Version.State.PENDING),
            Version.State.SUPERSEDED,
        )
    moved.note_files([pk for pk, content in rows if content != Content.FOLDER])
    return sum(content != Content.FOLDER for _, content in rows)


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
