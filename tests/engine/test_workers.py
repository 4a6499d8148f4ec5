"""Real worker processes: they do the job, drain when asked, and may be killed at any moment."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from syncapp.engine import runs
from syncapp.engine.adapters import destination_for
from syncapp.models import Copy, Lane, Run, Version
from tests.engine.conftest import Setting, make_setting
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info
from tests.servers.workers import running_workers, wait_until


@pytest.fixture(autouse=True)
def _no_queue() -> None:
    """Here the real queue is used: lanes go to the worker processes."""


def ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.ended_at is not None


def assert_all_stored_once_and_right(setting: Setting, files: int, spool: Path) -> None:
    """Nothing lost, doubled, wrong, or left behind, by what lies in the destinations."""
    assert Version.objects.filter(state="stored").count() == files
    truth = {e["id"]: e["sha256"] for e in setting.control.manifest() if e.get("sha256")}
    assert len(truth) == files
    for destination in (setting.folder, setting.bucket):
        store = destination_for(destination)
        objects = Counter(info.key for info in store.objects("drive/files/"))
        copies = Copy.objects.filter(destination=destination, state="stored")
        named = {
            c.object_key: c.version.file.remote_id for c in copies.select_related("version__file")
        }
        assert set(objects) == set(named), "objects and catalog differ"
        assert max(objects.values()) == 1
        assert len(named) == files
        for key, remote_id in named.items():
            with store.read(key) as chunks:
                digest = hashlib.sha256(b"".join(chunks)).hexdigest()
            assert digest == truth[remote_id], key
        assert not list(store.objects(".partial"))
    left = list(spool.rglob("*.part")) if spool.exists() else []
    assert left == []


@pytest.fixture
def small_files(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any, request: Any
) -> Iterator[Setting]:
    files = getattr(request, "param", 200)
    with running_emulator("synthetic", files=files, file_size=10_000) as google:
        yield make_setting(google, s3_server, tmp_path, settings)


def test_workers_do_a_backup_and_a_verification(small_files: Setting, tmp_path: Path) -> None:
    with running_workers(tmp_path) as workers:
        wait_until(runs.worker_alive, 60, "a worker's heartbeat")
        run, _ = runs.request_backup(small_files.source)
        wait_until(lambda: ended(run), 180, f"the backup's end\n{workers.log[-3000:]}")
        assert run.outcome == Run.Outcome.OK, run.error_message
        check, _ = runs.request_verify(small_files.source, everything=True)
        wait_until(lambda: ended(check), 180, "the verification's end")
        assert check.outcome == Run.Outcome.OK, check.error_message
        assert check.files_done == 400
    assert_all_are_gone(workers)
    assert not Version.objects.exclude(lease_owner="").exists()


def assert_all_are_gone(workers: Any) -> None:
    assert workers.supervisor.returncode == 0, workers.log[-3000:]
    assert workers.processes() == []


@pytest.mark.slow
@pytest.mark.parametrize("small_files", [300], indirect=True)
def test_killed_workers_lose_nothing(small_files: Setting, tmp_path: Path) -> None:
    kill_during_backup(small_files, tmp_path, files=300, kills=6, anything=False)


@pytest.mark.parametrize("small_files", [100], indirect=True)
@pytest.mark.long
def test_any_process_of_the_cluster_may_be_killed(small_files: Setting, tmp_path: Path) -> None:
    kill_during_backup(small_files, tmp_path, files=100, kills=2, anything=True)


@pytest.mark.slow
@pytest.mark.parametrize("small_files", [200], indirect=True)
def test_several_processes_of_the_cluster_may_be_killed(
    small_files: Setting, tmp_path: Path
) -> None:
    kill_during_backup(small_files, tmp_path, files=200, kills=3, anything=True)


@pytest.mark.slow
@pytest.mark.parametrize("small_files", [2000], indirect=True)
def test_fifty_kills_during_two_thousand_files(small_files: Setting, tmp_path: Path) -> None:
    kill_during_backup(small_files, tmp_path, files=2000, kills=50, anything=False)


def kill_during_backup(
    setting: Setting, folder: Path, *, files: int, kills: int, anything: bool
) -> None:
    """Spread the kills over the run: each waits until some more files are stored."""
    chance = random.Random(files + kills)
    run, _ = runs.request_backup(setting.source)
    setting.control.add_fault("alt=media|/files/[^/]+$", delay_s=0.2)
    with running_workers(folder, LEASE_SECONDS="3", FILES_IN_FLIGHT="8") as workers:
        done = 0
        while done < kills:
            target = files * (done + 1) // (kills + 1)
            wait_until(
                lambda target=target: (
                    Version.objects.filter(state="stored").count() >= target or ended(run)
                ),
                180,
                f"{target} files stored\n{workers.log[-3000:]}",
            )
            assert not ended(run), f"ended after {done} kills"
            time.sleep(chance.uniform(0, 0.15))
            done += bool(workers.kill_one(chance, anything=anything))
        wait_until(lambda: ended(run), 240, f"the backup's end\n{workers.log[-3000:]}")
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert_all_stored_once_and_right(setting, files, folder / "spool")


@pytest.mark.long
def test_killing_the_supervisor_leaves_no_orphan(small_files: Setting, tmp_path: Path) -> None:
    run, _ = runs.request_backup(small_files.source)
    with running_workers(tmp_path) as workers:
        wait_until(lambda: Version.objects.filter(state="stored").exists(), 60, "a first file")
        below = workers.processes()
        assert below
        workers.supervisor.send_signal(signal.SIGKILL)
        workers.supervisor.wait()
        psutil.wait_procs(below, timeout=5)
        assert [p for p in below if p.is_running() and p.status() != "zombie"] == []
    with running_workers(tmp_path) as workers:
        wait_until(lambda: ended(run), 180, f"the backup's end\n{workers.log[-3000:]}")
    assert_all_stored_once_and_right(small_files, 200, tmp_path / "spool")


@pytest.mark.long
def test_a_worker_killed_while_scanning_scans_again(small_files: Setting, tmp_path: Path) -> None:
    slow = small_files.control.add_fault("/drive/v3/files\\?", delay_s=3)
    run, _ = runs.request_backup(small_files.source)
    with running_workers(tmp_path, LEASE_SECONDS="3") as workers:
        scans = Lane.objects.filter(run=run, stage="scan").exclude(owner="")
        wait_until(scans.exists, 90, "a scan")
        os.kill(int(scans.get().owner.split(":")[1]), signal.SIGKILL)
        small_files.control.clear_faults(slow)
        wait_until(lambda: ended(run), 180, f"the backup's end\n{workers.log[-3000:]}")
    assert Lane.objects.filter(run=run, stage="scan").count() > 1, "the scan was not interrupted"
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert_all_stored_once_and_right(small_files, 200, tmp_path / "spool")


@pytest.mark.long
def test_a_worker_killed_while_verifying_goes_on_where_it_was(
    small_files: Setting, tmp_path: Path
) -> None:
    run, _ = runs.request_backup(small_files.source)
    with running_workers(tmp_path) as workers:
        wait_until(lambda: ended(run), 180, f"the backup's end\n{workers.log[-3000:]}")
    check, _ = runs.request_verify(small_files.source, everything=True)
    with running_workers(tmp_path, LEASE_SECONDS="3") as workers:
        wait_until(lambda: Copy.objects.filter(state="verified").exists(), 60, "a verified copy")
        killed = workers.kill_one(random.Random(1), busy=True)
        wait_until(lambda: ended(check), 180, f"the verification's end\n{workers.log[-3000:]}")
    assert killed
    assert check.outcome == Run.Outcome.OK, check.error_message
    assert (check.files_done, check.files_total) == (400, 400)
    assert Copy.objects.filter(state="verified").count() == 400
