"""The ways to PUT an object that `bench.data_plane` holds against each other.

Each gets the store's address and the file of its authority and gives a function that puts bytes
under a key and raises if the store refuses. Digests are known beforehand, as in the engine.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pycurl
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from syncapp.destinations.s3 import S3Destination
from syncapp.types import ObjectMeta, Part

KEY, SECRET, REGION, BUCKET = "AKIAEXAMPLE", "secret-0123456789", "us-east-1", "bench"
Put = Callable[[str, bytes], None]


def headers_of(data: bytes, sha256: str, md5: str) -> dict[str, str]:
    return {
        "Content-MD5": md5,
        "Content-Type": "application/octet-stream",
        "x-amz-content-sha256": sha256,
        "x-amz-meta-mtime": "1354068505.123456",
        "x-amz-meta-sha256": sha256,
        "x-amz-meta-remote-id": "1AbC-id_9-0123456789",
    }


def by_boto3(url: str, authority: str) -> Put:
    """The product's adapter over boto3."""
    return _adapter(url, "boto3")


def by_product(url: str, authority: str) -> Put:
    """The product's adapter, as it is: the lean signer and pycurl."""
    return _adapter(url, "lean")


def _adapter(url: str, plane: str) -> Put:
    settings = {"provider": "other", "endpoint": url, "bucket": BUCKET, "data_plane": plane}
    secrets = {"access_key_id": KEY, "secret_access_key": SECRET}
    store = S3Destination.create({**settings, "_allow_private": "1"}, secrets)
    store.confirm = lambda *_: None  # type: ignore[method-assign]  # the sink's ETag is made up
    meta = ObjectMeta(datetime(2012, 11, 28, tzinfo=UTC), "1AbC-id_9-0123456789")
    known: list[Part] = []

    def put(key: str, data: bytes) -> None:
        if not known:
            md5, sha256 = hashlib.md5(data).digest(), hashlib.sha256(data).digest()
            known.append(Part.of(1, data, md5, sha256))
        store.put(key, known[0], meta)

    return put


def by_obstore(url: str, authority: str) -> Put:
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=url,
        region=REGION,
        access_key_id=KEY,
        secret_access_key=SECRET,
        virtual_hosted_style_request=False,
        client_options={"allow_invalid_certificates": True},
        retry_config={"max_retries": 0},
    )

    def put(key: str, data: bytes) -> None:
        store.put(key, data, use_multipart=False)

    return put


