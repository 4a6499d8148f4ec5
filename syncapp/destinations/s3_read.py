"""Reading from a bucket: whole objects, stretches of them, and what lies in cold storage.

docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, API_RestoreObject.html. What is asked
for in one small piece goes over the lean wire, everything else streams through boto3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from syncapp.destinations.s3_wire import S3Wire
from syncapp.errors import PermanentError, Unavailable
from syncapp.wire import MAX_ANSWER_BYTES, TooLong

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import RestoreRequestTypeDef

    from syncapp.destinations.s3 import S3Destination

CHUNK_BYTES = 1024**2
_TIER: Final = "Standard"  # some hours; every service that has cold storage has it


@contextmanager
def read_object(
    bucket: S3Destination, key: str, request: dict[str, Any], start: int, end: int | None
) -> Iterator[Iterator[bytes]]:
    """The contract's `read`."""
    if end is not None and end <= start:
        yield iter(())
        return
    if start or end is not None:
        request["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    small = None
    if end is not None and end - start <= MAX_ANSWER_BYTES:
        small = _small(bucket, key, request, start)
    if small is not None:
        yield iter((small[: cast("int", end) - start],) if small else ())
        return
    try:
        with bucket.errors.translated(key):
            answer = bucket.client.get_object(**request)
    except PermanentError as error:
        if error.code != "behind_the_end":
            raise
        yield iter(())
        return
    body = answer["Body"]
    try:
        _check_start(bucket, key, answer, start)
        yield _chunks(bucket, key, body, answer["ContentLength"])
    finally:
        # Not read to its end, the connection is dropped rather than drained.
        body.close()


def thaw_object(bucket: S3Destination, key: str, request: dict[str, Any], days: int) -> None:
    """The contract's `thaw`."""
    wish: RestoreRequestTypeDef = {"GlacierJobParameters": {"Tier": _TIER}}
    # Intelligent-Tiering moves what was thawed by itself: there, a number of days is refused.
    if bucket.head_answer(key, request.get("VersionId", "")).get("ArchiveStatus") is None:
        wish["Days"] = days
    try:
        with bucket.errors.translated(key):
            bucket.client.restore_object(**request, RestoreRequest=wish)
    except PermanentError as error:
        # "archived" is what Amazon answers for an object that is not.
        if error.code not in ("thawing", "archived"):
            raise


def _small(bucket: S3Destination, key: str, request: dict[str, Any], start: int) -> bytes | None:
    """The bytes in one answer over the wire; None where that can't be had."""
    plane = bucket.plane
    if not isinstance(plane, S3Wire):
        return None
    try:
        with bucket.errors.translated(key):
            try:
                answer, body = plane.get_object(request)
            except TooLong:
                return None  # a store that answers a range with the whole object
    except PermanentError as error:
        if error.code == "behind_the_end":
            return b""
        raise
    _check_start(bucket, key, answer, start)
    return body


def _check_start(bucket: S3Destination, key: str, answer: Any, start: int) -> None:
    if start and not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
        raise PermanentError(
            f"The bucket “{bucket.bucket}” does not give a part of “{key}” alone.",
            code="not_supported",
        )


def _chunks(bucket: S3Destination, key: str, body: Any, size: int) -> Iterator[bytes]:
    got = 0
    with bucket.errors.translated(key):
        for chunk in body.iter_chunks(CHUNK_BYTES):
            got += len(chunk)
            yield chunk
    if got != size:
        raise Unavailable(
            f"“{key}” in the bucket “{bucket.bucket}” came with {got} of its {size} bytes."
        )
