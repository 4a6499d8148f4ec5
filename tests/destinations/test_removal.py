"""Removing for good: exact versions, the marks of a deletion, and what a lock protects."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from syncapp.destinations.base import FOR_EVER, Destination
from syncapp.destinations.s3 import S3Destination
from syncapp.errors import ConfigurationError, ObjectLocked
from tests.destinations.conftest import CEPH, client_of, s3_store
from tests.destinations.samples import put, read
from tests.servers.shared import Info

SERVERS = [pytest.param("moto", id="moto"), pytest.param("ceph", id="ceph", marks=CEPH)]


def locked_bucket(info: Info) -> str:
    """A new bucket that protects what is written for a day."""
    bucket = f"locked-{uuid.uuid4().hex[:12]}"
    client = client_of(info)
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    client.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
        },
    )
    return bucket


def locking(info: Info) -> S3Destination:
    """A destination in such a bucket."""
    return s3_store(info, "other", bucket=locked_bucket(info))


def test_what_is_purged_is_gone_and_purging_again_is_no_error(store: Destination) -> None:
    put(store, "a/file.txt", b"hello")
    put(store, "a/file.txt.old", b"another")

    store.purge("a/file.txt")
    store.purge("a/file.txt")
    store.purge("never/there.txt")

    assert [info.key for info in store.versions()] == ["a/file.txt.old"]


def test_a_store_without_locks_protects_nothing(store: Destination) -> None:
    put(store, "file.txt", b"hello")

    assert store.locked_until("file.txt") is None
    assert store.locked_until("nothing.txt") is None


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_one_version_is_purged_and_the_others_stay(server: Info) -> None:
    store = s3_store(server, "other", bucket=server["versioned"])
    old = put(store, "file.txt", b"old").version_id
    new = put(store, "file.txt", b"newer").version_id

    store.purge("file.txt", version_id=old)

    assert [info.version_id for info in store.versions()] == [new]
    assert read(store, "file.txt") == b"newer"


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_markers_stay_while_a_version_is_behind_them_and_go_with_the_last(server: Info) -> None:
    store = s3_store(server, "other", bucket=server["versioned"])
    ids = [put(store, "file.txt", data).version_id for data in (b"old", b"newer")]
    store.delete("file.txt")
    put(store, "file.txt.beside", b"kept")
    store.delete("file.txt.beside")

    store.purge("file.txt", version_id=ids[0])
    assert [info.marker for info in store.versions("file.txt") if info.key == "file.txt"] == [
        True,
        False,
    ]
    store.purge("file.txt", version_id=ids[1])

    assert {info.key for info in store.versions()} == {"file.txt.beside"}
    assert len(list(store.versions())) == 2


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_what_was_written_before_versions_were_kept_is_purged_too(server: Info) -> None:
    bucket = f"late-{uuid.uuid4().hex[:12]}"
    client_of(server).create_bucket(Bucket=bucket)
    before = s3_store(server, "other", bucket=bucket, prefix="same")
    assert put(before, "file.txt", b"first").version_id == ""
    client_of(server).put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    store = s3_store(server, "other", bucket=bucket, prefix="same")
    second = put(store, "file.txt", b"second").version_id

    store.purge("file.txt")

    assert [info.version_id for info in store.versions()] == [second]


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_a_locked_object_is_not_removed_and_tells_until_when(server: Info) -> None:
    store = locking(server)
    version = put(store, "file.txt", b"kept").version_id
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    with pytest.raises(ObjectLocked) as refused:
        store.purge("file.txt", version_id=version)

    until = store.locked_until("file.txt", version_id=version)
    assert until is not None
    assert until == refused.value.until
    assert abs(until - tomorrow) < timedelta(minutes=5)
    assert refused.value.code == "object_locked"
    assert f"{until:%Y-%m-%d}" in refused.value.message
    store.delete("file.txt")  # hides it: that a lock does not forbid
    assert read(store, "file.txt", version_id=version) == b"kept"


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_a_legal_hold_has_no_end(server: Info) -> None:
    store = locking(server)
    version = put(store, "file.txt", b"kept").version_id
    client_of(server).put_object_legal_hold(
        Bucket=store.bucket,
        Key=store.full("file.txt"),
        VersionId=version,
        LegalHold={"Status": "ON"},
    )

    with pytest.raises(ObjectLocked) as refused:
        store.delete("file.txt", version_id=version)

    assert refused.value.until == FOR_EVER
    assert store.locked_until("file.txt", version_id=version) == FOR_EVER


@pytest.mark.needs("ceph")
def test_a_key_that_may_not_remove_is_told_apart_from_a_lock(ceph_server: Info) -> None:
    store = s3_store(ceph_server, "other", bucket=ceph_server["versioned"])
    version = put(store, "file.txt", b"kept").version_id
    wrong = s3_store(
        ceph_server,
        "other",
        bucket=ceph_server["versioned"],
        prefix=store.settings.prefix,
        secret_access_key="not the key",
    )

    with pytest.raises(ConfigurationError):
        wrong.purge("file.txt", version_id=version)
    with pytest.raises(ConfigurationError):
        wrong.delete("file.txt", version_id=version)
    assert read(store, "file.txt", version_id=version) == b"kept"


@pytest.mark.needs("ceph")  # moto asks of a copy for a header that Amazon does not know
def test_what_is_locked_can_be_copied_and_the_copy_is_locked_too(ceph_server: Info) -> None:
    store = locking(ceph_server)
    put(store, "file.txt", b"kept")

    info = store.copy("file.txt", "copy.txt")

    assert read(store, "copy.txt") == b"kept"
    assert store.locked_until("copy.txt", version_id=info.version_id) is not None
