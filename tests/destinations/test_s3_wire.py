"""The lean data plane says to a store what boto3 says; its answers mean what boto3's mean."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncapp.destinations import s3
from syncapp.destinations.s3 import S3Destination
from syncapp.destinations.s3_client import make_client
from syncapp.destinations.s3_settings import Connection
from syncapp.destinations.s3_wire import bucket_url
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    NotFound,
    PermanentError,
    RateLimited,
    TransientError,
    Unavailable,
)
from syncapp.types import ObjectMeta, Part
from tests.destinations.conftest import s3_store
from tests.destinations.samples import HOSTILE_NAMES, MIB, MTIME, digest_of, meta_of, part_of, put
from tests.destinations.test_s3_errors import REFUSALS
from tests.servers import certificates
from tests.servers.raw_http import Play, RawServer, answering, raw_server, reply

FIVE = 5 * MIB
XML = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>no</Message><Key>k</Key></Error>"


def info_of(server: RawServer, scheme: str = "http") -> dict[str, str]:
    return {
        "endpoint": f"{scheme}://{server.host}",
        "bucket": "my-bucket",
        "access_key": "AKIAEXAMPLE",
        "secret_key": "very-secret-word",
    }


@contextmanager
def store_on(play: Play, **changes: str) -> Iterator[tuple[S3Destination, RawServer]]:
    with raw_server(play) as server:
        yield s3_store(info_of(server), "other", **changes), server


def stored(data: bytes, **headers: str) -> bytes:
    """What a store answers to a put."""
    return reply("200 OK", ETag=f'"{hashlib.md5(data).hexdigest()}"', **headers)


def head_of(request: bytes) -> tuple[str, dict[str, str]]:
    """The first line and the headers of a request."""
    first, *lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return first, {name.lower(): value for name, _, value in pairs}


def signed_names(headers: dict[str, str]) -> set[str]:
    part = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    return set(part.split(";"))


@pytest.mark.parametrize("checksum", ["md5", "sha256"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_put_says_what_boto3_says(name: str, checksum: str) -> None:
    said = []
    for plane in ("lean", "boto3"):
        wishes = {"storage_class": "STANDARD_IA", "sse": "AES256", "prefix": "p"}
        with store_on(
            answering(stored(b"hello")), data_plane=plane, checksum=checksum, **wishes
        ) as (store, server):
            put(store, f"ä b/{name}", b"hello")
        said.append((*head_of(server.requests[0]), server.requests[0].partition(b"\r\n\r\n")[2]))
    (line, lean, body), (boto_line, boto, boto_body) = said

    assert (line, body) == (boto_line, boto_body)
    own = {"authorization", "x-amz-date", "host", "user-agent"}
    ignored = {name for name in boto if name.startswith("amz-sdk-")} | {
        *("accept-encoding", "connection", "expect", "user-agent")
    }
    assert set(boto) - ignored <= set(lean) | {"x-amz-sdk-checksum-algorithm"}
    assert {n: v for n, v in lean.items() if n in boto and n not in own} == {
        n: v for n, v in boto.items() if n in lean and n not in own
    }
    assert {"host", "x-amz-content-sha256", "x-amz-date", "content-md5"} <= signed_names(lean)


def test_a_part_goes_from_memory_or_from_its_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * (FIVE // 256)
    path = tmp_path / "part"
    path.write_bytes(data)
    kept = part_of(data)
    in_file = Part(1, kept.size, kept.md5, lambda: path.open("rb"), kept.sha256)
    begun = reply("200 OK", b"<r><UploadId>up</UploadId></r>")
    with store_on(answering(begun, stored(data))) as (store, server):
        upload = store.start_upload("big.bin", meta_of(), part_size=FIVE)
        upload.send(kept)
        upload.send(in_file)
    memory, file = server.requests[1:]

    assert memory.partition(b"\r\n\r\n")[2] == data == file.partition(b"\r\n\r\n")[2]
    line, headers = head_of(memory)
    assert line.endswith("/big.bin?partNumber=1&uploadId=up HTTP/1.1")
    assert headers["x-amz-content-sha256"] == kept.sha256.hex()
    assert "content-type" not in headers
    assert "expect" not in headers


@pytest.mark.parametrize(("code", "status", "kind", "ours"), REFUSALS)
def test_a_refusal_tells_who_must_act(
    code: str, status: int, kind: type[BackupError], ours: str
) -> None:
    body = b"" if code.isdigit() else XML % code.encode()
    with store_on(answering(reply(f"{status} No", body))) as (store, server):
        with pytest.raises(kind) as caught:
            put(store, "folder/file.txt", b"x")
        assert len(server.requests) == 1

    assert type(caught.value) is kind
    assert caught.value.code == ours
    assert "very-secret-word" not in caught.value.message
    assert "AKIAEXAMPLE" not in caught.value.message


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_says_that_the_region_is_wrong(status: int) -> None:
    moved = reply(f"{status} Moved", Location="http://127.0.0.1:1/elsewhere")
    with store_on(answering(moved)) as (store, server):
        for call in (lambda: put(store, "a", b"x"), lambda: store.head("a")):
            with pytest.raises(ConfigurationError) as caught:
                call()
            assert caught.value.code == "wrong_region"
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ("411 Length Required", PermanentError, "refused"),
        ("501 Not Implemented", PermanentError, "not_supported"),
        ("403 Forbidden", ConfigurationError, "access_denied"),
        ("404 Not Found", NotFound, "not_found"),
        ("500 Oops", Unavailable, "unavailable"),
        ("504 Gateway Time-out", Unavailable, "unavailable"),
    ],
)
def test_a_refusal_without_a_word_is_read_from_its_status(
    status: str, kind: type[BackupError], code: str
) -> None:
    with store_on(answering(reply(status, b"<html>not S3</html>"))) as (store, _):
        with pytest.raises(kind) as caught:
            put(store, "a", b"x")
    assert (type(caught.value), caught.value.code) == (kind, code)


def test_the_wait_a_service_asks_for_is_handed_on() -> None:
    slower = reply("503 Slow Down", XML % b"SlowDown", Retry_After="17")
    with store_on(answering(slower)) as (store, _), pytest.raises(RateLimited) as caught:
        put(store, "a", b"x")
    assert caught.value.retry_after_s == 17


def test_an_upload_that_the_store_lost_is_told() -> None:
    begun = reply("200 OK", b"<r><UploadId>up</UploadId></r>")
    lost = reply("404 Not Found", XML % b"NoSuchUpload")
    with store_on(answering(begun, lost)) as (store, _):
        upload = store.start_upload("big.bin", meta_of(), part_size=FIVE)
        with pytest.raises(TransientError) as caught:
            upload.send(part_of(b"end"))
    assert caught.value.code == "upload_lost"


def test_an_object_that_is_complete_is_only_looked_at_again() -> None:
    """After completing, a store may be too busy to say what stands there."""
    data = bytes(FIVE)
    tag = f'"{hashlib.md5(hashlib.md5(data).digest()).hexdigest()}-1"'
    answers = answering(
        reply("200 OK", b"<r><UploadId>up</UploadId></r>"),
        stored(data),
        reply("200 OK", b"<r><ETag>&quot;x-1&quot;</ETag></r>"),
        reply("503 Slow Down"),
        f"HTTP/1.1 200 OK\r\nContent-Length: {FIVE}\r\nETag: {tag}\r\n\r\n".encode(),
    )
    with store_on(answers) as (store, server):
        upload = store.start_upload("big.bin", meta_of(), part_size=FIVE)
        upload.send(part_of(data))
        with pytest.raises(TransientError):
            upload.finish(digest_of(data))
        assert upload.finish(digest_of(data)).size == FIVE
    said = [head_of(request)[0].partition(" ")[0] for request in server.requests]
    assert said == ["POST", "PUT", "POST", "HEAD", "HEAD"]


def mute(connection: socket.socket, server: RawServer) -> None:
    while connection.recv(65536):
        pass


def test_a_store_that_never_answers_is_unavailable_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("syncapp.wire.STALL_TIMEOUT_S", 1)
    with store_on(mute) as (store, _), pytest.raises(Unavailable, match="broke off"):
        put(store, "a", b"x")


def test_a_reset_in_mid_body_is_unavailable() -> None:
    def drops(connection: socket.socket, _: RawServer) -> None:
        connection.recv(1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with store_on(drops) as (store, _), pytest.raises(Unavailable, match="broke off"):
        put(store, "a", bytes(20 * MIB))


@pytest.mark.parametrize("expired", [False, True])
def test_a_certificate_that_is_not_good_is_for_a_person(
    expired: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificates.make(tmp_path, expired=expired)
    if expired:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(made.authority))
    with raw_server(answering(stored(b"x")), made) as server:
        store = s3_store(info_of(server, "https"), "other")
        with pytest.raises(ConfigurationError) as caught:
            put(store, "a", b"x")
        with pytest.raises(ConfigurationError) as by_boto:
            list(store.objects())
    assert caught.value.code == by_boto.value.code == "untrusted_certificate"


@pytest.mark.parametrize("call", ["put", "list"])
def test_a_server_that_ends_in_mid_handshake_is_unavailable_and_not_mistrusted(call: str) -> None:
    def restarts(connection: socket.socket, _: RawServer) -> None:
        connection.recv(1000)

    with raw_server(restarts) as server:
        store = s3_store(info_of(server, "https"), "other")
        with pytest.raises(Unavailable):
            put(store, "a", b"x") if call == "put" else list(store.objects())


def test_a_name_that_leads_elsewhere_later_is_judged_at_each_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name led to a public address when it was looked up first, and does not any more."""
    monkeypatch.setattr(s3, "check_resolved", lambda *_, **__: None)
    with raw_server(answering(stored(b"x"))) as server:
        store = S3Destination.create(
            {
                "provider": "other",
                "endpoint": f"https://{os.uname().nodename}:{server.port}",
                "bucket": "my-bucket",
            },
            {"access_key_id": "a", "secret_access_key": "b"},
        )
        with pytest.raises(ConfigurationError, match="private network"):
            put(store, "a", b"x")
        assert server.connections == 0


