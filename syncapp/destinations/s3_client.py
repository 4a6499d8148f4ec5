"""boto3 set up for stores that are not only Amazon's, and the body of a request.

Three of boto3's defaults do not hold elsewhere: its CRC trailer (over https only: 411 or 501 from
other stores, or chunk marks stored as data), a round trip for `Expect: 100-continue` with every
small object, and reading each body twice to sign it over plain http. See also
docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING, Any, cast

import boto3
from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from syncapp.destinations.s3_body import SMALL_BYTES, PartBody, in_memory
from syncapp.destinations.s3_settings import Connection
from syncapp.types import JsonObject, Part

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

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


class KnownPayloadAuth(S3SigV4Auth):
    """Signature V4 that takes the body's SHA-256 from the part instead of reading it again.

    Signed over https too, so that the store itself refuses a body that changed on its way.
    """

    def payload(self, request: Any) -> str:
        known: str = getattr(request.body, "sha256_hex", "")
        return known or str(super().payload(request))


AUTH_TYPE_MAPS[_KNOWN_PAYLOAD] = KnownPayloadAuth


@contextmanager
def body_of(part: Part) -> Iterator[bytes | IO[bytes]]:
    """Small parts as bytes: one packet with the headers and no `Expect` round trip."""
    data = in_memory(part) if part.size <= SMALL_BYTES else None
    if data is not None:
        yield data
        return
    with PartBody(part) as body:
        yield cast("IO[bytes]", body)


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


def keys_of_role() -> tuple[str, str, str]:
    """Access key, secret and session token that this server's role has at the moment."""
    found = _session().get_credentials()
    if found is None:
        raise NoCredentialsError
    keys = found.get_frozen_credentials()
    return keys.access_key or "", keys.secret_key or "", keys.token or ""


def _known_payload(**_: object) -> str:
    return _KNOWN_PAYLOAD
