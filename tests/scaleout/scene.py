"""The servers of a scene with several worker hosts: Google, stores, PostgreSQL, Redis."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import product
from bench.stand import die_with_parent
from tests.chaos.servers import BUCKET, SinkStore
from tests.servers import programs
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.process import free_port, wait_for_port

if TYPE_CHECKING:
    from syncapp.models import Run, Source

WAIT_S = 240.0


@dataclass(frozen=True)
class Scene:
    """What runs, and the product's one source."""

    google: RunningEmulator
    stores: dict[str, SinkStore]
    source: Source


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
            preexec_fn=die_with_parent,
        )
    try:
        wait_for_port(process.pid, log, port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_scene(folder: Path, files: int, delay_ms: float, **settings: str) -> Iterator[Scene]:
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
        yield Scene(google, stores, source)


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


def ended(run: Run) -> bool:
    """Whether the run has ended by now."""
    run.refresh_from_db()
    return run.ended_at is not None
