"""(9) Disaster recovery: a catalog of a million files and three million versions, to a folder and
back into an empty database. Judged: ten minutes and 500 MB for the rebuild.

The objects themselves are not made: what is timed is the catalog (written, then read twice:
checked, and rebuilt), not the comparison with the bucket's listing that follows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import product
from tests.servers.postgres import running_postgres

FILES = 1_000_000
VERSIONS = 3
MOST_S, MOST_MB = 600.0, 500.0
_WRITE = "from syncapp.engine import segments; segments.write({source})"
_REBUILD = """
from syncapp.engine import recovery, recovery_setup, segment_store
from syncapp.models import Destination
row = Destination(kind="local", options={{"path": "{path}"}})
store = segment_store.catalog_store(row)
for chain in recovery.look(store):
    assert not chain.notes, chain.notes
    owner = recovery_setup.owner_of(chain.header, "")
    at_hand = recovery.destination_row(row, owner, chain)
    recovery.rebuild(chain, at_hand, owner, lambda _: None)
"""
_COUNT = """
from syncapp.models import Copy, File, Version
print(*(model.objects.count() for model in (File, Version, Copy)))
"""
_MIGRATE = "from django.core.management import call_command as run; run('migrate', verbosity=0)"


def case(*, on_postgres: bool = False) -> Callable[..., Any]:
    """The case on one of the databases."""

    def recovery(folder: Path, scale: float) -> dict[str, Any]:
        files = int(FILES * scale)
        with ExitStack() as stack:
            databases: list[dict[str, str]] = [{}, {"DATA_DIR": str(folder / "second")}]
            if on_postgres:
                folder.chmod(0o755)
                postgres = stack.enter_context(running_postgres())
                for database in databases:
                    database["DATABASE_URL"] = postgres.new_database()
            product.configure(folder, **databases[0])
            source_id = _seed(folder, files)
            there = _python(_COUNT, {})
            written = _python(_WRITE.format(source=source_id), {})
            _python(_MIGRATE, databases[1])
            rebuilt = _python(_REBUILD.format(path=folder / "disk"), databases[1])
            back = _python(_COUNT, databases[1])
        if there["said"] != back["said"]:
            raise RuntimeError(f"not the same catalog: {there['said']} {back['said']}")
        if rebuilt["wall_s"] > MOST_S or rebuilt["peak_mb"] > MOST_MB:
            raise RuntimeError(f"too slow, or too much memory: {rebuilt}")
        parts = list((folder / "disk" / ".catalog").rglob("*.gz"))
        return {
            "files": files,
            "versions": int(there["said"].split()[1]),
            "database": "PostgreSQL" if on_postgres else "SQLite",
            "written": written,
            "rebuilt": rebuilt,
            "segment_mb": sum(part.stat().st_size for part in parts) / 1e6,
        }

    recovery.__doc__ = (
        f"(9) Catalog of 1M files to a folder and back{', PostgreSQL' * on_postgres}."
    )
    return recovery


def _seed(folder: Path, files: int) -> int:
    """The catalog, and an empty folder as its destination."""
    from accounts.models import GoogleAccount, User
    from bench.seed import seed
    from syncapp.engine.adapters import destination_for
    from syncapp.models import Source

    owner = User.objects.create_superuser("owner", "owner@example.org", "a long passphrase")
    account = GoogleAccount.objects.create(user=owner, uid="1", email="synthetic@example.com")
    source = Source.objects.create(
        owner=owner, account=account, name="Drive", slug="drive", mode="manual"
    )
    (folder / "disk").mkdir()
    row = source.destinations.create(
        owner=owner, name="Disk", kind="local", options={"path": str(folder / "disk")}
    )
    destination_for(row).prepare()  # type: ignore[attr-defined]
    seed(source, files)
    _older_versions(source, row.pk)
    return int(source.pk)


def _older_versions(source: Any, destination_id: int) -> None:
    """Two more of each file, each with its copy, and hashes that don't compress."""
    from django.db import connection, transaction

    from bench.seed import WHEN, _insert
    from syncapp.models import Copy, Version

    for number in range(1, VERSIONS):
        pattern = Version(
            source=source, revision=f"seeded {number}", current=False, declared_size=1, size=1,
            state="stored", modified_at=WHEN, replaced_at=WHEN, first_seen_at=WHEN,
        )  # fmt: skip
        told = {"file_id": "v.file_id"}
        _insert(pattern, told, "syncapp_version v WHERE v.source_id = %s AND v.current", source.pk)
    copy = Copy(destination_id=destination_id, state="stored", stored_at=WHEN)
    key = "'drive/.versions/folder 00000/file ' || v.id"
    told = {"version_id": "v.id", "object_key": key}
    _insert(copy, told, "syncapp_version v WHERE v.source_id = %s AND NOT v.current", source.pk)
    postgres = connection.vendor == "postgresql"
    md5 = "md5(random()::text)" if postgres else "lower(hex(randomblob(16)))"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE syncapp_version SET md5 = {md5}, sha256 = {md5} || {md5}")


def _python(code: str, changes: dict[str, str]) -> dict[str, Any]:
    """Run it in a process of its own: seconds, CPU seconds, peak memory, what it said."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        env={**os.environ, **changes},
        stdout=subprocess.PIPE,
        text=True,
    )
    said = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"it ended with {status}")
    return {
        "wall_s": time.monotonic() - began,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
        "said": said.strip(),
    }
