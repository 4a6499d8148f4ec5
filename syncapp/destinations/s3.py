"""An S3-compatible bucket as a destination; Amazon's or anybody's.

Data plane of docs.aws.amazon.com/AmazonS3/latest/API. Every byte is confirmed: Content-MD5 and the
signature's SHA-256 let the store refuse what changed on its way, and what it reports afterwards is
held against what was sent. Must not log or tell keys, nor copy a part's bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from syncapp.destinations.base import Destination
from syncapp.destinations.endpoint import check_resolved
from syncapp.destinations.s3_check import check_bucket
from syncapp.destinations.s3_copy import copy_in_parts
from syncapp.destinations.s3_errors import S3Errors
from syncapp.destinations.s3_list import list_objects, list_versions
from syncapp.destinations.s3_objects import (
    base64_of,
    etag_of,
    info_of,
    metadata_of,
    plain_md5,
    plain_sha256,
    version_of,
)
from syncapp.destinations.s3_read import read_object, thaw_object
from syncapp.destinations.s3_remove import has_locks, locked_until, purge, remove
from syncapp.destinations.s3_settings import OPTIONS, S3Settings
from syncapp.destinations.s3_upload import S3Upload
from syncapp.destinations.s3_wire import S3Wire
from syncapp.errors import (
    ConfigurationError,
    IntegrityError,
    NotFound,
    PermanentError,
)
from syncapp.types import CheckResult, Limits, ObjectInfo, ObjectMeta, Part, SentPart

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef

    from syncapp.destinations.s3_client import S3Boto

_EXPRESS = "--x-s3"  # such buckets have sessions of their own, which boto3 knows
MAX_COPY_BYTES = 5 * 1024**3  # CopyObject takes no more


class S3Destination(Destination):
    """One bucket, below one prefix. Reserved setting `_allow_private` "1": see `endpoint.py`."""

    kind = "s3"
    options = OPTIONS
    exact_keys = True

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self.bucket = settings.bucket
        wishes = (settings.storage_class, settings.sse)
        self.errors = S3Errors(settings.bucket, settings.host, wishes)
        self._once = threading.Lock()
        self._client: S3Client | None = None
        self._plane: S3Wire | S3Boto | None = None
        self._versioning: str | None = None

    @classmethod
    def create(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> S3Destination:
        return cls(S3Settings.read(settings, secrets))

    @property
    def client(self) -> S3Client:
        """Made at first use, after the endpoint's name was seen to lead where it may."""
        with self._once:
            if self._client is None:
                self._client = self._connect()
            return self._client

    @property
    def plane(self) -> S3Wire | S3Boto:
        """What sends bytes and asks about objects; the rest is boto3's."""
        if self._plane is None:
            made = self._make_plane()
            with self._once:
                self._plane = self._plane or made
        return self._plane

    @property
    def with_sha256(self) -> bool:
        return self.settings.checksum == "sha256"

    @property
    def etag_is_md5(self) -> bool:
        return self.settings.provider.etag_is_md5 and self.settings.sse != "aws:kms"

    @property
    def limits(self) -> Limits:
        limits = self.settings.provider.limits
        return replace(limits, max_key_bytes=limits.max_key_bytes - len(self.full("").encode()))

    @property
    def keeps_versions(self) -> bool:
        return self._versioning_once() == "Enabled"

    @property
    def has_versions(self) -> bool:
        """Whether there may be more than one of a key: kept now, or once kept."""
        return bool(self._versioning_once())

    def _versioning_once(self) -> str:
        if self._versioning is None:
            try:
                self._versioning = self.versioning()
            except PermanentError:
                self._versioning = ""  # a store that has none
            except ConfigurationError as error:
                if error.code != "access_denied":
                    raise
                # Not allowed to know: the old bytes are kept by a copy, which is never wrong.
                self._versioning = ""
        return self._versioning

    def versioning(self) -> str:
        """The bucket's word: "Enabled", "Suspended" or ""."""
        with self.errors.translated():
            return str(self.client.get_bucket_versioning(Bucket=self.bucket).get("Status", ""))

    def put(self, key: str, part: Part, meta: ObjectMeta) -> ObjectInfo:
        known = ObjectMeta(
            meta.mtime, meta.remote_id, meta.content_type, part.md5.hex(), part.sha256.hex()
        )
        request = self.write_request(key, known, in_parts=False)
        request["ContentMD5"] = base64_of(part.md5)
        if self.with_sha256:
            request |= {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64_of(part.sha256)}
        with self.errors.translated(key):
            answer = self.plane.put_object(request, part)
        version_id = version_of(answer)
        try:
            self.confirm(key, part, answer)
        except IntegrityError:
            self.remove_wrong(key, version_id)
            raise
        return ObjectInfo(
            key=key,
            size=part.size,
            etag=etag_of(answer),
            md5=plain_md5(answer) if self.etag_is_md5 else None,
            sha256=plain_sha256(answer),
            version_id=version_id,
            metadata=request["Metadata"],
        )

    def start_upload(self, key: str, meta: ObjectMeta, *, part_size: int) -> S3Upload:
        return S3Upload.start(self, key, meta)

    def resume_upload(
        self,
        key: str,
        meta: ObjectMeta,
        *,
        upload_id: str,
        part_size: int,
        parts: Sequence[SentPart],
    ) -> S3Upload | None:
        return S3Upload.resume(self, key, upload_id, parts)

    def head(self, key: str, *, version_id: str = "") -> ObjectInfo | None:
        try:
            return self.info(key, self.head_answer(key, version_id))
        except NotFound:
            return None

    def read(
        self, key: str, *, version_id: str = "", start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        return read_object(self, key, self.one(key, version_id), start, end)

    def thaw(self, key: str, *, version_id: str = "", days: int = 3) -> None:
        thaw_object(self, key, self.one(key, version_id), days)

    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return list_objects(self, prefix)

    def versions(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return list_versions(self, prefix) if self.has_versions else list_objects(self, prefix)

    def copy(
        self, source_key: str, target_key: str, *, version_id: str = "", size: int | None = None
    ) -> ObjectInfo:
        before: dict[str, Any] = {"ContentLength": size}
        if size is None or size > MAX_COPY_BYTES:
            before = self.head_answer(source_key, version_id)
        source: CopySourceTypeDef = {"Bucket": self.bucket, "Key": self.full(source_key)}
        if version_id:
            source["VersionId"] = version_id
        request = self._stored_as(target_key)
        with self.errors.translated(source_key):
            if before["ContentLength"] <= MAX_COPY_BYTES:
                self.client.copy_object(**request, CopySource=source, MetadataDirective="COPY")
            else:
                request |= {
                    "Metadata": before.get("Metadata", {}),
                    "ContentType": before.get("ContentType", "application/octet-stream"),
                }
                copy_in_parts(
                    self.client, source, before["ContentLength"], request, self.limits.max_parts
                )
        after = self.head_answer(target_key)
        old, new = plain_md5(before), plain_md5(after)
        wrong_md5 = self.etag_is_md5 and old and new and old != new
        if after["ContentLength"] != before["ContentLength"] or wrong_md5:
            raise IntegrityError(
                f"The copy “{target_key}” in the bucket “{self.bucket}” is not as its original."
            )
        return self.info(target_key, after)

    def delete(self, key: str, *, version_id: str = "") -> None:
        remove(self, key, version_id)

    def purge(self, key: str, *, version_id: str = "") -> None:
        purge(self, key, version_id)

    @property
    def locks(self) -> bool:
        return has_locks(self)

    def locked_until(self, key: str, *, version_id: str = "") -> datetime | None:
        return locked_until(self, key, version_id)

    def sweep_uploads(self, started_before: datetime, keep: Collection[str] = ()) -> int:
        pages = self.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=self.settings.prefix
        )
        swept = 0
        # rclone's server answers 404 as long as a bucket never had an upload.
        with suppress(NotFound), self.errors.translated():
            for page in pages:
                for found in page.get("Uploads", ()):
                    if found["Initiated"] < started_before and found["UploadId"] not in keep:
                        swept += self._abort(found["Key"], found["UploadId"])
        return swept

    def check(self) -> Sequence[CheckResult]:
        return check_bucket(self)

    def full(self, key: str) -> str:
        """The key as the bucket has it."""
        return self.settings.prefix + key

    def write_request(self, key: str, meta: ObjectMeta, *, in_parts: bool) -> dict[str, Any]:
        """What PutObject and CreateMultipartUpload have in common."""
        with_md5 = in_parts or not self.etag_is_md5
        return self._stored_as(key) | {
            "ContentType": meta.content_type,
            "Metadata": metadata_of(meta, with_md5=with_md5),
        }

    def confirm(self, key: str, part: Part, answer: Mapping[str, Any]) -> None:
        """IntegrityError if the store reports another digest than what was sent has."""
        md5, sha256 = plain_md5(answer), plain_sha256(answer)
        wrong_md5 = self.etag_is_md5 and md5 is not None and md5 != part.md5.hex()
        if wrong_md5 or (sha256 is not None and sha256 != part.sha256.hex()):
            raise IntegrityError(
                f"The bucket “{self.bucket}” reports other bytes than were sent for “{key}”, "
                f"part {part.number}: MD5 {md5}, SHA-256 {sha256}."
            )

    def remove_wrong(self, key: str, version_id: str) -> None:
        """Take back what the store accepted and got wrong, so that nobody takes it for good."""
        self.delete(key, version_id=version_id)

    def head_answer(self, key: str, version_id: str = "") -> dict[str, Any]:
        """HeadObject; NotFound if there is none."""
        request = self.one(key, version_id)
        if self.with_sha256:
            request["ChecksumMode"] = "ENABLED"
        with self.errors.translated(key):
            return self.plane.head_object(request)

    def info(self, key: str, answer: Mapping[str, Any]) -> ObjectInfo:
        """An answer of HeadObject as ours."""
        return info_of(key, answer, etag_is_md5=self.etag_is_md5)

    def one(self, key: str, version_id: str) -> dict[str, Any]:
        """What every request about one object has."""
        request: dict[str, Any] = {"Bucket": self.bucket, "Key": self.full(key)}
        if version_id:
            request["VersionId"] = version_id
        return request

    def _stored_as(self, key: str) -> dict[str, Any]:
        settings = self.settings
        request: dict[str, Any] = self.one(key, "")
        if settings.storage_class:
            request["StorageClass"] = settings.storage_class
        if settings.sse:
            request["ServerSideEncryption"] = settings.sse
        if settings.sse == "aws:kms" and settings.kms_key:
            request["SSEKMSKeyId"] = settings.kms_key
        return request

    def _abort(self, full_key: str, upload_id: str) -> bool:
        try:
            with self.errors.translated(full_key):
                self.client.abort_multipart_upload(
                    Bucket=self.bucket, Key=full_key, UploadId=upload_id
                )
        except NotFound:
            return False  # finished or aborted meanwhile
        return True

    def _make_plane(self) -> S3Wire | S3Boto:
        if self.settings.data_plane == "boto3" or self.bucket.endswith(_EXPRESS):
            from syncapp.destinations.s3_client import S3Boto

            return S3Boto(self.client)
        self._check_endpoint()
        return S3Wire(
            self.bucket,
            self.settings.connection,
            self.errors,
            allow_private=self.settings.allow_private,
        )

    def _connect(self) -> S3Client:
        # Here, because boto3 costs 0.2 s and 30 MB, and most workers never need it.
        from syncapp.destinations.s3_client import make_client

        self._check_endpoint()
        with self.errors.translated():
            return make_client(self.settings.connection)

    def _check_endpoint(self) -> None:
        settings = self.settings
        check_resolved(settings.connection.endpoint, allow_private=settings.allow_private)
