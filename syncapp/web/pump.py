"""Long answers: what a thread makes, an event loop hands out, never more than DEPTH blocks between.

Django reads an ordinary generator whole into memory before an ASGI server sends its first byte.
A visitor who leaves ends the thread's work, and so does one who takes nothing for long. What
goes wrong in the thread is raised to the server, which cuts the connection: the visitor's browser
then knows that it has not got everything. Database connections are closed as the thread ends;
whoever makes bytes for hours must not hold one meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import chain
from typing import NamedTuple

from django.db import connection

BLOCK = 256 * 1024
DEPTH = 4


class Pool(NamedTuple):
    """Threads of a web process; a further answer waits for its turn.

    `stall_s`: how long one stands still before it is cut off.
    """

    threads: ThreadPoolExecutor
    stall_s: float


DOWNLOADS = Pool(ThreadPoolExecutor(16, "download"), 3600.0)
# A film that was paused for longer asks anew for the rest.
PREVIEWS = Pool(ThreadPoolExecutor(16, "preview"), 120.0)


class Abandoned(Exception):
    """Nobody takes the bytes any more."""


class Pump:
    """The chunks in blocks, made in a thread of `pool` and iterated once in an event loop.

    Django calls `close` however its answer ended, also where it never began to send.
    """

    def __init__(
        self, chunks: Generator[bytes, None, None], pool: Pool, first: bytes = b""
    ) -> None:
        """`first` was taken from the chunks already."""
        self._chunks, self._pool, self._first = chunks, pool, first
        self._blocks: deque[bytes] = deque()
        self._change = threading.Condition()
        self._abandoned = self._begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever listened
                loop.call_soon_threadsafe(arrived.set)

        self._begun = True
        work = loop.run_in_executor(self._pool.threads, self._fill, tell)
        work.add_done_callback(lambda _: arrived.set())
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                ended = work.done()
                while (block := self._take()) is not None:
                    yield block
                if ended:
                    await work  # raises what went wrong
                    return
        finally:
            work.cancel()
            self.close()

    def _take(self) -> bytes | None:
        with self._change:
            block = self._blocks.popleft() if self._blocks else None
            self._change.notify()
            return block

    def close(self) -> None:
        """Have the thread end; what it makes is not wanted any more."""
        with self._change:
            self._abandoned = True
            self._change.notify()
        if not self._begun:
            self._chunks.close()

    def _fill(self, tell: Callable[[], None]) -> None:
        """The thread's work."""
        try:
            with closing(self._chunks), suppress(Abandoned):
                for block in blocks(chain([self._first], self._chunks)):
                    self._put(block)
                    tell()
        finally:
            connection.close()

    def _put(self, block: bytes) -> None:
        with self._change:
            room = self._change.wait_for(
                lambda: self._abandoned or len(self._blocks) < DEPTH, self._pool.stall_s
            )
            if self._abandoned:
                raise Abandoned
            if not room:
                raise TimeoutError(f"a download stood still for {self._pool.stall_s:.0f} s")
            self._blocks.append(block)


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Small chunks together, large ones as they are."""
    gathered: list[bytes] = []
    size = 0
    for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= BLOCK:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    if gathered:
        yield b"".join(gathered)
