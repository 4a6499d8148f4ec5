"""Downloads from the web server as it runs: in order, broken off when broken, left when left."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from django.templatetags.static import static
from django.urls import reverse

from syncapp.models import Version
from tests.engine.vault import Vault
from tests.servers.web import RunningWeb, collect_static, running_web
from tests.servers.workers import environment
from tests.web.taking import Visitor, address

BIG = os.urandom(1_000_000) * 24
PATIENCE_S = 20

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def web(vault: Vault, tmp_path: Path) -> Iterator[RunningWeb]:
    env = environment(tmp_path, LOG_LEVEL="ERROR")
    collect_static(env)
    with running_web(env, tmp_path / "web.log") as running:
        yield running


def spoiled(vault: Vault) -> Version:
    version = vault.file("big.bin", BIG, at=vault.destinations[:1])
    path = vault.path(version, vault.destinations[0])
    path.write_bytes(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    return version


def test_static_files_are_given_without_a_warning(web: RunningWeb) -> None:
    for name in ("app.css", "favicon.svg"):
        assert requests.get(f"{web.url}{static(f'app/{name}')}", timeout=PATIENCE_S).content
    assert "Warning" not in web.log


def test_a_download_that_fails_is_cut_off_and_one_that_nobody_takes_ends(
    web: RunningWeb, vault: Vault
) -> None:
    _assert_a_failure_is_noticed(web, vault)
    _assert_nothing_is_read_for_nobody(web, vault)


def _assert_a_failure_is_noticed(web: RunningWeb, vault: Vault) -> None:
    version, visitor = spoiled(vault), Visitor(web.url, vault)
    archive = visitor.ask(reverse("archive", args=[vault.source.pk]))
    assert archive.status == 200
    with pytest.raises(http.client.IncompleteRead):
        archive.read()
    version.copies.update(state="stored")
    whole = visitor.ask(address(version))
    assert whole.headers["Content-Length"] == str(len(BIG))
    with pytest.raises(http.client.IncompleteRead) as cut:
        whole.read()
    assert len(cut.value.partial) < len(BIG)


def _assert_nothing_is_read_for_nobody(web: RunningWeb, vault: Vault) -> None:
    version, visitor = vault.file("big.bin", BIG), Visitor(web.url, vault)

    # A file of the worker that is open tells that it is being read.
    def reading() -> bool:
        tree = psutil.Process(web.process.pid)
        inode = vault.path(version, vault.destinations[0])
        other = vault.path(version, vault.destinations[1])
        opened = [f.path for p in [tree, *tree.children(recursive=True)] for f in p.open_files()]
        return str(inode) in opened or str(other) in opened

    host, port = urlsplit(web.url).netloc.split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = (
            f"GET {address(version)} HTTP/1.1\r\nHost: {host}\r\nCookie: {visitor.cookie}\r\n\r\n"
        )
        slow.sendall(request.encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        assert reading()
    deadline = time.monotonic() + PATIENCE_S
    while reading():
        assert time.monotonic() < deadline, "it is read for nobody"
        time.sleep(0.05)
    assert visitor.ask(address(version), Range="bytes=0-").read() == BIG
