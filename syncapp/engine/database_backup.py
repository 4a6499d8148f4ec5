"""The database itself, backed up once a day beside the catalog segments; the last KEPT stay.

It holds everybody's files' names, so it goes to destinations of administrators only (or of the only
person there is). Log-in sessions are left out; tokens and keys in it are encrypted with FIELD_KEYS,
which are not in it. docs/format.md tells how to go back to one.
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
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from django_q.tasks import async_task

from syncapp.destinations.base import Destination as Store
from syncapp.engine import drain, marks, queues, record, segment_store, settle
from syncapp.engine.segment_format import DATABASE_FOLDER
from syncapp.errors import BackupError, ConfigurationError, IntegrityError, ObjectLocked
from syncapp.models import DatabaseBackup, Destination, Erasure, Event

log = logging.getLogger(__name__)
SEND = "syncapp.tasks.back_up_database"
EVERY, AGAIN_AFTER = timedelta(days=1), timedelta(hours=1)
KEPT = 7
_NAME = re.compile(r"\d{8}T\d{6}Z\.(sqlite3\.gz|pgdump)")
_LEFT_OVER_S = 86_400.0


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
    began = timezone.now()
    try:
        marks.known(there[0])  # the backup itself has to know whose it is
        with dump() as (file, ending):
            key = f"{DATABASE_FOLDER}/{timezone.now():%Y%m%dT%H%M%SZ}.{ending}"
            return [_send_to(row, key, file, began) for row in there]
    except BackupError as error:
        return [_failed(row, error) for row in there]


def names(store: Store) -> list[str]:
    """The keys of all database backups at a store, the oldest first."""
    found = (info.key for info in store.objects(f"{DATABASE_FOLDER}/"))
    return sorted(key for key in found if _NAME.fullmatch(key.rpartition("/")[2]))


def remove_all(store: Store) -> int:
    """Remove every one, so that nothing erased lives on in it; how many there were."""
    return _remove(store, set(names(store)))


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


def _send_to(destination: Destination, key: str, file: BinaryIO, began: datetime) -> DatabaseBackup:
    try:
        store = segment_store.catalog_store(destination, drain.asked)
        marks.hold(destination, store)
        # Before it is sent: whoever removes all backups has to know that there may be one.
        row, _ = DatabaseBackup.objects.get_or_create(destination=destination)
        if not row.object_key:
            DatabaseBackup.objects.filter(pk=row.pk).update(object_key=key)
        size = segment_store.send(store, key, file)
        if Erasure.objects.filter(removed_at__gte=began).exists():
            # It has what was erased meanwhile, and came too late to be removed with the others.
            _remove(store, {key})
            raise BackupError("Something was erased meanwhile; another one follows.", code="erased")
        with suppress(ObjectLocked):  # then they go on another day
            _remove(store, set(names(store)[:-KEPT]))
    except BackupError as error:
        if isinstance(error, marks.OtherInstallation):
            settle.block_destination(destination.pk, error)
        return _failed(destination, error)
    row, _ = DatabaseBackup.objects.update_or_create(
        destination=destination,
        defaults={
            "object_key": key, "size": size, "stored_at": timezone.now(), "error_code": "",
            "error_message": "",
        },
    )  # fmt: skip
    record.mended(destination.owner, "database_backup_failed", destination=destination)
    log.info("database_backup.stored destination=%d bytes=%d", destination.pk, size)
    return row


def _failed(destination: Destination, error: BackupError) -> DatabaseBackup:
    log.warning("database_backup.failed destination=%d code=%s", destination.pk, error.code)
    before = DatabaseBackup.objects.filter(destination=destination).first()
    row, _ = DatabaseBackup.objects.update_or_create(
        destination=destination,
        defaults={
            "error_code": error.code[:64],
            "error_message": error.message,
            "next_at": timezone.now() + AGAIN_AFTER,
        },
    )
    if before is None or not before.error_code:
        record.event(
            destination.owner,
            "database_backup_failed",
            f"The database could not be backed up to {destination.name}: {error.message}",
            level=Event.Level.ALERT,
            destination=destination,
        )
    return row


def _remove(store: Store, keys: set[str]) -> int:
    if not keys:
        return 0
    there = list(store.versions(f"{DATABASE_FOLDER}/"))
    return segment_store.purge(store, [info for info in there if info.key in keys])


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
