"""One object being written in parts (S3 multipart upload); each part confirmed by its checksum.

Follows docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html. Keeps digests of each part,
never its bytes. A part is vouched for by its MD5; where the store is known to refuse a wrong CRC32C
by that alone, for an MD5 costs three times as much as sending. Then the MD5 that the store names
the part by is remembered: it is what the part's bytes must have should the upload be resumed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from syncapp.destinations.base import UPLOAD_LOST, Upload
from syncapp.destinations.s3_objects import (
    base64_of,
    etag_of,
    is_composite,
    is_kms,
    md5_told,
    plain_md5,
    version_of,
)
from syncapp.errors import IntegrityError, NotFound, PermanentError, TransientError
from syncapp.types import Digest, ObjectInfo, ObjectMeta, Part, SentPart

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from syncapp.destinations.s3 import S3Destination

_ALGORITHMS = {"sha256": "SHA256", "crc32c": "CRC32C"}


class S3Upload(Upload):
    """Parts under an upload id; the store forgets them at `abort`, or at a later sweep."""

    def __init__(self, store: S3Destination, key: str, upload_id: str) -> None:
        self.id = upload_id
        self._store = store
        self._key = key
        self._sent: dict[int, SentPart] = {}
        self._checksum = store.settings.part_checksum
        self._about: dict[str, Any] = {
            "Bucket": store.bucket,
            "Key": store.full(key),
            "UploadId": upload_id,
        }
        self._done = False
        self._version_id: str | None = None  # of the object, once it is completed

    @classmethod
    def start(cls, store: S3Destination, key: str, meta: ObjectMeta) -> S3Upload:
        """Begin one at the store."""
        request = store.write_request(key, meta, in_parts=True)
        if algorithm := _ALGORITHMS.get(store.settings.part_checksum):
            request["ChecksumAlgorithm"] = algorithm
        with store.errors.translated(key):
            answer = store.client.create_multipart_upload(**request)
        return cls(store, key, answer["UploadId"])

    @classmethod
    def resume(
        cls, store: S3Destination, key: str, upload_id: str, parts: Sequence[SentPart]
    ) -> S3Upload | None:
        """Take up a recorded one: of `parts`, those count that the store lists just as recorded.

        It goes on with the checksum that it began with, as the store tells.
        """
        upload = cls(store, key, upload_id)
        try:
            listed = upload._listed()
        except (NotFound, PermanentError):
            return None  # forgotten, or a store that can't tell
        for part in parts:
            size, etag, crc32c = listed.get(part.number, (0, "", b""))
            checked = crc32c or upload._checksum != "crc32c"
            if checked and (size, etag) == (part.size, part.etag):
                upload._sent[part.number] = replace(part, crc32c=crc32c)
        return upload

    def _listed(self) -> dict[int, tuple[int, str, bytes]]:
        """Size, ETag and CRC32C (b"" where there is none) of each part that the store has."""
        pages = self._store.client.get_paginator("list_parts").paginate(**self._about)
        listed = {}
        by_crc32c = False
        with self._store.errors.translated(self._key):
            for page in pages:
                by_crc32c = by_crc32c or page.get("ChecksumAlgorithm") == "CRC32C"
                for part in page.get("Parts", ()):
                    crc32c = base64.b64decode(part.get("ChecksumCRC32C", ""))
                    listed[part["PartNumber"]] = (part["Size"], etag_of(part), crc32c)
        if by_crc32c:
            self._checksum = "crc32c"
        elif self._checksum == "crc32c":
            self._checksum = self._store.settings.checksum
        return listed

    @property
    def sent(self) -> Mapping[int, SentPart]:
        return self._sent

    def send(self, part: Part) -> str:
        request: dict[str, Any] = {**self._about, "PartNumber": part.number, **self._vouching(part)}
        with self._known():
            answer = self._store.plane.upload_part(request, part)
        # A part that was refused or differs must not be completed by the one sent before.
        self._sent.pop(part.number, None)
        sent = self._confirmed_part(part, answer)
        self._sent[part.number] = sent
        return sent.etag

    def _vouching(self, part: Part) -> dict[str, str]:
        """What the store is to hold the part's bytes against."""
        if self._checksum == "crc32c":
            return {"ChecksumAlgorithm": "CRC32C", "ChecksumCRC32C": base64_of(part.crc32c)}
        by_md5 = {"ContentMD5": base64_of(part.md5)}
        if self._checksum == "sha256":
            by_sha256 = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64_of(part.sha256)}
            return by_md5 | by_sha256
        return by_md5

    def _confirmed_part(self, part: Part, answer: Mapping[str, Any]) -> SentPart:
        """IntegrityError if the store reports another digest than what was sent has."""
        number, size, etag = part.number, part.size, etag_of(answer)
        if self._checksum != "crc32c":
            self._store.confirm(self._key, part, answer)
            sha256 = part.sha256 if self._checksum == "sha256" else b""
            return SentPart(number, size, part.md5, etag, sha256)
        crc32c, told = part.crc32c, answer.get("ChecksumCRC32C")
        md5 = md5_told(answer) if self._store.etag_is_md5 else b""
        if told is None and md5:  # does not check it any more: then the MD5 must be right
            self._store.confirm(self._key, part, answer)
        elif told != base64_of(crc32c):
            raise IntegrityError(
                f"The bucket “{self._store.bucket}” reports other bytes than were sent for "
                f"“{self._key}”, part {number}: CRC32C {told}."
            )
        return SentPart(number, size, md5 or part.md5, etag, crc32c=crc32c if told else b"")

    def finish(self, digest: Digest) -> ObjectInfo:
        size = sum(sent.size for sent in self._sent.values())
        if size != digest.size or sorted(self._sent) != list(range(1, len(self._sent) + 1)):
            raise IntegrityError(
                f"Of “{self._key}” {size} bytes in {len(self._sent)} parts were sent, not the "
                f"{digest.size} bytes that it has."
            )
        if self._version_id is None:  # a store completes once: asked again, it knows of none
            with self._known():
                self._version_id = version_of(self._complete())
            self._done = True
        return self._confirmed(digest, self._version_id)

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
            if self._checksum == "sha256":
                part["ChecksumSHA256"] = base64_of(sent.sha256)
            elif sent.crc32c:
                part["ChecksumCRC32C"] = base64_of(sent.crc32c)
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
