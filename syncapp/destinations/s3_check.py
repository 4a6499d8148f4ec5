"""The real test of a bucket: first what stands in the way, then a backup in small, then its setup.

Each line says what to do. Leaves nothing behind, also where the bucket keeps versions: what a
plain delete would only hide is removed by its version id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from syncapp.destinations.endpoint import check_resolved
from syncapp.destinations.probe import Probe, attempt, meta_of, part_of
from syncapp.destinations.s3_crc32c import check_crc32c
from syncapp.destinations.s3_objects import base64_of
from syncapp.errors import BackupError, ConfigurationError
from syncapp.types import CheckResult

if TYPE_CHECKING:
    from syncapp.destinations.s3 import S3Destination

_MAX_SKEW_S = 60
_BLOCK = "Public access to the bucket is not fully blocked: block it in its settings."


def check_bucket(store: S3Destination) -> list[CheckResult]:
    """Every line, in the order in which a person would mend things."""
    lines = [attempt("connect", lambda: _connect(store))]
    if lines[0].level == "error":
        return lines
    probe = Probe(store)
    try:
        lines += _over_boto3(store, list(probe.run()))
        if lines[1].level == "ok":
            lines += [_checksum(store, probe), check_crc32c(store, probe.folder)]
            lines += [_storage_class(store, probe), _sse(store, probe)]
    finally:
        probe.clean()
        lines.append(_clean_versions(store, probe.folder))
    lines += [_clock(store), _versions(store), _public(store)]
    return lines


def _connect(store: S3Destination) -> str:
    connection = store.settings.connection
    check_resolved(connection.endpoint, allow_private=store.settings.allow_private)
    with store.errors.translated():
        # Not HeadBucket: its answer has no body that would say why it refuses.
        store.client.list_objects_v2(Bucket=store.bucket, MaxKeys=1, Prefix=store.full(""))
    return f"{store.settings.provider.label}, {store.settings.host}"


def _over_boto3(store: S3Destination, lines: list[CheckResult]) -> list[CheckResult]:
    """The probe's lines; of those that failed, whether the other way to send would do."""
    failed = {line.name for line in lines if line.level == "error"}
    if not failed or store.settings.data_plane == "boto3":
        return lines
    twin = type(store)(replace(store.settings, data_plane="boto3"))
    probe = Probe(twin)
    try:
        works = {line.name for line in probe.run() if line.level == "ok"}
    finally:
        probe.clean()
    hint = " Over boto3 it works: set “Sending” to boto3 (--set data_plane=boto3)."
    return [
        replace(line, message=line.message + hint) if line.name in failed & works else line
        for line in lines
    ]


def _checksum(store: S3Destination, probe: Probe) -> CheckResult:
    """Whether SHA-256 is verified: a right one must be reported back, a wrong one refused."""
    part, other = part_of(b"checksum"), part_of(b"other")
    request: dict[str, Any] = {
        "ChecksumAlgorithm": "SHA256",
        "Bucket": store.bucket,
        "Key": store.full(f"{probe.folder}/checksum.bin"),
    }
    try:
        with store.errors.translated():
            answer = store.client.put_object(
                **request, Body=b"checksum", ChecksumSHA256=base64_of(part.sha256)
            )
        kept = answer.get("ChecksumSHA256") == base64_of(part.sha256)
    except BackupError:
        kept = False
    refused = kept and _refuses(store, request, base64_of(other.sha256))
    if refused:
        return CheckResult("checksum", "ok", "MD5 and SHA-256 are confirmed by the service")
    if store.with_sha256:
        return CheckResult(
            "checksum", "warning", "SHA-256 is not verified by this service: choose MD5"
        )
    return CheckResult("checksum", "ok", "MD5 is confirmed by the service, SHA-256 is not")


def _refuses(store: S3Destination, request: dict[str, Any], wrong: str) -> bool:
    try:
        with store.errors.translated():
            store.client.put_object(**request, Body=b"checksum", ChecksumSHA256=wrong)
    except BackupError:
        return True
    return False


