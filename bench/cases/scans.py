"""Looking again at an account in which nothing has changed, and finding it for the first time.

The catalog is filled by a real first scan (discovery); then all is marked as stored, as if the
transfers had been made. The real workers write the catalog's segments to both destinations, which
is waited for; after that they do runs that read the change log, and one that reads the whole
listing. rclone compares the listing with one destination that holds every file
(`copy --checksum`); the product knows from its catalog what both of its destinations hold.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import product
from bench.peers import peers
from bench.stand import Stand, running_stand
from tests.servers.postgres import running_postgres

SIZE = 1000
CHECKERS = 32


def case(files: int, *, on_postgres: bool = False, against: bool = False) -> Callable[..., Any]:
    """A case of so many files; `against`: rclone too."""

    def scans(folder: Path, scale: float) -> dict[str, Any]:
        number = int(files * scale)
        flags = {"preload": f"bench/pre:{number}:{SIZE}"} if against else {}
        with ExitStack() as stack:
            stand = stack.enter_context(running_stand(folder, files=number, size=SIZE, **flags))
            database = {}
            if on_postgres:
                folder.chmod(0o755)
                postgres = stack.enter_context(running_postgres())
                database["DATABASE_URL"] = postgres.new_database()
            product.configure(folder, **database)
            return {
                "files": number,
                "database": "PostgreSQL" if on_postgres else "SQLite",
                **_ours(stand),
                "peers": [_peer(stand, rclone) for rclone in peers(stand)[:1]] if against else [],
            }

    engine = " on PostgreSQL" if on_postgres else ""
    scans.__doc__ = f"(4)(5)(7) {files:,} files{engine}: discovery, change log, whole listing."
    return scans


def _ours(stand: Stand) -> dict[str, Any]:
    from tests.engine.scan_at_scale import Scale

    source = product.link(stand)
    scale = Scale(stand.control, source)
    discovery = _measured(lambda: scale.run(full=True))
    scale.store()
    with product.running_workers(stand.folder) as workers:
        segments = workers.write_catalog(source)
        stand.control.reset_counters()
        changes = [workers.backup(source) for _ in range(3)]
        requests = stand.google_requests() / len(changes)
        listing = workers.backup(source, full=True)
    for ran in (*changes, listing):
        if ran.run.outcome != "ok" or ran.run.files_total:
            raise RuntimeError(f"not unchanged: {ran.run.outcome} {ran.run.files_total}")
    return {
        "discovery": discovery,
        "segments": segments,
        "no_change_s": min(ran.wall_s for ran in changes),
        "no_change_cpu_s": min(ran.cpu_s for ran in changes),
        "no_change_requests": requests,
        "rescan_s": listing.wall_s,
        "rescan_cpu_s": listing.cpu_s,
        "worker_peak_mb": listing.worker_peak_mb,
        "database_mb": _database_mb(),
    }


def _measured(work: Callable[[], Any]) -> dict[str, float]:
    wall, cpu = time.monotonic(), time.process_time()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "wall_s": time.monotonic() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": peak,
    }


def _database_mb() -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return float(cursor.fetchone()[0]) / 1e6


def _peer(stand: Stand, rclone: Any) -> dict[str, Any]:
    sink = stand.sinks[0]
    sink.control("DELETE")
    stand.control.reset_counters()
    copy = rclone.command("copy", "--checksum", "drive:", "a:bench/pre", in_flight=CHECKERS)
    spent = rclone.run(copy)
    written = sink.control()["requests"].get("PUT", 0)
    if written:
        raise RuntimeError(f"{rclone.name} found {written} files to copy")
    return {
        "name": rclone.name,
        "wall_s": spent.wall_s,
        "cpu_s": spent.cpu_s,
        "peak_mb": spent.peak_mb,
        "google_requests": stand.google_requests(),
    }
