"""The database itself, backed up once a day beside the catalog segments; the last KEPT stay.

It holds everybody's files' names, so it goes to destinations of administrators only (or of the only
person there is). Log-in sessions are left out; tokens and keys in it are encrypted with FIELD_KEYS,
which are not in it. docs/format.md tells how to go back to one.

What is erased must be in none of them. `Installation.erased_at` is moved on when they are removed:
one whose dump was begun before discards itself, and what a killed sender of such a one left is
removed by the next. It is read before the dump is made and compared, under the row's lock, when the
backup is written down; whoever deletes rows moves it on in the same transaction.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.utils import timezone
from django_q.tasks import async_task

from syncapp.destinations.base import Destination as Store
from syncapp.engine import drain, marks, queues, record, segment_store, settle
from syncapp.engine.segment_format import DATABASE_FOLDER
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    IntegrityError,
    ObjectLocked,
    TransientError,
)
from syncapp.models import DatabaseBackup, Destination, Event, Installation
from syncapp.words import counted

log = logging.getLogger(__name__)
SEND = "syncapp.tasks.back_up_database"
EVERY, AGAIN_AFTER = timedelta(days=1), timedelta(hours=1)
KEPT = 7
_NAME = re.compile(r"\d{8}T\d{6}Z\.(sqlite3\.gz|pgdump)")
_LEFT_OVER_S = 86_400.0
_ROUNDS = 5  # of removing them, while others are made


class BackupsRemain(TransientError):
    """Backups of the database could not be removed everywhere; the message says where and why."""

    code = "database_backups_remain"


class Outdated(TransientError):
    """The backup holds what was erased while it was made."""

    code = "erased"

    def __init__(self) -> None:
        super().__init__("Something was erased meanwhile; another one follows.")


def eligible() -> list[Destination]:
    """Where the database may be kept: at what administrators, or the only person, have set up."""
    rows = Destination.objects.filter(enabled=True, blocked_code="").select_related("owner")
    owners = Destination.objects.values_list("owner_id", flat=True).distinct().count()
    return [row for row in rows.order_by("pk") if row.owner.is_superuser or owners == 1]


def care(now: datetime) -> None:
    """Ask for the backup to every destination whose time has come."""
    mine = []
    for destination in eligible():
        row, _ = DatabaseBackup.objects.get_or_create(
            destination=destination, defaults={"next_at": now}
        )
        if now < row.next_at <= now + EVERY:
            continue
        due = DatabaseBackup.objects.filter(pk=row.pk, next_at=row.next_at)
        if due.update(next_at=now + EVERY):
            mine.append(destination.pk)
    if mine:
        async_task(SEND, mine, cluster=queues.VERIFY)


def send(destination_ids: Sequence[int]) -> list[DatabaseBackup]:
    """Make one backup and send it to these destinations; what became of each. Those that fail are
    tried again in an hour."""
    there = [row for row in eligible() if row.pk in destination_ids]
    if not there:
        return []
    try:
        marks.known(there[0])  # the backup itself has to know whose it is
        erased_at = Installation.objects.get(pk=Installation.ONLY).erased_at
        name = _stamp(max(timezone.now(), _after(erased_at)))
        with dump() as (file, ending):
            key = f"{DATABASE_FOLDER}/{name}.{ending}"
            return [_send_to(row, key, file, erased_at) for row in there]
    except BackupError as error:
        return [_failed(row, error) for row in there]


def names(store: Store) -> list[str]:
    """The keys of all database backups at a store, the oldest first."""
    found = (info.key for info in store.objects(f"{DATABASE_FOLDER}/"))
    return sorted(key for key in found if _is_backup(key))


def remove_everywhere(delete: Callable[[], object] | None = None) -> list[str]:
    """Remove every backup of the database at all destinations, then `delete` rows that none may
    hold any more. The next ones are made soon. What was removed, in words.

    BackupsRemain where that can't be done now: then nothing was deleted. Calling it again goes on.
    """
    told = []
    for _ in range(_ROUNDS):
        _outdate()
        told += _remove_all()
        if delete is None:
            return told
        with transaction.atomic():
            _outdate()
            # Else one was made and stored since they were removed.
            if not DatabaseBackup.objects.exclude(object_key="").exists():
                delete()
                return told
    raise BackupsRemain("Backups of the database are being made all the time: try again later.")


@contextmanager
def dump() -> Iterator[tuple[BinaryIO, str]]:
    """A consistent copy of the database, compressed, in a scratch file; and its name's ending."""
    with segment_store.scratch() as file:
        if connection.vendor == "postgresql":
            _dump_postgresql(file)
            yield file, "pgdump"
        else:
            _dump_sqlite(file)
            yield file, "sqlite3.gz"


