"""How an object is told to an S3 store, and how its answer becomes an ObjectInfo.

Metadata follows rclone (`mtime`, `md5chksum`: rclone.org/s3/#modification-times-and-hashes), so
that other tools show true times. Pure: no network.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from syncapp.types import ObjectInfo, ObjectMeta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}")
_HARMLESS = re.compile(r"[A-Za-z0-9_-]*")
_ARCHIVES = frozenset(["GLACIER", "DEEP_ARCHIVE"])  # GLACIER_IR is read at once
_OF_PARTS = re.compile(r"[0-9a-f]{32}-\d+")
# Printable ASCII without "%": what S3 takes in a header and gives back unchanged.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


def base64_of(digest: bytes) -> str:
    """A raw digest as S3 headers have it."""
    return base64.b64encode(digest).decode()


def float_seconds(moment: datetime) -> str:
    """Seconds since 1970 as rclone writes them: exact, without trailing zeros."""
    since = moment - _EPOCH
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    sign = "-" if microseconds < 0 else ""
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    return f"{sign}{seconds}.{rest:06}".rstrip("0").removesuffix(".")


def metadata_of(meta: ObjectMeta, *, with_md5: bool) -> dict[str, str]:
    """What is kept with an object. `with_md5` where its ETag will not be its MD5."""
    kept = {
        "mtime": float_seconds(meta.mtime),
        "sha256": meta.sha256 or "",
        "md5chksum": base64_of(bytes.fromhex(meta.md5)) if meta.md5 and with_md5 else "",
        "remote-id": _plain(meta.remote_id),
    }
    return {name: value for name, value in kept.items() if value}


def _plain(text: str) -> str:
    """Text as a header can hold it; nearly every id of Google's is so already."""
    return text if _HARMLESS.fullmatch(text) else quote(text, safe=_SAFE)


def info_of(key: str, answer: Mapping[str, Any], *, etag_is_md5: bool) -> ObjectInfo:
    """An answer of HeadObject or GetObject. Some stores return metadata names in Title-Case."""
    kept = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
    if "remote-id" in kept:
        kept["remote-id"] = unquote(kept["remote-id"])
    etag = etag_of(answer)
    return ObjectInfo(
        key=key,
        size=int(answer["ContentLength"]),
        etag=etag,
        md5=plain_md5(answer) if etag_is_md5 else None,
        sha256=plain_sha256(answer),
        version_id=version_of(answer),
        modified_at=answer.get("LastModified"),
        metadata=kept,
        storage_class=answer.get("StorageClass", ""),
        frozen=is_frozen(answer),
    )


def is_frozen(answer: Mapping[str, Any]) -> bool:
    """Whether the object must be thawed before it can be read, or is being thawed."""
    archived = answer.get("StorageClass") in _ARCHIVES or bool(answer.get("ArchiveStatus"))
    return archived and 'ongoing-request="false"' not in str(answer.get("Restore", ""))


def etag_of(answer: Mapping[str, Any]) -> str:
    """The ETag without its quotes."""
    return str(answer.get("ETag", "")).strip('"')


def version_of(answer: Mapping[str, Any]) -> str:
    """The version's id; stores without versions say nothing, or "null"."""
    version = answer.get("VersionId", "")
    return "" if version == "null" else version


def plain_md5(answer: Mapping[str, Any]) -> str | None:
    """The MD5 that the ETag is: not of parts, not of bytes encrypted with a KMS key."""
    etag = etag_of(answer)
    return etag if _PLAIN_MD5.fullmatch(etag) and not is_kms(answer) else None


def is_kms(answer: Mapping[str, Any]) -> bool:
    """Whether the object is encrypted so that its ETag says nothing about its bytes."""
    return str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")


def is_composite(etag: str) -> bool:
    """Whether an ETag has the form of an object sent in parts."""
    return bool(_OF_PARTS.fullmatch(etag))


def md5_told(answer: Mapping[str, Any]) -> bytes:
    """`plain_md5` raw, b"" if there is none."""
    return bytes.fromhex(plain_md5(answer) or "")


def plain_sha256(answer: Mapping[str, Any]) -> str | None:
    """The whole object's SHA-256 where the store computed it ("…-2" would be one of parts)."""
    checksum = str(answer.get("ChecksumSHA256", ""))
    if not checksum or "-" in checksum or answer.get("ChecksumType") == "COMPOSITE":
        return None
    return base64.b64decode(checksum).hex()
