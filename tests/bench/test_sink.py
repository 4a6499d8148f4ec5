"""The benchmarks' S3 sink keeps the promises that the product and rclone rely on."""

from __future__ import annotations

import hashlib
import urllib.error
from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from tests.chaos.servers import BUCKET, SinkStore

PART = 5 * 1024**2


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SinkStore]:
    running = SinkStore(tmp_path_factory.mktemp("sink"))
    yield running
    running.close()


@pytest.fixture
def client(sink: SinkStore) -> S3Client:
    sink.faults()
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=sink.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    return client


def test_an_object_comes_back_whole_in_part_and_with_its_metadata(client: S3Client) -> None:
    client.put_object(Bucket=BUCKET, Key="a/b ü.txt", Body=b"0123456789", Metadata={"mtime": "1"})
    found = client.get_object(Bucket=BUCKET, Key="a/b ü.txt")
    assert found["Body"].read() == b"0123456789"
    assert found["Metadata"] == {"mtime": "1"}
    part = client.get_object(Bucket=BUCKET, Key="a/b ü.txt", Range="bytes=2-4")
    assert part["Body"].read() == b"234"


def test_a_wrong_digest_is_refused(client: S3Client) -> None:
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(
            Bucket=BUCKET, Key="bad", Body=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg=="
        )
    with pytest.raises(ClientError, match="404"):
        client.head_object(Bucket=BUCKET, Key="bad")


def test_parts_in_any_order_become_one_object(client: S3Client) -> None:
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
    bodies = {2: b"2" * 1000, 1: b"1" * PART}
    parts = []
    for number, body in bodies.items():
        sent = client.upload_part(
            Bucket=BUCKET, Key="big", UploadId=upload, PartNumber=number, Body=body
        )
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    parts.sort(key=lambda part: part["PartNumber"])
    done = client.complete_multipart_upload(
        Bucket=BUCKET, Key="big", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert done["ETag"].strip('"').endswith("-2")
    assert client.get_object(Bucket=BUCKET, Key="big")["Body"].read() == bodies[1] + bodies[2]


def test_lists_go_on_where_they_stopped_and_fold_folders(client: S3Client) -> None:
    keys = [f"list/{folder}/{n:03d}" for folder in "abc" for n in range(3)]
    for key in [*keys, "list/z"]:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"")
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 2}
    )
    assert [o["Key"] for page in pages for o in page["Contents"]] == [*keys, "list/z"]
    folded = client.list_objects_v2(Bucket=BUCKET, Prefix="list/", Delimiter="/")
    assert [p["Prefix"] for p in folded["CommonPrefixes"]] == ["list/a/", "list/b/", "list/c/"]
    assert [o["Key"] for o in folded["Contents"]] == ["list/z"]


def test_rot_hides_behind_a_right_etag(sink: SinkStore, client: S3Client) -> None:
    sink.faults(rot=1.0)
    told = client.put_object(Bucket=BUCKET, Key="rotten", Body=b"abc")["ETag"]
    assert told.strip('"') == "900150983cd24fb0d6963f7d28e17f72"
    assert sink.read("rotten") != b"abc"
    assert hashlib.sha256(b"abc").hexdigest() in sink.rotted()


def test_it_goes_away_and_comes_back_with_its_data(sink: SinkStore, client: S3Client) -> None:
    client.put_object(Bucket=BUCKET, Key="kept", Body=b"kept")
    sink.stop()
    while answers(sink):
        continue
    sink.start()
    while not answers(sink):
        continue
    assert sink.read("kept") == b"kept"


def answers(sink: SinkStore) -> bool:
    """Whether anybody answers at its address."""
    try:
        sink.fired()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
