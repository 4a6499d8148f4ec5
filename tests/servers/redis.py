"""A throw-away Redis: nothing on disk, a free loopback port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.servers import programs
from tests.servers.process import free_port, launch, stop, wait_for_words


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all tests of a process; the test is marked `needs("redis")`."""
    folder: Path = tmp_path_factory.mktemp("redis")
    program = programs.find("redis-server")
    assert program, "redis-server is not installed"
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    pid = launch([*command, "--dir", str(folder)], folder / "log")
    try:
        wait_for_words(pid, folder / "log", "Ready to accept connections")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        stop([pid])


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis, as a REDIS_URL."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server
