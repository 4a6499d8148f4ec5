"""Metadata and answers, without a server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncapp.destinations.s3_objects import (
    float_seconds,
    info_of,
    metadata_of,
    plain_md5,
    plain_sha256,
)
from syncapp.types import ObjectMeta

MD5 = "5d41402abc4b2a76b9719d911017c592"


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2012, 11, 27, 19, 8, 25, 123456, tzinfo=UTC), "1354043305.123456"),
        (datetime(2012, 11, 27, 19, 8, 25, tzinfo=UTC), "1354043305"),
        (datetime(2012, 11, 27, 19, 8, 20, 100000, tzinfo=UTC), "1354043300.1"),
        (datetime(1970, 1, 1, tzinfo=UTC), "0"),
        (datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC), "10"),
        (datetime(1969, 12, 31, 23, 59, 58, 500000, tzinfo=UTC), "-1.5"),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "253402300799.999999"),
    ],
)
def test_times_are_exact(moment: datetime, written: str) -> None:
    assert float_seconds(moment) == written


@given(st.text(max_size=60))
def test_any_remote_id_is_plain_ascii_and_comes_back(remote_id: str) -> None:
    remote_id = remote_id.encode("utf-8", "replace").decode()
    meta = ObjectMeta(mtime=datetime(2020, 1, 1, tzinfo=UTC), remote_id=remote_id)

    kept = metadata_of(meta, with_md5=False)

    assert all(" " <= char < "\x7f" for value in kept.values() for char in value)
    answer = {"ContentLength": 1, "Metadata": {name.title(): v for name, v in kept.items()}}
    back = info_of("k", answer, etag_is_md5=True).metadata
    assert back.get("remote-id", "") == remote_id


@pytest.mark.parametrize(
    ("answer", "md5"),
    [
        ({"ETag": f'"{MD5}"'}, MD5),
        ({"ETag": f'"{MD5}-3"'}, None),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "aws:kms"}, None),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "aws:kms:dsse"}, None),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "AES256"}, MD5),
        ({"ETag": ""}, None),
        ({}, None),
    ],
)
def test_only_a_plain_etag_is_an_md5(answer: dict[str, str], md5: str | None) -> None:
    assert plain_md5(answer) == md5


def test_a_sha256_of_parts_is_not_that_of_the_whole() -> None:
    whole = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="

    assert plain_sha256({"ChecksumSHA256": whole}) is not None
    assert plain_sha256({"ChecksumSHA256": whole + "-2"}) is None
    assert plain_sha256({"ChecksumSHA256": whole, "ChecksumType": "COMPOSITE"}) is None
    assert plain_sha256({}) is None


def test_the_version_null_is_none() -> None:
    answer = {"ContentLength": 1, "VersionId": "null"}

    assert info_of("k", answer, etag_is_md5=True).version_id == ""
