"""boto3 set up for stores that are not only Amazon's, and the body of a request.

Three of boto3's defaults do not hold elsewhere: its CRC trailer (over https only: 411 or 501 from
other stores, or chunk marks stored as data), a round trip for `Expect: 100-continue` with every
small object, and reading each body twice to sign it over plain http. See also
docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import IO, TYPE_CHECKING, Any, cast

import boto3
from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from syncapp.errors import IntegrityError
from syncapp.types import JsonObject, Part

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SMALL_BYTES = 1024**2
_KNOWN_PAYLOAD = "s3v4-known-payload"
_CONFIG = {
    "signature_version": "s3v4",
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
    "connect_timeout": 10,
    # Long enough for a store to assemble a big object or to copy 5 GB.
    "read_timeout": 120,
    "retries": {"mode": "standard", "total_max_attempts": 3},
    "max_pool_connections": 64,
    "tcp_keepalive": True,
    # Environment variables and profiles of the server must not redirect a person's bucket.
    "ignore_configured_endpoint_urls": True,
}
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a bucket is and with which keys; `repr` shows neither."""

    endpoint: str
    region: str
    path_style: bool
    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"Connection({self.endpoint!r}, {self.region!r})"


class KnownPayloadAuth(S3SigV4Auth):
    """Signature V4 that takes the body's SHA-256 from the part instead of reading it again.

    Signed over https too, so that the store itself refuses a body that changed on its way.
    """

    def payload(self, request: Any) -> str:
        known: str = getattr(request.body, "sha256_hex", "")
        return known or str(super().payload(request))


AUTH_TYPE_MAPS[_KNOWN_PAYLOAD] = KnownPayloadAuth


class PartBody(io.RawIOBase):
    """A part as the body of a request: read from its source, never held here a second time.

    Raises IntegrityError into the HTTP client if the part is shorter than it says, so that no
    store waits for the rest; what is beyond its size is not sent but told too.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._reader = part.open()
        self._position = 0
        self.sha256_hex = part.sha256.hex()

    def __len__(self) -> int:
        return self._part.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._part.size}[whence]
        if base + offset != self._position:
            self._reader.close()
            self._reader = self._part.open()
            self._position = self._reader.seek(base + offset)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        left = self._part.size - self._position
        data = self._reader.read(left if size < 0 else min(size, left))
        self._position += len(data)
        if left and not data and size:
            raise wrong_length(self._part)
        if left and len(data) == left and self._reader.read(1):
            raise wrong_length(self._part)
        return data

    def close(self) -> None:
        self._reader.close()
        super().close()


@contextmanager
def body_of(part: Part) -> Iterator[bytes | IO[bytes]]:
    """Small parts as bytes: one packet with the headers and no `Expect` round trip."""
    if part.size > SMALL_BYTES:
        with PartBody(part) as body:
            yield cast("IO[bytes]", body)
        return
    with part.open() as reader:
        data = reader.read(part.size + 1)
    if len(data) != part.size:
        raise wrong_length(part)
    yield data


def wrong_length(part: Part) -> IntegrityError:
    return IntegrityError(f"Part {part.number} does not have the {part.size} bytes it should have.")


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


def make_client(connection: Connection) -> S3Client:
    """A client of its own for a destination; safe for many threads (making one is not)."""
    style = "path" if connection.path_style else "virtual"
    config = Config(**_CONFIG, s3={"addressing_style": style})  # type: ignore[arg-type]
    with _making:
        client: S3Client = _session().client(
            "s3",
            region_name=connection.region or "us-east-1",
            endpoint_url=connection.endpoint or None,
            aws_access_key_id=connection.access_key_id or None,
            aws_secret_access_key=connection.secret_access_key or None,
            config=config,
        )
    events = client.meta.events
    for call in ("PutObject", "UploadPart"):
        # botocore takes the answer of this event for the signer's name; its stubs do not know.
        events.register(f"choose-signer.s3.{call}", cast("Any", _known_payload))
    return client


class S3Boto:
    """boto3 as the data plane, for services that have trouble with the lean one (s3_wire.py)."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def put_object(self, request: JsonObject, part: Part) -> JsonObject:
        """PutObject of a part."""
        with body_of(part) as body:
            return dict(self._client.put_object(**request, ContentLength=part.size, Body=body))

    def upload_part(self, request: JsonObject, part: Part) -> JsonObject:
        """UploadPart."""
        with body_of(part) as body:
            return dict(self._client.upload_part(**request, ContentLength=part.size, Body=body))

    def head_object(self, request: JsonObject) -> JsonObject:
        """HeadObject."""
        return dict(self._client.head_object(**request))


def keys_of(connection: Connection) -> tuple[str, str, str]:
    """Access key, secret and session token as they are now; a server's role renews its own."""
    if connection.access_key_id:
        return connection.access_key_id, connection.secret_access_key, ""
    found = _session().get_credentials()
    if found is None:
        raise NoCredentialsError
    keys = found.get_frozen_credentials()
    return keys.access_key or "", keys.secret_key or "", keys.token or ""


def bucket_url(client: S3Client, bucket: str) -> str:
    """Where the bucket's objects are, without a slash at the end; boto3 knows every style."""
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    return url.partition("?")[0].removesuffix("/k")


def _known_payload(**_: object) -> str:
    return _KNOWN_PAYLOAD
