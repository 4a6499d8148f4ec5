"""Listing a bucket: what lies there now, and every version of it.

docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html, API_ListObjectVersions.html; a
thousand a request, never more than a page in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from syncapp.destinations.s3_objects import etag_of, is_frozen, version_of
from syncapp.types import ObjectInfo

if TYPE_CHECKING:
    from syncapp.destinations.s3 import S3Destination


def list_objects(bucket: S3Destination, prefix: str) -> Iterator[ObjectInfo]:
    """The contract's `objects`."""
    pages = bucket.client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket.bucket, Prefix=bucket.full(prefix)
    )
    with bucket.errors.translated():
        for page in pages:
            for found in page.get("Contents", ()):
                yield _info(bucket, found)


def list_versions(bucket: S3Destination, prefix: str) -> Iterator[ObjectInfo]:
    """The contract's `versions`, for a bucket that has or had versioning. Of a page, the delete
    markers come first."""
    pages = bucket.client.get_paginator("list_object_versions").paginate(
        Bucket=bucket.bucket, Prefix=bucket.full(prefix)
    )
    with bucket.errors.translated():
        for page in pages:
            for found in page.get("DeleteMarkers", ()):
                yield _info(bucket, found, marker=True)
            for found in page.get("Versions", ()):
                yield _info(bucket, found)


def _info(bucket: S3Destination, found: Mapping[str, Any], *, marker: bool = False) -> ObjectInfo:
    return ObjectInfo(
        key=found["Key"][len(bucket.settings.prefix) :],
        size=found.get("Size", 0),
        etag=etag_of(found),
        version_id=version_of(found),
        modified_at=found["LastModified"],
        storage_class=found.get("StorageClass", ""),
        frozen=is_frozen(found),
        marker=marker,
        latest=found.get("IsLatest", True),
    )
