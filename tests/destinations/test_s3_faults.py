"""Versions and faults of real buckets: old bytes stay, each fault names who must act."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from syncapp.destinations.s3 import S3Destination
from syncapp.destinations.s3_wire import S3Wire
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    IntegrityError,
    TransientError,
    Unavailable,
)
from tests.destinations.conftest import CEPH, SERVERS, client_of, s3_store
from tests.destinations.samples import (
    MIB,
    digest_of,
    meta_of,
    part_of,
    put,
    put_in_parts,
    random_bytes,
    read,
    tampered,
)
from tests.servers import rclone_s3
from tests.servers.process import stop
from tests.servers.shared import Info

FIVE = 5 * MIB


@CEPH
def test_a_versioned_bucket_keeps_what_is_overwritten(ceph_server: Info) -> None:
    store = s3_store(ceph_server, "ceph", bucket=ceph_server["versioned"])

    old = put(store, "file.txt", b"old")
    new = put(store, "file.txt", b"new")
    parts = put_in_parts(store, "file.txt", [random_bytes(FIVE), b"parts"])

    assert store.keeps_versions
    assert len({old.version_id, new.version_id, parts.version_id, ""}) == 4
    assert read(store, "file.txt", version_id=old.version_id) == b"old"
    assert read(store, "file.txt", version_id=new.version_id) == b"new"
    assert read(store, "file.txt")[-5:] == b"parts"
    about = store.head("file.txt", version_id=old.version_id)
    assert about is not None
    assert (about.size, about.version_id) == (3, old.version_id)


@CEPH
def test_deleting_hides_and_deleting_a_version_removes(ceph_server: Info) -> None:
    store = s3_store(ceph_server, "ceph", bucket=ceph_server["versioned"])
    info = put(store, "file.txt", b"old")

    store.delete("file.txt")

    assert store.head("file.txt") is None
    assert list(store.objects()) == []
    assert read(store, "file.txt", version_id=info.version_id) == b"old"
    store.delete("file.txt", version_id=info.version_id)
    assert store.head("file.txt", version_id=info.version_id) is None


@CEPH
def test_the_check_of_a_versioned_bucket_leaves_no_version_behind(ceph_server: Info) -> None:
    store = s3_store(ceph_server, "ceph", bucket=ceph_server["versioned"])

    lines = {line.name: line for line in store.check()}

    assert lines["versions"].level == "ok"
    assert lines["clean up"].level == "ok"
    left = client_of(ceph_server).list_object_versions(Bucket=store.bucket, Prefix=store.full(""))
    assert left.get("Versions", []) == []
    assert left.get("DeleteMarkers", []) == []


def test_buckets_without_versions_say_so(rclone_server: Info, moto_server: Info) -> None:
    assert not s3_store(rclone_server, "rclone").keeps_versions
    assert not s3_store(moto_server, "other").keeps_versions
    assert s3_store(moto_server, "other", bucket=moto_server["versioned"]).keeps_versions


@pytest.mark.parametrize("server", SERVERS, indirect=True)
@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"access_key_id": "unknown"}, "bad_key", "does not know this access key"),
        ({"secret_access_key": "wrong"}, "bad_key", "Enter both keys anew"),
        ({"bucket": "no-such-bucket"}, "no_such_bucket", "There is no bucket “no-such-bucket”"),
    ],
)
def test_what_a_person_got_wrong_is_named(
    server: Info, changes: dict[str, str], code: str, said: str
) -> None:
    store = s3_store(server, "other", **changes)

    with pytest.raises(ConfigurationError, match=said) as caught:
        put(store, "a.txt", b"x")

    assert caught.value.code == code
    lines = store.check()
    assert [line.level for line in lines] == ["error"]
    assert said in lines[0].message


@CEPH
def test_another_persons_bucket_is_refused(ceph_server: Info) -> None:
    strict = client_of(ceph_server)
    strict.create_bucket(Bucket="closed")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": ["s3:PutObject"],
                "Resource": ["arn:aws:s3:::closed/*"],
            }
        ],
    }
    strict.put_bucket_policy(Bucket="closed", Policy=json.dumps(policy))
    store = s3_store(ceph_server, "ceph", bucket="closed")

    with pytest.raises(ConfigurationError, match="refuses this access key") as caught:
        put(store, "a.txt", b"x")

    assert caught.value.code == "access_denied"


@CEPH
def test_a_storage_class_that_is_not_there_is_a_setting_to_change(ceph_server: Info) -> None:
    store = s3_store(ceph_server, "ceph", storage_class="GLACIER_IR")

    with pytest.raises(ConfigurationError, match="GLACIER_IR") as caught:
        put(store, "a.txt", b"x")

    assert caught.value.code == "bad_option"


def test_a_server_that_went_away_is_unavailable(tmp_path: Path) -> None:
    started = rclone_s3.start(tmp_path)
    try:
        store = s3_store(started.info, "rclone")
        put(store, "a.txt", b"x")
        upload = store.start_upload("b.bin", meta_of(), part_size=FIVE)
    finally:
        stop(started.pids)

    for call in (
        lambda: put(store, "a.txt", b"x"),
        lambda: read(store, "a.txt"),
        lambda: list(store.objects()),
        lambda: upload.send(part_of(random_bytes(FIVE))),
        lambda: store.head("a.txt"),
    ):
        with pytest.raises(Unavailable):
            call()


def test_a_certificate_nobody_vouches_for_is_refused(
    rclone_tls_server: Info, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)

    with pytest.raises(ConfigurationError, match="certificate") as caught:
        put(s3_store(rclone_tls_server, "rclone"), "a.txt", b"x")

    assert caught.value.code == "untrusted_certificate"


def test_an_upload_that_the_store_forgot_is_started_again_not_given_up(
    rclone_server: Info,
) -> None:
    store = s3_store(rclone_server, "rclone")
    upload = store.start_upload("big.bin", meta_of(), part_size=FIVE)
    upload.send(part_of(random_bytes(FIVE)))
    store.sweep_uploads(datetime.now(UTC) + timedelta(minutes=1))

    with pytest.raises(TransientError) as caught:
        upload.send(part_of(b"end", 2))
    assert caught.value.code == "upload_lost"
    with pytest.raises(TransientError):
        upload.finish(digest_of(random_bytes(FIVE)))
    upload.abort()


def test_a_wrong_object_that_a_store_accepted_is_removed(moto_server: Info) -> None:
    """moto looks at no checksum, as some small stores do: its ETag gives the fault away."""
    store = s3_store(moto_server, "other", bucket=moto_server["versioned"])
    good = put(store, "a.txt", b"good")

    with pytest.raises(IntegrityError):
        store.put("a.txt", tampered(b"promised", b"tampered"), meta_of())

    assert read(store, "a.txt") == b"good"
    assert store.head("a.txt") == store.head("a.txt", version_id=good.version_id)


class CutsOff(BaseHTTPRequestHandler):
    """Promises 3 MiB, gives 2 and hangs up: no real server does that when asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(3 * MIB))
        self.end_headers()
        self.wfile.write(bytes(2 * MIB))

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_download_that_breaks_off_is_not_taken_as_whole() -> None:
    server = HTTPServer(("127.0.0.1", 0), CutsOff)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    info = {
        "endpoint": f"http://127.0.0.1:{server.server_port}",
        "bucket": "backup",
        "access_key": "a",
        "secret_key": "b",
    }
    try:
        with s3_store(info, "other").read("a.bin") as chunks, pytest.raises(Unavailable):
            list(chunks)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_no_key_is_ever_told(rclone_server: Info, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = s3_store(rclone_server, "rclone", secret_access_key="very-secret-word")

    with pytest.raises(BackupError) as caught:
        put(store, "a.txt", b"x")

    told = " ".join(
        [
            caught.value.message,
            caplog.text,
            repr(store),
            repr(store.settings),
            *(line.message for line in store.check()),
        ]
    )
    assert "very-secret-word" not in told
    assert "Signature=" not in told


def test_a_name_that_leads_into_a_private_network_is_refused_at_first_use(
    rclone_server: Info,
) -> None:
    port = rclone_server["endpoint"].rpartition(":")[2]
    refused = S3Destination.create(
        {"endpoint": f"https://localhost.localdomain:{port}", "bucket": "backup"},
        {"access_key_id": "a", "secret_access_key": "b"},
    )
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr(
            "socket.getaddrinfo",
            lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", int(port)))],
        )
        with pytest.raises(ConfigurationError, match="private network"):
            refused.head("a.txt")
        assert "private network" in refused.check()[0].message


def test_the_check_names_boto3_where_only_the_lean_way_fails(
    moto_server: Info, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise Unavailable("The service closed the connection.")

    monkeypatch.setattr(S3Wire, "upload_part", broken)
    lines = {line.name: line for line in s3_store(moto_server, "other").check()}
    assert lines["write"].level == "ok"
    failed = lines["write in parts"]
    assert failed.level == "error"
    assert failed.message.endswith("works: set “Sending” to boto3 (--set data_plane=boto3).")
    well = s3_store(moto_server, "other", data_plane="boto3").check()
    assert "error" not in [line.level for line in well]
    assert lines["clean up"].level == "ok"
