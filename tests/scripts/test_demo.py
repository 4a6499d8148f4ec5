"""`make demo ONCE=1`, whole: proved by itself and by rclone; run again over damage."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scripts import ports
from scripts.demo import catalog, proof
from scripts.demo.truth import Truth
from tests.servers.emulator import RunningEmulator
from tests.servers.rclone_s3 import binary

ROOT = Path(__file__).resolve().parents[2]


def demo(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    port = ports.first_free(23_000)
    return subprocess.run(
        [sys.executable, "-m", "scripts.demo", "--once", "--port", str(port), *flags]
        + ["--folder", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "demo"


def read_from_google(said: str) -> int:
    found = re.search(r"^Read ([\d,]+) files? from Google this time", said, re.M)
    assert found
    return int(found[1].replace(",", ""))


def sums(folder: Path) -> Counter[str]:
    """SHA-256 of every file below a folder, by rclone."""
    done = subprocess.run(
        [binary(), "hashsum", "sha256", str(folder)], capture_output=True, text=True, check=True
    )
    return Counter(line.split(" ", 1)[0] for line in done.stdout.splitlines())


def assert_rclone_finds_every_blob(google: RunningEmulator, folder: Path) -> None:
    blobs = Counter(
        item["sha256"]
        for item in google.control.manifest()
        if item["kind"] == "blob" and not item["refused"] and not item["trashed"]
    )
    assert blobs.total() > 200
    assert blobs - sums(folder / "folder-destination") == Counter()
    assert blobs - sums(folder / "s3") == Counter()


def assert_everything_is_proved(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Proved: all of it is there, byte for byte." in done.stdout
    rows = re.findall(r"^(Demo .+?) {2,}(\d+) +(\d+) +(\d+) ", done.stdout, re.M)
    assert [name for name, *_ in rows] == ["Demo S3 bucket", "Demo folder"]
    assert len({figure for _, *figures in rows for figure in figures}) == 1
    assert int(rows[0][1]) > 250


def damage(folder: Path) -> Path:
    """A file of the folder whose bytes are not Google's any more."""
    notes = min((folder / "folder-destination").rglob("*notes.txt"))
    notes.write_bytes(b"damaged")
    return notes


@pytest.mark.long
def test_the_demo_proves_a_backup_and_its_proof_finds_damage(
    google: RunningEmulator, folder: Path
) -> None:
    first = demo(folder)
    assert_everything_is_proved(first)
    assert read_from_google(first.stdout) > 250
    assert_rclone_finds_every_blob(google, folder)

    notes = damage(folder)
    stores = {"Demo folder": proof.folder_reader(folder / "folder-destination")}
    truth = Truth(google.url, folder / "served.json")
    verdict = proof.prove(truth, catalog.read(folder / "backup.sqlite3"), stores)
    assert [line.partition(":")[0] for line in verdict.wrong] == [f"{notes.name!r} in Demo folder"]


@pytest.mark.slow
def test_a_second_demo_reads_nothing_anew_finds_damage_and_the_third_has_mended_it(
    folder: Path,
) -> None:
    assert_everything_is_proved(demo(folder))

    notes = damage(folder)
    second = demo(folder)
    assert second.returncode == 1
    assert re.search(rf"^WRONG: '{notes.name}' in Demo folder", second.stdout, re.M)
    assert read_from_google(second.stdout) == 0

    third = demo(folder)
    assert_everything_is_proved(third)
    assert read_from_google(third.stdout) == 0, "mended from the other destination"
    assert notes.read_bytes() != b"damaged"