def _storage_class(store: S3Destination, probe: Probe) -> CheckResult:
    wanted = store.settings.storage_class
    if not wanted:
        return CheckResult("storage class", "ok", "the service's default")
    return _setting(store, probe, "StorageClass", "storage class", wanted)


def _sse(store: S3Destination, probe: Probe) -> CheckResult:
    wanted = store.settings.sse
    if not wanted:
        return CheckResult("encryption", "ok", "as the bucket does")
    return _setting(store, probe, "ServerSideEncryption", "encryption", wanted)


def _setting(store: S3Destination, probe: Probe, name: str, label: str, wanted: str) -> CheckResult:
    """Whether an object really got what was asked for, and did not just ignore it."""
    key = f"{probe.folder}/setting.bin"
    data = part_of(b"setting")
    try:
        store.put(key, data, meta_of(b"setting"))
        found = store.head_answer(key).get(name, "STANDARD" if name == "StorageClass" else "none")
    except BackupError as error:
        return CheckResult(label, "error", error.message)
    if found != wanted:
        return CheckResult(label, "warning", f"asked for {wanted}, the service gave {found}")
    return CheckResult(label, "ok", wanted)


def _clean_versions(store: S3Destination, folder: str) -> CheckResult:
    def clean() -> str:
        with store.errors.translated(folder):
            for found in _versions_below(store, store.full(folder)):
                store.client.delete_object(Bucket=store.bucket, **found)
        left = [info.key for info in store.objects(folder)]
        if left:
            raise ConfigurationError(f"Left behind in the bucket “{store.bucket}”: {left}.")
        return ""

    return attempt("clean up", clean)


def _versions_below(store: S3Destination, prefix: str) -> Iterator[dict[str, Any]]:
    if not store.keeps_versions:
        for info in store.objects(prefix.removeprefix(store.full(""))):
            yield {"Key": store.full(info.key)}
        return
    pages = store.client.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=store.bucket, Prefix=prefix):
        for found in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            yield {"Key": found["Key"], "VersionId": found["VersionId"]}


def _clock(store: S3Destination) -> CheckResult:
    try:
        with store.errors.translated():
            answer = store.client.list_objects_v2(Bucket=store.bucket, MaxKeys=1)
        told = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (BackupError, KeyError, ValueError):
        return CheckResult("clock", "warning", "The service did not tell its time.")
    skew_s = abs((told - datetime.now(UTC)).total_seconds())
    if skew_s > _MAX_SKEW_S:
        return CheckResult(
            "clock", "warning", f"This server's clock differs by {skew_s:.0f} s: set it by NTP."
        )
    return CheckResult("clock", "ok")


def _versions(store: S3Destination) -> CheckResult:
    try:
        kept = store.keeps_versions
    except BackupError as error:
        return CheckResult("versions", "error", error.message)
    if kept:
        return CheckResult("versions", "ok", "the bucket keeps old versions")
    return CheckResult(
        "versions",
        "warning",
        "The bucket keeps no versions; old ones are kept as objects of their own. Turn versioning "
        "on where the service has it: it also protects from deletion by mistake.",
    )


def _public(store: S3Destination) -> CheckResult:
    try:
        answer = store.client.get_public_access_block(Bucket=store.bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NoSuchPublicAccessBlockConfiguration":
            return CheckResult("public access", "warning", _BLOCK)
        return CheckResult("public access", "ok", "the service does not tell")
    except BotoCoreError:
        return CheckResult("public access", "ok", "the service does not tell")
    blocks = answer.get("PublicAccessBlockConfiguration", {})
    if not blocks:
        return CheckResult("public access", "ok", "the service does not tell")
    if not all(blocks.values()):
        return CheckResult("public access", "warning", _BLOCK)
    return CheckResult("public access", "ok", "blocked")
