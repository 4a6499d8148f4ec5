"""What the database itself says of erased files: rows, and names in what was told of them."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q

from syncapp.engine import keys, live
from syncapp.engine.erased import NAME
from syncapp.engine.sets import chunks
from syncapp.models import (
    Copy,
    Erased,
    ErasedObject,
    Erasure,
    Event,
    File,
    Finding,
    Leftover,
    Place,
    Recovery,
    RestoreItem,
    Run,
    Source,
    Version,
)
from syncapp.visible import visible

FEW = 1000  # files up to which messages are searched for their names
_SHORTEST = 3  # characters of a name worth searching for: shorter ones are everywhere
_NAMES_A_QUERY = 20
# Messages that never name a file.
_NAMELESS = (
    Q(code__startswith="run_ok") | Q(code__startswith="source_") | Q(code__startswith="policy_")
)


def overwrite_what_is_deleted() -> None:
    """SQLite: deleted rows are overwritten with zeros in this connection, not only unlinked."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")


def settle_indexes() -> None:
    """SQLite: full-text indexes drop what they hold of deleted rows, and the log is emptied."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5%'")
        for (name,) in cursor.fetchall():
            table = connection.ops.quote_name(name)
            cursor.execute(f"INSERT INTO {table}({table}) VALUES ('optimize')")  # noqa: S608
    empty_log()


def empty_log() -> None:
    """SQLite: what was overwritten is so in the database's file, too, and its log has no page."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def forget(erasure: Erasure, source: Source, file_ids: Sequence[int]) -> int:
    """Forget those of the files of which nothing is stored any more; how many. In a transaction.

    One that a lock protects somewhere keeps its rows: it is there still.
    """
    stored = Copy.objects.filter(version__file=OuterRef("pk"))
    files = File.objects.filter(~Exists(stored), pk__in=file_ids, source=source)
    ids = list(files.values_list("pk", flat=True))
    versions = list(Version.objects.filter(file__in=ids).values_list("pk", flat=True))
    few = Erased.objects.filter(erasure=erasure)[: FEW + 1].count() <= FEW
    _forget_messages(source, versions, _names(ids) if few else [])
    RestoreItem.objects.filter(Q(file__in=ids) | Q(version__in=versions)).delete()
    Version.objects.filter(pk__in=versions).delete()
    remote_ids = File.objects.filter(pk__in=ids).values("remote_id")
    Leftover.objects.filter(source=source, remote_id__in=remote_ids).delete()
    File.objects.filter(pk__in=ids).delete()
    Erased.objects.filter(erasure=erasure, file_pk__in=ids).update(file_pk=None)
    Erasure.objects.filter(pk=erasure.pk).update(files_erased=F("files_erased") + len(ids))
    return len(ids)


def forget_for_all(erasure: Erasure, source: Source) -> None:
    """What is not by file: live messages, findings about the objects, and, if there were many
    files, every message of the source that may name one."""
    live.forget(source.owner_id)
    gone = ErasedObject.objects.filter(erasure=erasure, locked_until__isnull=True)
    Finding.objects.filter(
        source=source, copy__isnull=True, object_key__in=gone.values("object_key")
    ).delete()
    Recovery.objects.filter(source=source).update(notes=[])  # some keys stand there as examples
    if Erased.objects.filter(erasure=erasure)[: FEW + 1].count() > FEW:
        Event.objects.filter(source=source).exclude(_NAMELESS).update(message=NAME)
        Run.objects.filter(source=source).exclude(error_message="").update(error_message=NAME)
        Finding.objects.filter(source=source, copy__isnull=True, healed_at__isnull=False).delete()


def _names(file_ids: Sequence[int]) -> list[str]:
    names = set(File.objects.filter(pk__in=file_ids).values_list("name", flat=True))
    names |= set(File.objects.filter(pk__in=file_ids).values_list("key_name", flat=True))
    names |= set(Place.objects.filter(file__in=file_ids).values_list("name", flat=True))
    # As keys have them, and as messages show them.
    names |= {keys.encode(name) for name in names}
    names |= {visible(name) for name in names}
    return sorted(name for name in names if len(name) >= _SHORTEST)


def _forget_messages(source: Source, versions: Sequence[int], names: Sequence[str]) -> None:
    Event.objects.filter(version__in=versions).update(message=NAME, version=None)
    events = Event.objects.filter(owner_id=source.owner_id)
    runs = Run.objects.filter(source=source)
    strangers = Finding.objects.filter(source=source, copy__isnull=True)
    for some in chunks(names, _NAMES_A_QUERY):
        named, failed, lying = Q(), Q(), Q()
        for name in some:
            named |= Q(message__contains=name)
            failed |= Q(error_message__contains=name)
            lying |= Q(object_key__contains=name, healed_at__isnull=False)
        strangers.filter(lying).delete()
        events.filter(named).update(message=NAME)
        runs.filter(failed).update(error_message=NAME)
