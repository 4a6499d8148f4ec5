"""One object being written in parts (S3 multipart upload); each part confirmed by its MD5.

Follows docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html. Keeps one digest per part,
never its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from syncapp.destinations.base import UPLOAD_LOST, Upload
from syncapp.destinations.s3_objects import (
    base64_of,
    etag_of,
    is_composite,
    is_kms,
    plain_md5,
    version_of,
)
from syncapp.errors import IntegrityError, NotFound, PermanentError, TransientError
from syncapp.types import Digest, ObjectInfo, ObjectMeta, Part, SentPart

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from syncapp.destinations.s3 import S3Destination


class S3Upload(Upload):
    """Parts under an upload id; the store forgets them at `abort`, or at a later sweep."""

    def __init__(self, store: S3Destination, key: str, upload_id: str) -> None:
        self.id = upload_id
        self._store = store
        self._key = key
        self._sent: dict[int, SentPart] = {}
        self._about: dict[str, Any] = {
            "Bucket": store.bucket,
            "Key": store.full(key),
            "UploadId": upload_id,
        }
        self._done = False

    @classmethod
    def start(cls, store: S3Destination, key: str, meta: ObjectMeta) -> S3Upload:
        """Begin one at the store."""
        request = store.write_request(key, meta, in_parts=True)
        if store.with_sha256:
            request["ChecksumAlgorithm"] = "SHA256"
        with store.errors.translated(key):
            answer = store.client.create_multipart_upload(**request)
        return cls(store, key, answer["UploadId"])

    @classmethod
    def resume(
        cls, store: S3Destination, key: str, upload_id: str, parts: Sequence[SentPart]
    ) -> S3Upload | None:
        """Take up a recorded one: of `parts`, those count that the store lists just as recorded."""
        upload = cls(store, key, upload_id)
        try:
            listed = upload._listed()
        except (NotFound, PermanentError):
            return None  # forgotten, or a store that can't tell
        upload._sent = {
            part.number: part for part in parts if listed.get(part.number) == (part.size, part.etag)
        }
        return upload

    def _listed(self) -> dict[int, tuple[int, str]]:
        """Size and ETag of each part that the store has."""
        pages = self._store.client.get_paginator("list_parts").paginate(**self._about)
        with self._store.errors.translated(self._key):
            return {
                part["PartNumber"]: (part["Size"], etag_of(part))
                for page in pages
                for part in page.get("Parts", ())
            }

    @property
    def sent(self) -> Mapping[int, SentPart]:
        return self._sent

    def send(self, part: Part) -> str:
        request: dict[str, Any] = {
            **self._about,
            "PartNumber": part.number,
            "ContentMD5": base64_of(part.md5),
        }
        if self._store.with_sha256:
            request |= {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64_of(part.sha256)}
        with self._known():
            answer = self._store.plane.upload_part(request, part)
        # A part that was refused or differs must not be completed by the one sent before.
        self._sent.pop(part.number, None)
        self._store.confirm(self._key, part, answer)
        etag = etag_of(answer)
        sha256 = part.sha256 if self._store.with_sha256 else b""
        self._sent[part.number] = SentPart(part.number, part.size, part.md5, etag, sha256)
        return etag

    def finish(self, digest: Digest) -> ObjectInfo:
        size = sum(sent.size for sent in self._sent.values())
        if size != digest.size or sorted(self._sent) != list(range(1, len(self._sent) + 1)):
            raise IntegrityError(
                f"Of “{self._key}” {size} bytes in {len(self._sent)} parts were sent, not the "
                f"{digest.size} bytes that it has."
            )
        with self._known():
            answer = self._complete()
        self._done = True
        return self._confirmed(digest, version_of(answer))

    @contextmanager
    def _known(self) -> Iterator[None]:
        """A store that forgot the upload (swept, restarted) is asked anew, not the file skipped."""
        try:
            with self._store.errors.translated(self._key):
                yield
        except NotFound as error:
            raise TransientError(
                f"The bucket “{self._store.bucket}” has lost the unfinished upload of "
                f"“{self._key}”; it has to be sent again from its start.",
                code=UPLOAD_LOST,
            ) from error

    def _complete(self) -> dict[str, Any]:
        parts: list[CompletedPartTypeDef] = []
        for number, sent in sorted(self._sent.items()):
            part: CompletedPartTypeDef = {"PartNumber": number, "ETag": f'"{sent.etag}"'}
            if self._store.with_sha256:
                part["ChecksumSHA256"] = base64_of(sent.sha256)
            parts.append(part)
        return dict(
            self._store.client.complete_multipart_upload(
                **self._about, MultipartUpload={"Parts": parts}
            )
        )

    def _confirmed(self, digest: Digest, version_id: str) -> ObjectInfo:
        """Ask what stands there now: the answer to completing has no size, on Ceph no ETag."""
        answer = self._store.head_answer(self._key, version_id)
        expected = self._expected_etag()
        size, etag = answer.get("ContentLength"), etag_of(answer)
        if size != digest.size or not self._agrees(answer, expected, digest):
            self._store.remove_wrong(self._key, version_id)
            raise IntegrityError(
                f"“{self._key}” was assembled wrongly in the bucket “{self._store.bucket}”: "
                f"{size} bytes, ETag {etag}; expected were {digest.size} bytes, ETag {expected}."
            )
        return self._store.info(self._key, answer)

    def _expected_etag(self) -> str:
        """MD5 of the parts' MD5s, then their number: how S3 names an object sent in parts."""
        sent = [self._sent[number] for number in sorted(self._sent)]
        joined = hashlib.md5(b"".join(one.md5 for one in sent)).hexdigest()  # noqa: S324
        return f"{joined}-{len(sent)}"

    def _agrees(self, answer: Mapping[str, Any], expected: str, digest: Digest) -> bool:
        """Whether the ETag is right, if it is one that says anything about the bytes."""
        if not self._store.etag_is_md5 or is_kms(answer):
            return True
        etag = etag_of(answer)
        # Stores that are folders (rclone) have the MD5 of the whole instead.
        return etag in (expected, digest.md5) or not (is_composite(etag) or plain_md5(answer))

    def suspend(self) -> None:
        """Nothing is held here."""

    def abort(self) -> None:
        if self._done:
            return
        try:
            with self._store.errors.translated(self._key):
                self._store.client.abort_multipart_upload(**self._about)
        except NotFound:
            pass
        self._done = True
        self._sent.clear()
