"""The stand-in in a thread of the test process, its world within the test's reach."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from emulator.app import Emulator
from emulator.items import FOLDER, Item, MemoryStore, User
from emulator.tls import TlsFront
from emulator.world import Account, Corpus, World


@dataclass(frozen=True)
class Serving:
    """Where a served world is reached; the proxy and its CA only if a TLS folder was given."""

    url: str
    world: World
    proxy_url: str = ""
    ca_file: Path | None = None


def empty_account(sub: str, name: str, email: str) -> Account:
    """An account whose Drive holds nothing yet."""
    user = User(sub, email, name, "https://example.org/p.png")
    root = Item(f"0A{sub}", "My Drive", FOLDER, owner=user)
    return Account(user, Corpus(root, MemoryStore()))


@contextlib.contextmanager
def serving(world: World, tls_folder: Path | None = None) -> Iterator[Serving]:
    """Serve a world on free loopback ports until the block ends."""
    ready: threading.Event = threading.Event()
    runner = _Runner(world, tls_folder, ready)
    thread = threading.Thread(target=runner.run, name="stand-in", daemon=True)
    thread.start()
    assert ready.wait(20), "the stand-in did not start"
    assert runner.served is not None, "the stand-in failed to start"
    try:
        yield runner.served
    finally:
        runner.stop()
        thread.join(20)
        assert not thread.is_alive(), "the stand-in did not stop"


class _Runner:
    def __init__(self, world: World, tls_folder: Path | None, ready: threading.Event) -> None:
        self.world = world
        self.tls_folder = tls_folder
        self.ready = ready
        self.served: Serving | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self.ready.set()

    def stop(self) -> None:
        self.server.should_exit = True

    async def _serve(self) -> None:
        app = Emulator(self.world)
        config = uvicorn.Config(
            app,
            port=0,
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        front = TlsFront(app, self.tls_folder) if self.tls_folder else None
        proxy_port = await front.start() if front else 0
        serve = asyncio.create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.005)  # uvicorn offers a flag, no event
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.served = Serving(
            f"http://127.0.0.1:{port}",
            self.world,
            f"http://127.0.0.1:{proxy_port}",
            front.authority.ca_file if front else None,
        )
        self.ready.set()
        await serve
        if front:
            await front.stop()
