"""An archive of 100,000 files and 20 GB, from the web server as it runs: whole, in little memory.

The files share two objects on disk; for the web server they are files like others.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from django.urls import reverse

from syncapp.models import Copy, File, Version
from syncapp.types import Content
from tests.engine.vault import MODIFIED, SEEN, Vault
from tests.servers.web import collect_static, running_web
from tests.servers.workers import environment
from tests.web.taking import Visitor

FOLDERS, FILES = 100, 1000  # files in each
SMALL, LARGE = 100_000, 1_000_000_000
LARGE_FILES = 10
MOST_MEMORY = 150_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("archivers"),
    pytest.mark.django_db(transaction=True),
]


def fill(vault: Vault) -> None:
    small, large = vault.file("small", os.urandom(SMALL)), vault.file("large", b"")
    path = vault.path(large, vault.destinations[0])
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for _ in range(LARGE // 1_000_000):
            block = os.urandom(1000) * 1000
            digest.update(block)
            stream.write(block)
    Version.objects.filter(pk=large.pk).update(size=LARGE, sha256=digest.hexdigest())
    for number in range(FOLDERS):
        folder = vault.folder(f"Folder {number:03}")
        _share(vault, small, [f"Foto {number:03}-{n:04} äöü.jpg" for n in range(FILES)], folder)
    large.refresh_from_db()
    _share(vault, large, [f"film {n}.mp4" for n in range(LARGE_FILES)], None)


def _share(vault: Vault, version: Version, names: list[str], folder: File | None) -> None:
    parent = folder.remote_id if folder else ""
    rows = File.objects.bulk_create(
        File(
            source=vault.source, remote_id=f"{parent}-{name}", parent_id=parent, name=name,
            mime_type="image/jpeg", content=Content.BLOB, key_fold=name, placed_at=SEEN,
        )
        for name in names
    )  # fmt: skip
    versions = Version.objects.bulk_create(
        Version(
            source=vault.source, file=row, revision="1", size=version.size, sha256=version.sha256,
            content_type="image/jpeg", modified_at=MODIFIED, state="stored", first_seen_at=SEEN,
        )
        for row in rows
    )  # fmt: skip
    copy = version.copies.get(destination=vault.destinations[0])
    Copy.objects.bulk_create(
        Copy(
            version=one, destination=vault.destinations[0], state="stored",
            object_key=copy.object_key, stored_at=SEEN,
        )
        for one in versions
    )  # fmt: skip


def peak_bytes(pid: int) -> int:
    tree = psutil.Process(pid)
    peaks = []
    for process in [tree, *tree.children(recursive=True)]:
        status = Path(f"/proc/{process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        peaks.append(int(line.split()[1]) * 1024)
    return max(peaks)


def test_an_archive_of_a_hundred_thousand_files_and_20_gb_takes_little_memory(
    vault: Vault, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    fill(vault)
    env = environment(tmp_path, LOG_LEVEL="ERROR")
    collect_static(env)
    made = tmp_path / "all.zip"
    with running_web(env, tmp_path / "web.log") as web:
        answer = Visitor(web.url, vault).ask(reverse("archive", args=[vault.source.pk]))
        with made.open("wb") as stream:
            while block := answer.read(1_000_000):
                stream.write(block)
        peak = peak_bytes(web.process.pid)
    size = made.stat().st_size
    record_property("peak_bytes", peak)
    try:
        assert peak <= MOST_MEMORY
        assert size > FOLDERS * FILES * SMALL + LARGE_FILES * LARGE
        subprocess.run(["unzip", "-tqq", str(made)], check=True)
        with made.open("rb") as stream:
            # From a pipe, without the directory at the end.
            subprocess.run(
                ["bsdtar", "-xOf", "-"], stdin=stream, stdout=subprocess.DEVNULL, check=True
            )
        with zipfile.ZipFile(made) as found:
            assert len(found.infolist()) == FOLDERS * (FILES + 1) + LARGE_FILES + 2
    finally:
        made.unlink()