def by_botocore_urllib3(url: str, authority: str) -> Put:
    class Known(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return str(request.headers["x-amz-content-sha256"])

    auth = Known(Credentials(KEY, SECRET), "s3", REGION)
    pool = urllib3.PoolManager(maxsize=64, ca_certs=authority)

    def put(key: str, data: bytes) -> None:
        sha, md5 = digests(data)
        request = AWSRequest("PUT", f"{url}/{BUCKET}/{key}", headers_of(data, sha, md5), data)
        auth.add_auth(request)
        answer = pool.request(
            "PUT", request.url, body=data, headers=dict(request.headers), retries=False
        )
        expect(answer.status)

    return put


def by_lean_urllib3(url: str, authority: str) -> Put:
    sign = signer(url)
    pool = urllib3.PoolManager(maxsize=64, ca_certs=authority)

    def put(key: str, data: bytes) -> None:
        path, headers = sign(key, data)
        answer = pool.request("PUT", url + path, body=data, headers=headers, retries=False)
        expect(answer.status)

    return put


def by_lean_http_client(url: str, authority: str) -> Put:
    sign = signer(url)
    context = ssl.create_default_context(cafile=authority)
    local = threading.local()
    host = url.removeprefix("https://")

    def put(key: str, data: bytes) -> None:
        path, headers = sign(key, data)
        connection = getattr(local, "connection", None)
        if connection is None:
            connection = local.connection = http.client.HTTPSConnection(host, context=context)
        connection.request("PUT", path, body=data, headers=headers)
        answer = connection.getresponse()
        answer.read()
        expect(answer.status)

    return put


def by_lean_socket(url: str, authority: str) -> Put:
    """The bare floor of what Python's ssl costs: one send, one receive, no checks."""
    sign = signer(url)
    context = ssl.create_default_context(cafile=authority)
    local = threading.local()
    host, port = url.removeprefix("https://").split(":")

    def put(key: str, data: bytes) -> None:
        path, headers = sign(key, data)
        sock = getattr(local, "sock", None)
        if sock is None:
            plain = socket.create_connection((host, int(port)))
            sock = local.sock = context.wrap_socket(plain, server_hostname=host)
        head = f"PUT {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(data)}\r\n"
        head += "".join([f"{k}: {v}\r\n" for k, v in headers.items()]) + "\r\n"
        if len(data) <= 65536:
            sock.sendall(head.encode() + data)
        else:
            sock.sendall(head.encode())
            sock.sendall(data)
        got = b""
        while b"\r\n\r\n" not in got:
            got += sock.recv(65536)
        lines = got.split(b"\r\n")
        expect(int(lines[0].split(b" ", 2)[1]))
        told = [int(x[15:]) for x in lines if x.lower().startswith(b"content-length:")]
        length = told[0] if told else 0
        rest = length - len(got.partition(b"\r\n\r\n")[2])
        while rest > 0:
            rest -= len(sock.recv(rest))

    return put


def by_lean_pycurl(url: str, authority: str) -> Put:
    sign = signer(url)
    local = threading.local()

    def new() -> Any:
        curl = pycurl.Curl()
        curl.setopt(pycurl.CAINFO, authority)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.CUSTOMREQUEST, "PUT")
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, 10000)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        curl.setopt(pycurl.LOW_SPEED_TIME, 60)
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, 512 * 1024)
        local.head, local.body = [], []
        curl.setopt(pycurl.HEADERFUNCTION, local.head.append)
        curl.setopt(pycurl.WRITEFUNCTION, local.body.append)
        return curl

    def put(key: str, data: bytes) -> None:
        path, headers = sign(key, data)
        curl = getattr(local, "curl", None)
        if curl is None:
            curl = local.curl = new()
        local.head.clear()
        curl.setopt(pycurl.URL, url + path)
        curl.setopt(pycurl.HTTPHEADER, [f"{k}: {v}" for k, v in headers.items()] + ["Expect:"])
        curl.setopt(pycurl.POSTFIELDS, data)
        curl.perform()
        expect(curl.getinfo(pycurl.RESPONSE_CODE))

    return put


WAYS: dict[str, Callable[[str, str], Put]] = {
    "the adapter over boto3": by_boto3,
    "obstore": by_obstore,
    "botocore signer + urllib3": by_botocore_urllib3,
    "lean signer + urllib3": by_lean_urllib3,
    "lean signer + http.client": by_lean_http_client,
    "lean signer + pycurl": by_lean_pycurl,
    "lean signer + bare socket": by_lean_socket,
    "the adapter over its lean plane": by_product,
}

_known: dict[int, tuple[str, str]] = {}


def digests(data: bytes) -> tuple[str, str]:
    """Known beforehand, as in the engine: not part of what is measured."""
    found = _known.get(id(data))
    if found is None:
        md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
        found = _known[id(data)] = hashlib.sha256(data).hexdigest(), md5
    return found


def expect(status: int) -> None:
    if status not in (200, 201, 204):
        raise RuntimeError(f"answered {status}")


def signer(url: str) -> Callable[[str, bytes], tuple[str, dict[str, str]]]:
    host = url.removeprefix("https://")
    days: dict[str, bytes] = {}

    def day_key(day: str) -> bytes:
        key = ("AWS4" + SECRET).encode()
        for word in (day, REGION, "s3", "aws4_request"):
            key = hmac.digest(key, word.encode(), "sha256")
        return key

    def sign(key: str, data: bytes) -> tuple[str, dict[str, str]]:
        sha, md5 = digests(data)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        day = now[:8]
        signing = days.get(day)
        if signing is None:
            signing = days[day] = day_key(day)
        headers = headers_of(data, sha, md5)
        headers["x-amz-date"] = now
        lower = {k.lower(): v for k, v in headers.items()}
        lower["host"] = host
        names = sorted(lower)
        path = f"/{BUCKET}/{quote(key, safe='/~')}"
        signed = ";".join(names)
        canonical = (
            f"PUT\n{path}\n\n"
            + "".join([f"{n}:{lower[n]}\n" for n in names])
            + f"\n{signed}\n{sha}"
        )
        scope = f"{day}/{REGION}/s3/aws4_request"
        text = (
            f"AWS4-HMAC-SHA256\n{now}\n{scope}\n" + hashlib.sha256(canonical.encode()).hexdigest()
        )
        mark = hmac.digest(signing, text.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={signed}, Signature={mark}"
        )
        return path, headers

    return sign
