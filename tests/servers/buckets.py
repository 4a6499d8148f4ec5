"""The buckets that tests find on a server: a plain one and one that keeps versions."""

from __future__ import annotations

import boto3

from tests.servers.shared import Info


def make_buckets(info: Info) -> None:
    """Create `info`'s two buckets."""
    client = boto3.client(
        "s3",
        endpoint_url=info["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=info["access_key"],
        aws_secret_access_key=info["secret_key"],
    )
    for bucket in (info["bucket"], info["versioned"]):
        client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(
        Bucket=info["versioned"], VersioningConfiguration={"Status": "Enabled"}
    )