def _send_to(
    destination: Destination, key: str, file: BinaryIO, erased_at: datetime | None
) -> DatabaseBackup:
    try:
        store = segment_store.catalog_store(destination, drain.asked)
        marks.hold(destination, store)
        # Before it is sent: whoever removes all backups has to know that there may be one.
        DatabaseBackup.objects.update_or_create(
            destination=destination, defaults={"under_way": key}
        )
        size = segment_store.send(store, key, file)
        with suppress(ObjectLocked):  # then they go on another day
            _remove(store, _too_old(names(store), erased_at))
        row = _keep(destination, key, size, erased_at)
        if row is None:
            # It came too late to be removed with the others.
            _remove(store, {key})
            mine = DatabaseBackup.objects.filter(destination=destination, under_way=key)
            mine.update(under_way="")
            raise Outdated
    except BackupError as error:
        if isinstance(error, marks.OtherInstallation):
            settle.block_destination(destination.pk, error)
        return _failed(destination, error)
    record.mended(destination.owner, "database_backup_failed", destination=destination)
    log.info("database_backup.stored destination=%d bytes=%d", destination.pk, size)
    return row


def _too_old(keys: list[str], erased_at: datetime | None) -> set[str]:
    """All but the last KEPT, and what a killed sender left that holds what was erased."""
    outdated = {
        key for key in keys if erased_at and key.rpartition("/")[2] < _stamp(_after(erased_at))
    }
    return outdated | set(keys[:-KEPT])


def _keep(
    destination: Destination, key: str, size: int, erased_at: datetime | None
) -> DatabaseBackup | None:
    """Write down that it is stored; None if something was erased since before it was made."""
    with transaction.atomic():
        if _installation().erased_at != erased_at:
            return None
        row, _ = DatabaseBackup.objects.update_or_create(
            destination=destination,
            defaults={
                "object_key": key, "under_way": "", "size": size, "stored_at": timezone.now(),
                "error_code": "", "error_message": "",
            },
        )  # fmt: skip
        return row


def _failed(destination: Destination, error: BackupError) -> DatabaseBackup:
    log.warning("database_backup.failed destination=%d code=%s", destination.pk, error.code)
    outdated = isinstance(error, Outdated)
    before = DatabaseBackup.objects.filter(destination=destination).first()
    row, _ = DatabaseBackup.objects.update_or_create(
        destination=destination,
        defaults={
            "error_code": error.code[:64],
            "error_message": error.message,
            "next_at": timezone.now() + (timedelta() if outdated else AGAIN_AFTER),
        },
    )
    if not outdated and (before is None or before.error_code in ("", Outdated.code)):
        record.event(
            destination.owner,
            "database_backup_failed",
            f"The database could not be backed up to {destination.name}: {error.message}",
            level=Event.Level.ALERT,
            destination=destination,
        )
    return row


def _outdate() -> None:
    """From here on no backup whose dump was begun before is kept."""
    with transaction.atomic():
        row = _installation()
        row.erased_at = max(timezone.now(), _after(row.erased_at))
        row.save(update_fields=["erased_at"])


