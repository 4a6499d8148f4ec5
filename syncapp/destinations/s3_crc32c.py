"""The proof that a store holds parts against a CRC32C, without which they are sent with an MD5.

An MD5 costs three times as much as sending a part. What has to be seen: a part with a wrong CRC32C
is refused, a right one is told back and listed, and the store names the part by its MD5, which is
what a resumed upload compares.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncapp.destinations.probe import meta_of, part_of
from syncapp.destinations.s3_settings import CRC32C_PROVEN
from syncapp.errors import BackupError, TransientError
from syncapp.types import CheckResult, Crc32c, Digest

if TYPE_CHECKING:
    from syncapp.destinations.s3 import S3Destination
    from syncapp.destinations.s3_upload import S3Upload

_NAME = "checksum of parts"
_DATA = b"checksum"


def check_crc32c(store: S3Destination, folder: str) -> CheckResult:
    """One line of the destination's test; leaves at most an object in the probe's folder."""
    twin = type(store)(replace(store.settings, part_checksum="crc32c"))
    try:
        if _is_proven(twin, f"{folder}/crc32c.bin"):
            return CheckResult(_NAME, "ok", "CRC32C, confirmed by the service", CRC32C_PROVEN)
    except TransientError as error:
        return CheckResult(_NAME, "warning", error.message)
    except BackupError:  # has no such checksum, in one way or another
        pass
    if store.settings.part_checksum == "crc32c":
        return CheckResult(
            _NAME, "warning", "CRC32C is not verified by this service: set “Checksum” to MD5"
        )
    return CheckResult(_NAME, "ok", "MD5; CRC32C is not confirmed by the service")


def _is_proven(store: S3Destination, key: str) -> bool:
    meta = meta_of(_DATA)
    upload = store.start_upload(key, meta, part_size=len(_DATA))
    try:
        if not _refuses_wrong(upload):
            return False
        part = part_of(_DATA)
        etag = upload.send(part)
        there = store.resume_upload(
            key, meta, upload_id=upload.id, part_size=part.size, parts=[upload.sent[1]]
        )
        if there is None or there.sent.get(1) != upload.sent[1] or not there.sent[1].crc32c:
            return False
        upload.finish(Digest(part.size, part.md5.hex(), part.sha256.hex()))
        return etag == part.md5.hex()
    finally:
        upload.abort()


def _refuses_wrong(upload: S3Upload) -> bool:
    wrong, other = part_of(_DATA), Crc32c()
    other.update(b"other")
    wrong.known_crc32c = other.digest()
    try:
        upload.send(wrong)
    except TransientError:
        raise
    except BackupError:
        return True
    return False
