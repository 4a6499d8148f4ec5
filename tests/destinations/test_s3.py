"""What only buckets promise: an independent client sees true times and hashes, and restores."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
from pathlib import Path

import pytest

from syncapp.destinations import s3, s3_copy
from syncapp.errors import PermanentError
from syncapp.types import Part
from tests.destinations.conftest import CEPH, SERVERS, s3_store
from tests.destinations.samples import (
    MIB,
    digest_of,
    meta_of,
    part_of,
    put,
    put_in_parts,
    random_bytes,
    read,
)
from tests.servers import rclone_s3
from tests.servers.shared import Info

FIVE = 5 * MIB


def rclone(info: Info, *words: str) -> str:
    """What the independent client says about the server."""
    remote = {
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Other",
        "RCLONE_CONFIG_STORE_ENDPOINT": info["endpoint"],
        "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": info["access_key"],
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": info["secret_key"],
        "RCLONE_CONFIG_STORE_FORCE_PATH_STYLE": "true",
        "RCLONE_CONFIG": os.devnull,
        "TZ": "UTC",
    }
    done = subprocess.run(
        [rclone_s3.binary(), *words], env=os.environ | remote, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sha256_is_kept_by_a_store_that_knows_it(moto_server: Info) -> None:
    store = s3_store(moto_server, "other", checksum="sha256")

    put(store, "a.txt", b"hello")

    about = store.head("a.txt")
    assert about is not None
    assert about.sha256 == digest_of(b"hello").sha256


def test_class_and_encryption_are_on_every_object(moto_server: Info) -> None:
    store = s3_store(moto_server, "other", storage_class="STANDARD_IA", sse="AES256")
    put(store, "a.txt", b"hello")
    put_in_parts(store, "b.bin", [random_bytes(FIVE), b"end"])
    store.copy("a.txt", "c.txt")

    for key in ("a.txt", "b.bin", "c.txt"):
        answer = store.head_answer(key)
        assert answer["StorageClass"] == "STANDARD_IA"
        assert answer["ServerSideEncryption"] == "AES256"


def test_with_a_kms_key_the_etag_is_not_taken_for_an_md5(moto_server: Info) -> None:
    store = s3_store(moto_server, "other", sse="aws:kms", kms_key="alias/backup")

    info = put(store, "a.txt", b"hello")

    assert info.md5 is None
    answer = store.head_answer("a.txt")
    assert answer["ServerSideEncryption"] == "aws:kms"
    assert answer["SSEKMSKeyId"] == "alias/backup"
    expected = base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    assert answer["Metadata"]["md5chksum"] == expected


def test_a_store_that_can_not_copy_ranges_says_so(
    rclone_server: Info, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "MAX_COPY_BYTES", 1)
    store = s3_store(rclone_server, "rclone")
    put(store, "a.bin", b"hello")

    with pytest.raises(PermanentError, match="can't copy") as caught:
        store.copy("a.bin", "b.bin")

    assert caught.value.code == "not_supported"
    assert [info.key for info in store.objects()] == ["a.bin"]


@CEPH
def test_objects_too_big_for_one_copy_are_copied_in_ranges(
    ceph_server: Info, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "MAX_COPY_BYTES", FIVE)
    monkeypatch.setattr(s3_copy, "RANGE_BYTES", FIVE)
    store = s3_store(ceph_server, "ceph")
    data = random_bytes(2 * FIVE + 7)
    put(store, "a.bin", data)

    info = store.copy("a.bin", "b.bin")

    assert info.size == len(data)
    assert read(store, "b.bin") == data
    before = store.head("a.bin")
    assert before is not None
    assert info.metadata == before.metadata


def test_metadata_is_as_rclone_writes_it(moto_server: Info) -> None:
    store = s3_store(moto_server, "other")
    meta = meta_of(b"hello")

    put_in_parts(store, "a.bin", [random_bytes(FIVE), b"end"])
    store.put("a.txt", part_of(b"hello"), meta)

    parts = store.head_answer("a.bin")["Metadata"]
    whole = digest_of(random_bytes(FIVE) + b"end")
    assert parts == {
        "mtime": "1354068505.123456",
        "md5chksum": base64.b64encode(bytes.fromhex(whole.md5)).decode(),
        "sha256": whole.sha256,
        "remote-id": "1AbC-id_9",
    }
    small = store.head_answer("a.txt")
    assert small["ContentType"] == "text/plain"
    assert small["Metadata"] == {
        "mtime": "1354068505.123456",
        "sha256": digest_of(b"hello").sha256,
        "remote-id": "1AbC-id_9",
    }


def test_bodies_are_read_once_and_in_pieces(rclone_server: Info) -> None:
    """A 20 MiB part passes through in small reads, and signing it does not read it again."""
    data = random_bytes(20 * MIB)
    reads: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            got = super().read(size)
            reads.append(len(got))
            return got

    part = part_of(data)
    store = s3_store(rclone_server, "rclone")
    store.put(
        "a.bin",
        Part(1, part.size, part.md5, lambda: Counting(data), part.sha256),
        meta_of(data),
    )

    assert sum(reads) == len(data)
    assert max(reads) <= MIB


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_an_independent_client_sees_true_times_and_hashes(server: Info) -> None:
    store = s3_store(server, "other")
    parts = [random_bytes(FIVE, 1), b"end"]
    put(store, "Letters/héllo + 100%.txt", b"hello")
    put_in_parts(store, "big.bin", parts)
    folder = f"store:{store.bucket}/{store.full('')}"

    lines = rclone(server, "lsl", folder).splitlines()
    sums = dict(
        line.split(maxsplit=1)[::-1] for line in rclone(server, "md5sum", folder).splitlines()
    )

    assert len(lines) == 2
    for line in lines:
        assert "2012-11-28 02:08:25.123456000" in line
    assert sums == {
        "Letters/héllo + 100%.txt": digest_of(b"hello").md5,
        "big.bin": digest_of(b"".join(parts)).md5,
    }


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_an_independent_client_can_restore(server: Info, tmp_path: Path) -> None:
    store = s3_store(server, "other")
    put(store, "a/ü.txt", b"hello")

    rclone(server, "copy", f"store:{store.bucket}/{store.full('')}", str(tmp_path))

    assert (tmp_path / "a" / "ü.txt").read_bytes() == b"hello"
    assert (tmp_path / "a" / "ü.txt").stat().st_mtime_ns == 1354068505123456000