def _installation() -> Installation:
    """In a transaction: the row, locked till its end."""
    Installation.objects.get_or_create(pk=Installation.ONLY)
    return Installation.objects.select_for_update().get(pk=Installation.ONLY)


def _remove_all() -> list[str]:
    told, remain = [], []
    rows = DatabaseBackup.objects.exclude(object_key="", under_way="")
    for row in rows.select_related("destination").order_by("destination"):
        name = row.destination.name
        try:
            gone = _remove(segment_store.catalog_store(row.destination))
        except BackupError as error:
            remain.append(f"{name}: {error.message}")
            continue
        mine = DatabaseBackup.objects.filter(pk=row.pk)
        mine.filter(object_key=row.object_key).update(object_key="")  # none came meanwhile
        mine.update(next_at=timezone.now())
        told.append(f"{name}: {counted(gone, 'backup')} of the database removed")
    if remain:
        raise BackupsRemain(f"Backups of the database remain. {' '.join(remain)}")
    return told


def _remove(store: Store, keys: set[str] | None = None) -> int:
    """Remove these, or all, in every version that the store keeps; how many they were."""
    if keys is not None and not keys:
        return 0
    there = [info for info in store.versions(f"{DATABASE_FOLDER}/") if _is_backup(info.key)]
    return segment_store.purge(store, [i for i in there if keys is None or i.key in keys])


def _is_backup(key: str) -> bool:
    return _NAME.fullmatch(key.rpartition("/")[2]) is not None


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _after(erased_at: datetime | None) -> datetime:
    """The first moment that a backup with nothing of what was erased can bear in its name."""
    return erased_at + timedelta(seconds=1) if erased_at else datetime.min.replace(tzinfo=UTC)


def _dump_sqlite(file: BinaryIO) -> None:
    """SQLite's online backup: writers go on meanwhile."""
    folder = Path(settings.SPOOL_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    with tempfile.TemporaryDirectory(prefix="database-", dir=folder) as name:
        path = Path(name) / "copy.sqlite3"
        with closing(sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=60)) as source:
            with closing(sqlite3.connect(path)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
                target.execute("PRAGMA secure_delete = ON")
                target.execute(f"DELETE FROM {Session._meta.db_table}")  # noqa: S608
                target.commit()
                found = target.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise IntegrityError(
                f"The database itself is damaged: {found}", code="database_damaged"
            )
        with path.open("rb") as copy, gzip.GzipFile("", "wb", 4, file, mtime=0) as packed:
            shutil.copyfileobj(copy, packed, 1024**2)


def _sweep(folder: Path) -> None:
    """What killed processes left."""
    for left in folder.glob("database-*"):
        if time.time() - left.stat().st_mtime > _LEFT_OVER_S:
            shutil.rmtree(left, ignore_errors=True)


def _dump_postgresql(file: BinaryIO) -> None:
    """pg_dump's own format, which pg_restore reads."""
    program = shutil.which("pg_dump")
    if program is None:
        raise ConfigurationError(
            "pg_dump is not installed here, so the database is not backed up by this program. "
            "Install PostgreSQL's client programs of the server's version or a newer one.",
            code="no_pg_dump",
        )
    found = settings.DATABASES["default"]
    told = {
        "PGHOST": found["HOST"], "PGPORT": str(found["PORT"]), "PGUSER": found["USER"],
        "PGPASSWORD": found["PASSWORD"],
    }  # fmt: skip
    ended = subprocess.run(
        [program, "--format=custom", "--no-owner", "--no-privileges", "--lock-wait-timeout=60s",
         f"--exclude-table-data={Session._meta.db_table}", "--dbname", found["NAME"]],
        env={**os.environ, **{name: value for name, value in told.items() if value}},
        stdout=file, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    if ended.returncode:
        why = ended.stderr.decode(errors="replace").strip()[-500:]
        raise ConfigurationError(f"pg_dump failed: {why}", code="pg_dump_failed")
