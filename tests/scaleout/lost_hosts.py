"""Three worker hosts back up one account; one is killed, one cut off and brought back.

Run as a program, in namespaces of its own; prints one line of JSON. See bench/hosts.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import product, world
from bench.hosts import Host, lay_bridge
from tests.chaos.servers import BUCKET, SinkStore
from tests.servers import programs
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.process import free_port, wait_for_port

if TYPE_CHECKING:
    from syncapp.models import Run, Source

FILES = 900
DELAY_MS = 60
LEASE_S = 4
AWAY_S = 3 * LEASE_S  # long enough for others to have taken all over
WAIT_S = 120.0


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """A Redis; its address."""
    program, port = programs.find("redis-server"), free_port()
    assert program, "redis-server is not installed"
    log = folder / "redis.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [program, "--port", str(port), "--save", "", "--protected-mode", "no"],
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for_port(process.pid, log, port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_scene(
    folder: Path, files: int, delay_ms: float, **settings: str
) -> Iterator[tuple[RunningEmulator, dict[str, SinkStore], Source]]:
    """Servers, and the product's database with one source and two destinations; no host yet."""
    with ExitStack() as stack:
        google = stack.enter_context(
            running_emulator("synthetic", files=files, file_size=6_000, units_per_minute=0)
        )
        google.control.add_fault("^/drive", delay_s=delay_ms / 1000)
        stores = {name: SinkStore(folder, name, delay_ms) for name in ("a", "b")}
        for store in stores.values():
            stack.callback(store.close)
        postgres = stack.enter_context(running_postgres())
        _admit_hosts(postgres)
        redis = stack.enter_context(running_redis(folder))
        product.configure(
            folder,
            DATABASE_URL=postgres.new_database(),
            REDIS_URL=redis,
            GOOGLE_TOKEN_URL=f"{google.url}/token",
            GOOGLE_DRIVE_URL=f"{google.url}/drive/v3/",
            GOOGLE_FORMS_URL=f"{google.url}/",
            LOG_LEVEL="INFO",
            **settings,
        )
        source = product.link_source(google.control)
        secrets = json.dumps({"access_key_id": "any", "secret_access_key": "any"})
        for name, store in stores.items():
            options = {"provider": "other", "endpoint": store.url, "bucket": BUCKET}
            source.destinations.create(
                owner=source.owner,
                name=name,
                kind="s3",
                options={**options, "prefix": "chaos"},
                secrets=secrets,
            )
        yield google, stores, source


def _admit_hosts(postgres: Postgres) -> None:
    with (postgres.folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.77.0.0/24 trust\n")
    postgres.stop()
    postgres.start()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.1)


def run(folder: Path) -> dict[str, Any]:
    """The whole story; what is to be asserted about it."""
    lay_bridge()
    settings = {"WORKERS": "1", "FILES_IN_FLIGHT": "8", "LEASE_SECONDS": str(LEASE_S)}
    with running_scene(folder, FILES, DELAY_MS, **settings) as (google, stores, source):
        from syncapp.engine import runs
        from syncapp.models import Run, Version
        from tests.chaos.judge import judge

        hosts = [Host(number, folder, {}) for number in (1, 2, 3)]
        try:
            for host in hosts:
                host.start()
            backup, _ = runs.request_backup(source)
            stored = Version.objects.filter(state="stored")
            until(lambda: stored.count() > FILES // 6, "a first part stored")
            until(lambda: len(_at_work(backup)) == 3, "all three hosts at work")
            hosts[0].kill()
            hosts[1].cut()
            time.sleep(AWAY_S)
            alone = _at_work(backup)
            hosts[1].rejoin()
            until(lambda: _ended(backup), "the backup's end")
            scheduled = _schedule(source)
        except AssertionError as error:
            logs = "\n".join(f"{host.name}: {host.log[-2000:]}" for host in hosts)
            raise AssertionError(f"{error}\n{logs}") from error
        finally:
            for host in hosts:
                host.close()
        ever = {entry["id"]: {entry.get("sha256")} for entry in google.control.manifest()}
        verdict = judge(google.control, stores, ever, folder / "host2" / "spool")
        claimed = set(_keys())
        stray = set().union(*(store.all_keys() for store in stores.values())) - claimed
        return {
            "outcome": backup.outcome,
            "live": verdict.live,
            "copies": verdict.copies,
            "wrong": dict(verdict.wrong),
            "examples": verdict.examples,
            "stray": sorted(stray)[:5],
            "at_work_while_two_were_away": sorted(alone),
            "scheduled_runs": scheduled,
            "downloads_twice": sum(n > 1 for n in google.control.counters()["downloads"].values()),
            "runs": Run.objects.count(),
        }


def _at_work(run: Run) -> set[str]:
    """Hosts with a lane of the run that shows signs of life."""
    from syncapp.engine.dispatch import silent_since

    lanes = run.lanes.filter(ended_at=None, heartbeat_at__gte=silent_since()).exclude(owner="")
    return {owner.partition(":")[0] for owner in lanes.values_list("owner", flat=True)}


def _ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.ended_at is not None


def _schedule(source: Source) -> int:
    """How many runs one due moment of the schedule begins, with two hosts looking."""
    from django.utils import timezone

    from syncapp.models import Run, Source

    known = Run.objects.count()
    Source.objects.filter(pk=source.pk).update(
        mode="scheduled", cron="0 0 1 1 *", next_at=timezone.now() + timedelta(seconds=2)
    )
    until(lambda: Run.objects.count() > known, "the scheduled run")
    until(lambda: not Run.objects.filter(ended_at=None).exists(), "the scheduled run's end")
    time.sleep(3)  # a second one would come within a tick
    return Run.objects.count() - known


def _keys() -> Iterator[str]:
    from syncapp.models import Copy

    for key in Copy.objects.filter(state="stored").values_list("object_key", flat=True):
        yield f"chaos/{key}"


def main() -> int:
    """Print what happened."""
    world.enter()
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        Path(folder).chmod(0o755)
        sys.stdout.write(json.dumps(run(Path(folder))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
