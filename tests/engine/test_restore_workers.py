"""Restores by real worker processes that are killed again and again."""

from __future__ import annotations

import hashlib
import random
import subprocess
import time
from pathlib import Path

import pytest

from syncapp.engine import restoring
from syncapp.engine.sets import insert_many
from syncapp.models import Copy, DriveId, File, RestoreItem, Run, Version
from tests.engine.drives import allow_writing, below, drive, drive_process, paths
from tests.engine.vault import SEEN, Vault
from tests.servers.emulator import RunningEmulator
from tests.servers.workers import running_workers, wait_until

__all__ = ["drive", "drive_process"]
FILES, KILLS = 10_000, 12
DRIVE_FILES = 1_500  # each is a request to Google, or several


@pytest.fixture(autouse=True)
def _no_queue() -> None:
    """Here the real queue is used: lanes go to the worker processes."""


def ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.ended_at is not None


def fill(vault: Vault, count: int) -> dict[str, str]:
    """So many files in folders of a hundred, in both destinations; path → SHA-256."""
    chance, expected = random.Random(7), {}
    roots = [Path(destination.options["path"]) for destination in vault.destinations]
    for number in range(0, count, 100):
        folder = vault.folder(f"folder {number}")
        for one in range(number, min(number + 100, count)):
            name, data = f"file {one}.bin", chance.randbytes(chance.choice([0, 300, 3000, 30_000]))
            digest = hashlib.sha256(data).hexdigest()
            expected[f"{folder.name}/{name}"] = digest
            for root in roots:
                (root / "drive").mkdir(exist_ok=True)
                (root / "drive" / f"k{one}").write_bytes(data)
            _rows(vault, folder.remote_id, one, name, len(data), digest)
    return expected


def _rows(vault: Vault, parent: str, number: int, name: str, size: int, digest: str) -> None:
    file = File.objects.create(
        source=vault.source, remote_id=f"file{number}", parent_id=parent, name=name,
        mime_type="text/plain", content="blob", key_name=name, key_fold=f"f{number}",
        first_seen_at=SEEN, placed_at=SEEN,
    )  # fmt: skip
    version = Version.objects.create(
        source=vault.source, file=file, revision="1", size=size, sha256=digest,
        state="stored", first_seen_at=SEEN, modified_at=SEEN,
    )  # fmt: skip
    rows = [
        (version.pk, destination.pk, "stored", f"drive/k{number}", "", "", "", "", SEEN, "", "")
        for destination in vault.destinations
    ]
    columns = [
        *("version_id", "destination_id", "state", "object_key", "old_key", "old_store_version"),
        *("store_version", "etag", "stored_at", "error_code", "error_message"),
    ]
    insert_many(Copy, columns, rows)


def kill_until_it_ends(run: Run, folder: Path, chance: random.Random) -> None:
    kills = 0
    with running_workers(folder, WORKERS="1") as workers:
        for _ in range(KILLS):
            done = run.files_done
            wait_until(
                lambda seen=done: ended(run) or run.files_done > seen, 90, workers.log[-2000:]
            )
            if ended(run):
                break
            time.sleep(chance.uniform(0, 0.5))
            kills += bool(workers.kill_one(chance, busy=True))
        wait_until(lambda: ended(run), 300, f"the end\n{workers.log[-2000:]}")
    assert kills >= 3, "it was over before it was disturbed"


@pytest.mark.slow
def test_a_drive_is_filled_without_a_second_file_though_workers_are_killed(
    transactional_db: None, tmp_path: Path, drive: RunningEmulator
) -> None:
    vault = Vault.make(tmp_path)
    allow_writing(vault.source.account, drive)
    expected = fill(vault, DRIVE_FILES)
    run = restoring.request_restore(vault.source, target="drive")

    kill_until_it_ends(run, tmp_path, random.Random(11))

    assert (run.outcome, run.files_done, run.files_failed) == ("ok", DRIVE_FILES, 0)
    top = DriveId.objects.exclude(key__startswith="item:").order_by("pk")[0]
    made = below(drive, top.remote_id)
    assert paths(made) == sorted(tuple(path.split("/")) for path in expected)
    assert sorted(e["sha256"] for e in made.values() if "sha256" in e) == sorted(expected.values())
    folders = [entry for entry in made.values() if entry["kind"] == "folder"]
    assert len(folders) == 1 + DRIVE_FILES // 100


@pytest.mark.slow
def test_ten_thousand_files_come_back_whole_though_workers_are_killed(
    transactional_db: None, tmp_path: Path
) -> None:
    vault = Vault.make(tmp_path)
    expected = fill(vault, FILES)
    out, chance = tmp_path / "out", random.Random(11)
    run = restoring.request_restore(
        vault.source, target="folder", options={"path": str(out)}, collision="rename"
    )

    kill_until_it_ends(run, tmp_path, chance)

    assert (run.outcome, run.files_done, run.files_failed) == ("ok", FILES, 0)
    assert RestoreItem.objects.filter(state="done").count() == FILES
    found = [path for path in out.rglob("*") if path.is_file()]
    assert len(found) == FILES
    assert not list(out.glob(".restoring*"))
    lines = "".join(f"{digest}  {path}\n" for path, digest in expected.items())
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet"],
        input=lines, cwd=out, capture_output=True, text=True,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout) == (0, "")
