"""Transfers over small parts without a database: a source of one file, destinations in memory."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syncapp.destinations.base import Upload
from syncapp.engine.budget import Budget, Disk, Memory
from syncapp.engine.crew import Crew
from syncapp.engine.feed import Note, Target
from syncapp.engine.transfer import Hands, Job, Result, Transfer
from syncapp.errors import Unavailable
from syncapp.sources.base import Download
from syncapp.types import (
    Content,
    Digest,
    Limits,
    ObjectInfo,
    ObjectMeta,
    Part,
    RemoteFile,
    SentPart,
)

KIB = 1024
PART = 32 * KIB
_CHUNK = 10 * KIB


class Shelf:
    """A destination in memory. `before` is called before each request with its kind."""

    limits = Limits()
    keeps_versions = True

    def __init__(self, before: Callable[[str], None] = lambda _: None) -> None:
        self.before = before
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.aborted = self.suspended = 0

    def ask(self, kind: str) -> None:
        self.requests.append(kind)
        self.before(kind)

    def put(self, key: str, part: Part, meta: ObjectMeta) -> ObjectInfo:
        self.ask("put")
        with part.open() as body:
            self.objects[key] = body.read()
        return ObjectInfo(key, part.size)

    def start_upload(self, key: str, meta: ObjectMeta, *, part_size: int) -> Upload:
        self.ask("start")
        return _Parts(self, key)


class _Parts(Upload):
    def __init__(self, shelf: Shelf, key: str) -> None:
        self.shelf, self.key = shelf, key
        self.parts: dict[int, bytes] = {}

    @property
    def sent(self) -> dict[int, SentPart]:
        return {}

    def send(self, part: Part) -> str:
        self.shelf.ask("send")
        with part.open() as body:
            self.parts[part.number] = body.read()
        assert hashlib.md5(self.parts[part.number]).digest() == part.md5
        return "etag"

    def finish(self, digest: Digest) -> ObjectInfo:
        self.shelf.ask("finish")
        whole = b"".join(data for _, data in sorted(self.parts.items()))
        assert len(whole) == digest.size
        assert hashlib.sha256(whole).hexdigest() == digest.sha256
        self.shelf.objects[self.key] = whole
        return ObjectInfo(self.key, digest.size)

    def suspend(self) -> None:
        self.shelf.suspended += 1

    def abort(self) -> None:
        self.shelf.aborted += 1


class Book:
    """A source with one file; `size` is what it promises, `fault` what it ends in."""

    def __init__(self, data: bytes, size: int | None, fault: Exception | None = None) -> None:
        self.data, self.size, self.fault = data, size, fault

    @contextmanager
    def download(self, file: RemoteFile) -> Iterator[Download]:
        yield Download(self.chunks(), self.size, "text/plain")

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), _CHUNK):
            yield self.data[start : start + _CHUNK]
        if self.fault is not None:
            raise self.fault

    def read_small(self, file: RemoteFile) -> tuple[bytes, str] | None:
        return None

    def refresh(self, file: RemoteFile) -> RemoteFile:
        return file


class Bench:
    """Transfers over small parts, crews and a budget of 64 KiB of memory, 256 KiB of disk."""

    def __init__(self, folder: Path) -> None:
        self.budget = Budget(Memory(64 * KIB), Disk(folder, 256 * KIB), at_once=4)
        self.crews = {0: Crew("a", 4), 1: Crew("b", 4)}
        self.readers = Crew("reader", 2)
        self.halt = threading.Event()
        self.ends: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.read = 0
        self.notes: list[Note] = []

    def transfer(self, book: Book, *shelves: Shelf, promised: int | None = None) -> Transfer:
        def count(size: int) -> None:
            self.read += size

        file = RemoteFile("id", "", "n", "t", Content.BLOB, "1", size=promised)
        targets: list[Any] = [
            Target(at, at, shelf, f"key-{id(book)}")  # type: ignore[arg-type]
            for at, shelf in enumerate(shelves)
        ]
        hands = Hands(book, self.budget, self.crews, count, self.notes.append, self.halt)  # type: ignore[arg-type]
        return Transfer(Job(1, file, targets, 1), hands, lambda _, result: self.ends.put(result))

    def begin(self, book: Book, *shelves: Shelf, promised: int | None = None) -> Transfer:
        made = self.transfer(book, *shelves, promised=promised)
        self.readers.submit(made.read)
        return made

    def end(self) -> Result:
        return self.ends.get(timeout=10)


def failing(*, kinds: tuple[str, ...] = ("put", "send"), while_: threading.Event) -> Shelf:
    """A destination that is down while the event is set."""

    def before(kind: str) -> None:
        if kind in kinds and while_.is_set():
            raise Unavailable("down")

    return Shelf(before)


def down() -> threading.Event:
    event = threading.Event()
    event.set()
    return event
