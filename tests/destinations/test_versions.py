"""Listing every version: what a bucket keeps behind its keys."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import md5, sha256
from pathlib import Path

import pytest

from syncapp.destinations.base import Destination
from syncapp.types import ObjectMeta, Part
from tests.destinations.conftest import CEPH, local_store, s3_store
from tests.servers.shared import Info

META = ObjectMeta(mtime=datetime(2024, 1, 1, tzinfo=UTC), remote_id="1")
SERVERS = [pytest.param("moto", id="moto"), pytest.param("ceph", id="ceph", marks=CEPH)]


def put(store: Destination, key: str, data: bytes) -> str:
    part = Part.of(1, data, md5(data).digest(), sha256(data).digest())
    return store.put(key, part, META).version_id


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_every_version_and_marker_is_listed_and_can_be_removed(server: Info) -> None:
    store = s3_store(server, "other", bucket=server["versioned"])
    old, new = put(store, "a/file", b"old"), put(store, "a/file", b"newer")
    put(store, "b/file", b"other")
    store.delete("a/file")
    found = list(store.versions("a/"))
    assert {(i.key, i.size) for i in found if not i.marker} == {("a/file", 3), ("a/file", 5)}
    assert {i.version_id for i in found if not i.marker} == {old, new}
    assert [(i.key, i.latest) for i in found if i.marker] == [("a/file", True)]
    for info in found:
        store.delete(info.key, version_id=info.version_id)
    assert list(store.versions("a/")) == []
    assert [i.key for i in store.versions()] == ["b/file"]


def test_a_store_without_versions_lists_its_objects(tmp_path: Path, moto_server: Info) -> None:
    for store in (local_store(tmp_path / "here"), s3_store(moto_server, "other")):
        put(store, "a/file", b"old")
        put(store, "a/file", b"newer")
        assert [(i.key, i.size, i.marker, i.latest) for i in store.versions()] == [
            ("a/file", 5, False, True)
        ]
