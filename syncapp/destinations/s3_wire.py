"""The lean way to send objects and parts to a bucket: our signature, libcurl's connections.

Same calls, same words as boto3's (a request and an answer are what boto3 would take and give), so
that one stands in for the other: docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html,
API_UploadPart.html, API_HeadObject.html. Makes each request once; the engine tries again.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import certifi

from syncapp.destinations.endpoint import check_address
from syncapp.destinations.s3_body import SMALL_BYTES, PartBody, in_memory
from syncapp.destinations.s3_errors import S3Errors
from syncapp.destinations.s3_settings import Connection
from syncapp.destinations.s3_sign import Signer, amz_date, canonical_query, encoded_path
from syncapp.types import JsonObject, Part
from syncapp.wire import Answer, Body, Wire

_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of b""
_META = "x-amz-meta-"
_CODE = re.compile(rb"<Code>\s*([\w.-]{1,100})\s*</Code>")
_PLAIN_VALUE = re.compile(r"[\x20-\x7e]+")
_PORTS = {"http": 80, "https": 443}
_SENT = {
    "ContentType": "content-type",
    "ContentMD5": "content-md5",
    "StorageClass": "x-amz-storage-class",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "ChecksumAlgorithm": "x-amz-sdk-checksum-algorithm",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "ChecksumCRC32C": "x-amz-checksum-crc32c",
    "ChecksumMode": "x-amz-checksum-mode",
    "Range": "range",
}
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_ASKED = {"UploadId": "uploadId", "PartNumber": "partNumber", "VersionId": "versionId"}
_TOLD = {
    "etag": "ETag",
    "content-type": "ContentType",
    "x-amz-version-id": "VersionId",
    "x-amz-checksum-sha256": "ChecksumSHA256",
    "x-amz-checksum-crc32c": "ChecksumCRC32C",
    "x-amz-checksum-type": "ChecksumType",
    "x-amz-storage-class": "StorageClass",
    "x-amz-archive-status": "ArchiveStatus",
    "x-amz-restore": "Restore",
    "content-range": "ContentRange",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
}
Keys = tuple[str, str, str]


class S3Wire:
    """One bucket's data plane; shared by threads."""

    def __init__(
        self, bucket: str, connection: Connection, errors: S3Errors, *, allow_private: bool
    ) -> None:
        """Makes no request."""
        self._url = bucket_url(connection, bucket)
        self._errors = errors
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        self._path = parts.path
        self._host = parts.netloc.removesuffix(f":{_PORTS[parts.scheme]}")
        self._connection = connection
        self._signing = (("", "", ""), Signer("", "", ""))
        self._wire = Wire(
            # As boto3 looks for them.
            authorities=os.environ.get("AWS_CA_BUNDLE") or certifi.where(),
            permit=lambda address: check_address(address, host, allow_private=allow_private),
        )

    def put_object(self, request: JsonObject, part: Part) -> JsonObject:
        """PutObject of a part. Raises what a refusal means, WireError where no answer came."""
        return self._send(request, part)

    def upload_part(self, request: JsonObject, part: Part) -> JsonObject:
        """UploadPart."""
        return self._send(request, part)

    def head_object(self, request: JsonObject) -> JsonObject:
        """HeadObject."""
        answer = self._exchange("HEAD", request, None, _NOTHING)
        told = _told(answer)
        told["ContentLength"] = int(answer.headers.get("content-length", "0"))
        told["Metadata"] = {
            name.removeprefix(_META): value
            for name, value in answer.headers.items()
            if name.startswith(_META)
        }
        if "last-modified" in answer.headers:
            told["LastModified"] = parsedate_to_datetime(answer.headers["last-modified"])
        return told

    def get_object(self, request: JsonObject) -> tuple[JsonObject, bytes]:
        """GetObject of something small, its body in memory. TooLong if it is more than 1 MiB."""
        answer = self._exchange("GET", request, None, _NOTHING)
        return _told(answer), answer.body

    def _send(self, request: JsonObject, part: Part) -> JsonObject:
        data, payload = in_memory(part), self._payload(request, part)
        if data is not None:
            return _told(self._exchange("PUT", request, data, payload))
        with PartBody(part) as body:
            return _told(self._exchange("PUT", request, body, payload))

    def _payload(self, request: JsonObject, part: Part) -> str:
        """What stands for the body in the signature.

        Over TLS a big part is vouched for by its MD5 or CRC32C alone, which is signed, checked by
        the store and told back: a second hash costs as much as sending it.
        """
        vouched = "ContentMD5" in request or "ChecksumCRC32C" in request
        over_tls = self._url.startswith("https:")
        if vouched and over_tls and part.size > SMALL_BYTES and not part.known_sha256:
            return "UNSIGNED-PAYLOAD"
        return part.sha256.hex()

    def _exchange(
        self, method: str, request: JsonObject, body: bytes | Body | None, sha256: str
    ) -> Answer:
        key = encoded_path(request["Key"])
        query = {to: str(request[name]) for name, to in _ASKED.items() if name in request}
        headers = self._headers(request, sha256)
        signer = self._signer(headers)
        authorization = signer.sign(method, f"{self._path}/{key}", query, headers)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        # What libcurl would add by itself, unsigned, is taken away by a name without a value.
        lines += [f"authorization: {authorization}", "Expect:", "Accept:"]
        if "content-type" not in headers:
            lines.append("Content-Type:")
        asked = f"?{canonical_query(query)}" if query else ""
        answer = self._wire.request(method, f"{self._url}/{key}{asked}", lines, body)
        if not 200 <= answer.status < 300:
            raise self._refusal(answer, request["Key"])
        return answer

    def _headers(self, request: JsonObject, sha256: str) -> dict[str, str]:
        """All that is signed, but for a session's token."""
        headers = {
            "host": self._host,
            "x-amz-content-sha256": sha256,
            "x-amz-date": amz_date(int(time.time())),
        }
        for name, value in request.items():
            if name in _SENT:
                headers[_SENT[name]] = value
        for name, value in request.get("Metadata", {}).items():
            headers[_META + name] = value
        if not _PLAIN_VALUE.fullmatch(headers.get("content-type", "-")):
            headers["content-type"] = "application/octet-stream"
        return headers

    def _signer(self, headers: dict[str, str]) -> Signer:
        """The one for the keys of this moment; adds their session's token to `headers`."""
        keys = _keys_of(self._connection)
        known, signer = self._signing
        if known != keys:
            signer = Signer(keys[0], keys[1], self._connection.region or "us-east-1")
            self._signing = (keys, signer)
        if keys[2]:
            headers["x-amz-security-token"] = keys[2]
        return signer

    def _refusal(self, answer: Answer, full_key: str) -> Exception:
        found = _CODE.search(answer.body)
        code = found[1].decode() if found else str(answer.status)
        return self._errors.of_code(code, answer.status, answer.headers, full_key)


def _told(answer: Answer) -> JsonObject:
    return {ours: answer.headers[name] for name, ours in _TOLD.items() if name in answer.headers}


def bucket_url(connection: Connection, bucket: str) -> str:
    """Where the bucket's objects are, without a slash at the end: as boto3 decides it."""
    parts = urlsplit(connection.endpoint)
    labels = bucket.split(".") if parts.scheme == "http" else [bucket]
    in_host = all(map(_LABEL.fullmatch, labels)) and not (
        _IPV4.fullmatch(bucket) or _is_address(parts.hostname or "")
    )
    if connection.path_style or not in_host:
        return f"{connection.endpoint}/{bucket}"
    return f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _keys_of(connection: Connection) -> Keys:
    """Access key, secret and session token as they are now; a server's role renews its own."""
    if connection.access_key_id:
        return connection.access_key_id, connection.secret_access_key, ""
    from syncapp.destinations.s3_client import keys_of_role  # only these need boto3

    return keys_of_role()
