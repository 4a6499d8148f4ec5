"""The files come back with nothing but the script, an interpreter and the destination."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import segments
from syncapp.models import Copy, Destination, File, Place
from tests.engine.conftest import (  # noqa: F401  (fixtures of the whole setting)
    Setting,
    _no_queue,
    _no_waiting_for_retries,
    _quick,
    few,
    s3_server,
    sample,
)

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "restore_without_app.py"


def run(destination: Destination, target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The script in an interpreter that knows nothing of this program; boto3 only for buckets."""
    options, environment = destination.options, {"PATH": os.environ["PATH"]}
    bare = ["-I"] if destination.kind == "s3" else ["-I", "-S"]
    origin = options.get("path", "")
    if destination.kind == "s3":
        secrets = json.loads(destination.secrets)
        environment |= {
            "AWS_ACCESS_KEY_ID": secrets["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": secrets["secret_access_key"],
        }
        origin = f"s3://{options['bucket']}/{options['prefix']}"
        more = ("--endpoint", options["endpoint"], "--region", "us-east-1", *more)
    command = [sys.executable, *bare, str(SCRIPT), origin, str(target), *more]
    return subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, check=False
    )


def found(target: Path) -> list[str]:
    """The hashes of all files that are there."""
    paths = (path for path in target.rglob("*") if path.is_file())
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)


def wanted(destination: Destination) -> list[str]:
    copies = Copy.objects.filter(
        destination=destination, version__current=True, state="stored",
        version__file__vanished_at=None, version__file__trashed_at=None,
    )  # fmt: skip
    return sorted(copies.values_list("version__sha256", flat=True))


def test_it_is_short_and_needs_nothing_else() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 300
    modules = {
        line.split()[1]
        for line in text.splitlines()
        if line.strip().startswith(("import ", "from "))
    }
    known = {name for name in modules if name.split(".")[0] in sys.stdlib_module_names}
    assert modules - known == {"boto3"}


@pytest.mark.long
def test_every_byte_of_the_sample_account_comes_back(
    sample: Setting,  # noqa: F811
    tmp_path: Path,
) -> None:
    sample.back_up()
    segments.write(sample.source.pk)
    for destination in (sample.folder, sample.bucket):
        assert_all_comes_back(destination, tmp_path / destination.name)


def assert_all_comes_back(destination: Destination, target: Path) -> None:
    told = run(destination, target)
    assert told.returncode == 0, told.stderr
    assert "never stored: " in told.stderr
    assert found(target) == wanted(destination)
    again = run(destination, target)
    assert " 0 restored" in again.stderr
    for path in target.rglob("*"):
        assert not any(ord(char) < 32 for char in path.name)
        assert len(path.name.encode()) <= 255


def test_a_past_moment_a_path_and_what_is_gone(few: Setting, tmp_path: Path) -> None:  # noqa: F811
    few.back_up()
    edited, gone = File.objects.filter(content="blob").order_by("pk")[:2]
    then = edited.versions.get()
    before = then.first_seen_at.isoformat().replace("+00:00", "Z")
    old = few.control.content(edited.remote_id)
    few.control.edit(edited.remote_id, b"new content")
    few.control.delete(gone.remote_id)
    few.back_up()
    told = {"parent_id": gone.parent_id, "name": gone.name, "from_at": gone.placed_at}
    if not Place.objects.filter(file=gone).exists():
        Place.objects.create(source=few.source, file=gone, until_at=timezone.now(), **told)
    segments.write(few.source.pk)
    path = f"My Drive/folder 00000/{edited.name}"
    now = run(few.folder, tmp_path / "now", "--path", path)
    assert now.stderr == "drive: 1 restored, 0 there already, 0 not restored\n"
    assert (tmp_path / "now" / "drive" / path).read_bytes() == b"new content"
    run(few.folder, tmp_path / "then", "--at", before)
    assert (tmp_path / "then" / "drive" / path).read_bytes() == old
    assert len(found(tmp_path / "then")) == 40
    assert len(found_after(few, tmp_path / "present")) == 39
    assert len(found_after(few, tmp_path / "all", "--deleted")) == 40


def found_after(few: Setting, target: Path, *more: str) -> list[str]:  # noqa: F811
    told = run(few.folder, target, *more)
    assert told.returncode == 0, told.stderr
    return found(target)


def test_a_changed_object_is_told_and_not_given(few: Setting, tmp_path: Path) -> None:  # noqa: F811
    few.back_up()
    segments.write(few.source.pk)
    hurt = Copy.objects.filter(destination=few.folder).first()
    assert hurt is not None
    path = Path(few.folder.options["path"], hurt.object_key)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    told: Any = run(few.folder, tmp_path / "out")
    assert told.returncode == 1
    assert told.stderr.count("NOT restored") == 1
    assert len(found(tmp_path / "out")) == 39