def test_a_content_type_can_not_smuggle_a_header() -> None:
    meta = ObjectMeta(MTIME, "id", "text/plain\r\nx-amz-acl: public-read")
    with store_on(answering(stored(b"x"))) as (store, server):
        store.put("a", part_of(b"x"), meta)
    _, headers = head_of(server.requests[0])
    assert headers["content-type"] == "application/octet-stream"
    assert "x-amz-acl" not in headers


def test_a_role_of_the_server_lends_its_session_and_is_asked_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = iter([("A1", "s1", "token-1"), ("A2", "s2", "token-2")])
    with store_on(answering(stored(b"x"))) as (store, server):
        monkeypatch.setattr("syncapp.destinations.s3_wire._keys_of", lambda _: next(keys))
        put(store, "a", b"x")
        put(store, "a", b"x")
    for number, request in enumerate(server.requests, 1):
        _, headers = head_of(request)
        assert headers["x-amz-security-token"] == f"token-{number}"
        assert f"Credential=A{number}/" in headers["authorization"]
        assert "x-amz-security-token" in signed_names(headers)


ENDPOINTS = [
    *("https://s3.fr-par.scw.cloud", "https://s3.example.com:9000", "http://s3.example.com"),
    *("https://127.0.0.1:9000", "https://[2001:db8::1]:9000"),
    *("https://s3.example.com/base", "https://localhost:1"),
]
BUCKETS = ["my-b", "my.b", "My-B", "a--b", "1.2.3.4", "a_b", "abc", "b" * 63, "a-.b", "x.-y"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("path_style", [False, True])
def test_the_bucket_is_where_boto3_finds_it(endpoint: str, path_style: bool) -> None:
    connection = Connection(endpoint, "fr-par", path_style, "a", "b")
    client = make_client(connection)

    for bucket in BUCKETS:
        asked = {"Bucket": bucket, "Key": "k"}
        url = client.generate_presigned_url("get_object", Params=asked)
        assert bucket_url(connection, bucket) + "/k" == url.partition("?")[0]


def test_small_files_are_sent_without_boto3() -> None:
    """It would cost each worker 0.2 s and 30 MB."""
    script = (
        "import sys; from syncapp.destinations.s3 import S3Destination as S;"
        "S.create({'endpoint': 'https://127.0.0.1:1', 'bucket': 'my-b', '_allow_private': '1'},"
        "{'access_key_id': 'a', 'secret_access_key': 'b'}).plane;"
        "sys.exit('boto3' in sys.modules or 'botocore.client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
