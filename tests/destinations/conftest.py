"""The stores that the conformance suite runs on: each test in a place of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from mypy_boto3_s3 import S3Client

from syncapp.destinations.base import Destination
from syncapp.destinations.local import LocalDestination
from syncapp.destinations.s3 import S3Destination
from tests.servers import ceph, moto, rclone_s3
from tests.servers.shared import Info, run_folder, shared

STORES = [
    "local",
    "rclone",
    "rclone-tls",
    pytest.param("ceph", marks=pytest.mark.needs("ceph")),
    pytest.param("ceph-tls", marks=pytest.mark.needs("ceph")),
    "moto",
    "rclone-tls-boto3",
    pytest.param("ceph-tls-boto3", marks=pytest.mark.needs("ceph")),
]


CEPH = pytest.mark.needs("ceph")
SERVERS = [
    pytest.param("rclone", id="rclone"),
    pytest.param("ceph", id="ceph", marks=CEPH),
]


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Info]:
    with shared("rclone", run_folder(tmp_path_factory.getbasetemp()), rclone_s3.start) as info:
        yield info


@pytest.fixture(scope="session")
def rclone_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Info]:
    folder = run_folder(tmp_path_factory.getbasetemp())
    with shared("rclone-tls", folder, rclone_s3.start_tls) as info:
        yield info


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Info]:
    with shared("moto", run_folder(tmp_path_factory.getbasetemp()), moto.start) as info:
        yield info


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Info]:
    with shared("ceph", run_folder(tmp_path_factory.getbasetemp()), ceph.start) as info:
        yield info


def local_store(folder: Path) -> Destination:
    store = LocalDestination.create({"path": str(folder), "prefix": "backup"}, {})
    store.prepare()
    return store


def s3_store(info: Info, provider: str, **changes: str) -> S3Destination:
    """A destination in a folder of its own of the server's bucket. `changes` to its settings."""
    settings = {
        "provider": provider,
        "endpoint": info["endpoint"],
        "bucket": info["bucket"],
        "prefix": f"test-{uuid.uuid4().hex[:12]}",
        "_allow_private": "1",
    }
    secrets = {"access_key_id": info["access_key"], "secret_access_key": info["secret_key"]}
    for name, value in changes.items():
        (secrets if name in secrets else settings)[name] = value
    return S3Destination.create(settings, secrets)


def stores_but(*kinds: str) -> list[object]:
    """For a promise that one make of server breaks by itself; the test says which and why."""
    return [
        one
        for one in STORES
        if (one if isinstance(one, str) else str(one.values[0])).partition("-")[0] not in kinds
    ]


@pytest.fixture(params=STORES)
def store_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(
    store_kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Destination:
    if store_kind == "local":
        return local_store(tmp_path / "store")
    server, *words = store_kind.split("-")
    tls = "tls" in words
    name = "rclone_tls_server" if server == "rclone" and tls else f"{server}_server"
    info: Info = dict(request.getfixturevalue(name))
    if tls:
        monkeypatch.setenv("AWS_CA_BUNDLE", info["authority"])
        info["endpoint"] = info.get("tls_endpoint") or info["endpoint"]
    plane = "boto3" if "boto3" in words else "lean"
    return s3_store(info, "other" if server == "moto" else server, data_plane=plane)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Info:
    info: Info = request.getfixturevalue(f"{request.param}_server")
    return info


def client_of(info: Info) -> S3Client:
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=info["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=info["access_key"],
        aws_secret_access_key=info["secret_key"],
    )
    return client
