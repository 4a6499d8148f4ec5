"""Removing objects of a bucket: hiding them, and taking their bytes away for good.

Where a bucket keeps versions, DeleteObject without a version only lays a delete marker on top
(docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectVersions.html). What Object Lock
protects is refused with the words of a missing permission, so the lock itself is asked about.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from syncapp.destinations.base import FOR_EVER
from syncapp.destinations.s3_list import list_versions
from syncapp.errors import BackupError, ConfigurationError, NotFound, ObjectLocked, PermanentError

if TYPE_CHECKING:
    from syncapp.destinations.s3 import S3Destination

_WITHOUT_ID = "null"  # S3's name of the version that a bucket without versioning writes


def remove(bucket: S3Destination, key: str, version_id: str) -> None:
    """The contract's `delete`."""
    try:
        with suppress(NotFound), bucket.errors.translated(key):
            bucket.client.delete_object(**bucket.one(key, version_id))
    except BackupError as error:
        until = _lock_behind(bucket, key, version_id, error)
        if until is None:
            raise
        word = (
            "until somebody ends it" if until == FOR_EVER else f"until {until:%Y-%m-%d %H:%M} UTC"
        )
        raise ObjectLocked(
            f"The bucket “{bucket.bucket}” protects “{key}” by an object lock {word}.", until=until
        ) from error


def purge(bucket: S3Destination, key: str, version_id: str) -> None:
    """The contract's `purge`."""
    if not bucket.has_versions:
        remove(bucket, key, version_id)
        return
    remove(bucket, key, version_id or _WITHOUT_ID)
    for marker in _markers_alone(bucket, key):
        remove(bucket, key, marker)


def has_locks(bucket: S3Destination) -> bool:
    """The contract's `locks`. Where that may not be asked, there may be some."""
    try:
        with bucket.errors.translated():
            found = bucket.client.get_object_lock_configuration(Bucket=bucket.bucket)
    except PermanentError:
        return False  # no lock, or a store that has none
    except ConfigurationError as error:
        if error.code != "access_denied":
            raise
        return True
    return found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"


def locked_until(bucket: S3Destination, key: str, version_id: str) -> datetime | None:
    """The contract's `locked_until`."""
    now = datetime.now(UTC)
    try:
        with bucket.errors.translated(key):
            about = bucket.client.head_object(**bucket.one(key, version_id))
    except NotFound:
        return None
    if about.get("ObjectLockLegalHoldStatus") == "ON":
        return FOR_EVER
    until = about.get("ObjectLockRetainUntilDate")
    return until.astimezone(UTC) if until is not None and until > now else None


def _lock_behind(
    bucket: S3Destination, key: str, version_id: str, refusal: BackupError
) -> datetime | None:
    """The end of the lock that made the store refuse a removal, None if that was no lock's doing:
    a marker, for example, has none."""
    if refusal.code not in ("access_denied", "locked"):
        return None
    try:
        return locked_until(bucket, key, version_id)
    except (ConfigurationError, PermanentError):
        return None  # not to be asked about either: the refusal itself says what to do


def _markers_alone(bucket: S3Destination, key: str) -> list[str]:
    """The ids of the delete markers of a key that has nothing else; [] if it has."""
    markers = []
    for info in list_versions(bucket, key):
        if info.key == key and not info.marker:
            return []
        if info.key == key:
            markers.append(info.version_id or _WITHOUT_ID)
        elif not info.marker:
            break  # of a page, the markers come first; keys are in order
    return markers
