"""Moves in buckets that keep versions: every old version stays reachable by its id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncapp.engine.adapters import destination_for
from syncapp.models import Copy, Run, Version
from tests.engine.conftest import Setting, make_setting
from tests.engine.tree import blobs, check_all, path_key
from tests.servers import ceph, moto
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info, run_folder, shared


def versioned_setting(info: Info, folder: Path, settings: Any) -> Iterator[Setting]:
    with running_emulator("synthetic", files=6, file_size=5000) as google:
        yield make_setting(google, {**info, "bucket": info["versioned"]}, folder, settings)


@pytest.fixture(params=["moto", pytest.param("ceph", marks=pytest.mark.needs("ceph"))])
def versioned(
    request: pytest.FixtureRequest,
    transactional_db: None,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    settings: Any,
) -> Iterator[Setting]:
    """A few files, and a bucket that keeps versions."""
    server = {"moto": moto, "ceph": ceph}[request.param]
    with shared(request.param, run_folder(tmp_path_factory.getbasetemp()), server.start) as info:
        yield from versioned_setting(info, tmp_path, settings)


def test_a_versioned_bucket_keeps_every_old_version_reachable(versioned: Setting) -> None:
    versioned.back_up()
    file = blobs(versioned)[0]
    contents = {Version.objects.get(file=file, current=True).pk: None}
    contents = {pk: versioned.control.content(file.remote_id) for pk in contents}
    for number in range(3):
        data = f"content {number}".encode()
        versioned.control.rename(file.remote_id, f"name {number}.txt")
        if number != 1:
            versioned.control.edit(file.remote_id, data)
        assert versioned.back_up().outcome == Run.Outcome.OK
        contents[Version.objects.get(file=file, current=True).pk] = versioned.control.content(
            file.remote_id
        )
    assert len(contents) == 3
    check_all(versioned)
    for copy in Copy.objects.filter(version__file=file, destination=versioned.bucket):
        store = destination_for(versioned.bucket)
        with store.read(copy.object_key, version_id=copy.store_version) as chunks:
            assert b"".join(chunks) == contents[copy.version_id]


def test_another_file_takes_a_name_whose_old_versions_are_kept(versioned: Setting) -> None:
    versioned.back_up()
    first, second = blobs(versioned)[:2]
    name = first.name
    versioned.control.edit(first.remote_id, b"second version")
    versioned.back_up()
    versioned.control.rename(first.remote_id, "elsewhere.txt")
    versioned.back_up()
    versioned.control.rename(second.remote_id, name)
    versioned.back_up()
    check_all(versioned)
    assert path_key(second).endswith(f"/{name}")
