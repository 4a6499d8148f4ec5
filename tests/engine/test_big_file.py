"""A 10 GB file through real workers: memory and temporary disk stay within their bounds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from syncapp.engine import runs
from syncapp.models import Copy, Run
from tests.engine.conftest import Setting, make_setting
from tests.engine.test_workers import ended
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info
from tests.servers.workers import Workers, running_workers, wait_until

log = logging.getLogger(__name__)
GIB = 1024**3
MIB = 1024**2
# What is promised of any worker. Of it about 110 MB are the program, 64 the parts in flight and 48
# the ranges read ahead; 264 to 269 MB were measured.
MOST_RSS = 300_000_000


@pytest.fixture(autouse=True)
def _no_queue() -> None:
    """Here the real queue is used."""


@pytest.fixture
def huge(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    with running_emulator("synthetic", files=1, big_file=10 * GIB) as google:
        yield make_setting(google, s3_server, tmp_path, settings)


class Gauge(threading.Thread):
    """The most that the workers' processes and the spool ever held."""

    def __init__(self, workers: Workers, spool: Path) -> None:
        super().__init__(daemon=True)
        self.workers, self.spool = workers, spool
        self.rss = self.disk = self.samples = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.25):
            for process in self.workers.queue_workers():
                try:
                    self.rss = max(self.rss, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            self.disk = max(self.disk, sum(_size(p) for p in self.spool.rglob("*.part")))
            self.samples += 1


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:  # freed in the meantime
        return 0


@pytest.mark.slow
def test_ten_gigabytes_pass_within_300_mb_of_memory_and_1_gb_of_disk(
    huge: Setting, tmp_path: Path
) -> None:
    run, _ = runs.request_backup(huge.source)
    with running_workers(tmp_path, LEASE_SECONDS="60", SPOOL_BUDGET="1G") as workers:
        gauge = Gauge(workers, tmp_path / "spool")
        gauge.start()
        wait_until(lambda: ended(run), 900, f"the backup's end\n{workers.log[-3000:]}")
        gauge.done.set()
        gauge.join()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert Copy.objects.filter(state="stored", version__size=10 * GIB).count() == 2
    log.warning("peak RSS %d MiB, peak spool %d MiB", gauge.rss // MIB, gauge.disk // MIB)
    assert gauge.samples > 20
    assert 0 < gauge.rss <= MOST_RSS
    assert gauge.disk <= GIB
    assert not list((tmp_path / "spool").rglob("*.part"))
