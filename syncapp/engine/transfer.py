"""One version: read once, fed to every destination at its own pace. No database here.

The reader fills the spool in a thread of the source's crew; each destination's feed sends from it
in threads of its own crew. An object is completed only after the spool is sealed, that is, after
the whole file was read and found to be what the source promised: wrong bytes never appear under a
key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from syncapp.engine.budget import Budget
from syncapp.engine.crew import Crew
from syncapp.engine.feed import Feed, Note, Opened, Target
from syncapp.engine.reading import check, fill, of_one_part, trusted_hashes
from syncapp.engine.spool import Held, Spool
from syncapp.errors import (
    BackupError,
    IntegrityError,
    Interrupted,
    NotFound,
    TransientError,
)
from syncapp.sources.base import Download
from syncapp.sources.base import Source as Reader
from syncapp.types import Digest, Limits, ObjectInfo, ObjectMeta, Part, RemoteFile

MIB = 1024**2
LEAST_PART = 8 * MIB
SMALL = MIB  # bytes up to which a file is read in one call
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OriginLost(TransientError):
    """The stored copy that was read in the source's place is missing or different."""

    code = "origin_lost"


class OriginUnreadable(TransientError):
    """That copy can't be read (archived, not allowed); the next attempt asks the source."""

    code = "origin_unreadable"


@dataclass(frozen=True, slots=True)
class Origin:
    """A stored copy that can be read in the source's place."""

    copy_id: int
    open: Callable[[], AbstractContextManager[Download]]


@dataclass(slots=True)
class Job:
    """One leased version and its targets.

    `last_read` is the digest of an earlier read of a blob. `origin` replaces the source where a
    second read there would give other bytes: exports are taken from a copy that is stored already.
    `stored_sha256` is what the stored copies have, "" if there are none.
    """

    version_id: int
    file: RemoteFile
    targets: list[Target]
    attempt: int
    last_read: Digest | None = None
    origin: Origin | None = None
    stored_sha256: str = ""


@dataclass(slots=True)
class Result:
    """How an attempt ended: `error` is the source's, otherwise there is an outcome per target.

    A `halted` one was stopped in its middle by the lane's wish: what is stored counts, the rest
    was not tried.
    """

    job: Job
    started_at: datetime
    seconds: float = 0.0
    bytes_read: int = 0
    digest: Digest | None = None
    content_type: str = ""
    disputed: bool = False
    halted: bool = False
    newer: RemoteFile | None = None  # the file as it is now, if its content has changed since
    error: BackupError | None = None
    stored: dict[int, ObjectInfo] = field(default_factory=dict)
    failed: dict[int, BackupError] = field(default_factory=dict)


@dataclass(slots=True)
class Hands:
    """What all transfers of a lane share.

    `read` counts bytes as they come, `note` hears what is to be written down of big uploads.
    """

    reader: Reader
    budget: Budget
    crews: Mapping[int, Crew]  # by destination
    read: Callable[[int], None]
    note: Callable[[Note], None]
    halt: threading.Event


def part_size(size: int | None, limits: list[Limits]) -> int:
    """Bytes a part: 8 MiB, more where a store's number of parts asks for it; whole MiB."""
    most_parts = min(limit.max_parts for limit in limits)
    needed = -(-(size or LEAST_PART) // most_parts)
    return max(LEAST_PART, -(-needed // MIB) * MIB, *(limit.min_part for limit in limits))


class _Abandoned(TransientError):
    """No destination takes this file any more: reading on is of no use."""


class Transfer:
    """Attempts at one job. `read` is the first; `again` serves those that failed from the spool.

    The end of each attempt is told by `on_end(self, result)`, from any thread. `fault` is an error
    that nobody foresaw: the lane raises it.
    """

    def __init__(self, job: Job, hands: Hands, on_end: Callable[[Transfer, Result], None]) -> None:
        self.job, self.hands = job, hands
        self._on_end = on_end
        self.fault: BaseException | None = None
        self.spool = Spool(hands.budget, [t.destination_id for t in job.targets])
        self._feeds = [
            Feed(
                self.spool, t, hands.crews[t.destination_id], hands.halt,
                note=hands.note, on_end=self._one_ended,
            )
            for t in job.targets
        ]  # fmt: skip
        self._lock = threading.Lock()
        self.attempts = 0
        self._open = 0  # the reader and the feeds that have not ended
        self._result = Result(job, datetime.now(UTC))
        self._began = 0.0

    def read(self) -> None:
        """The whole first attempt, in a thread of the source's crew; no BackupError leaves it."""
        result = self._start(len(self._feeds) + 1)
        try:
            self._read(result)
        except (_Abandoned, Interrupted) as error:
            self.spool.fail(error)  # the feeds' own errors tell why
        except BackupError as error:
            self.spool.fail(error)
            result.error = self._blamed(error)
            self._look_again(result, error)
        except BaseException as fault:  # a bug: ends this thread, and the lane
            self.fault = fault
            self.spool.fail(TransientError("The read stopped unexpectedly."))
            raise
        finally:
            self._push()
            self._one_ended()

    def again(self, attempt: int) -> None:
        """Another attempt for the destinations that failed, without reading the source."""
        self.job.attempt = attempt
        earlier = self._result
        self._feeds = [feed for feed in self._feeds if self._holds_for(feed)]
        result = self._start(len(self._feeds) + 1)
        result.digest, result.content_type = earlier.digest, earlier.content_type
        result.disputed = earlier.disputed
        for feed in self._feeds:
            feed.take_up()
        self._push()
        self._one_ended()

    def may_go_on(self) -> bool:
        """Whether some failed destination can be served again from what the spool holds."""
        return any(self._holds_for(feed) for feed in self._feeds)

    def close(self) -> None:
        """Free the spool and abort what is half-made."""
        for feed in self._feeds:
            feed.let_go()
        self.spool.close()

    def _holds_for(self, feed: Feed) -> bool:
        return feed.error is not None and self.spool.holds_for(feed.target.destination_id)

    def _start(self, parties: int) -> Result:
        self.attempts += 1
        self._open = parties
        self._began = time.monotonic()
        self._result = Result(self.job, datetime.now(UTC))
        return self._result

    def _read(self, result: Result) -> None:
        if self.hands.halt.is_set():
            raise Interrupted("Stopped before this file was read.")
        if self._read_whole(result):
            return
        origin = self.job.origin
        reading = origin.open() if origin else self.hands.reader.download(self.job.file)
        with reading as download:
            result.content_type = download.content_type
            size = download.size
            bytes_a_part = part_size(size, [t.store.limits for t in self.job.targets])
            self._open_feeds(download.content_type, size, bytes_a_part)
            digest = self._fill(self._counted(download.chunks, result), size, bytes_a_part)
        result.digest = digest
        result.disputed = check(self.job.file, self.job.last_read, digest)
        self.spool.seal(digest)

    def _read_whole(self, result: Result) -> bool:
        """A small file in one lean call, if there is memory for it; whether that was possible."""
        file, budget = self.job.file, self.hands.budget
        size = file.size
        if self.job.origin or size is None or size > SMALL or not self._wait_for_memory(size):
            return False
        try:
            got = self.hands.reader.read_small(file)
        except BaseException:
            budget.give_memory(size)
            raise
        if got is None:
            budget.give_memory(size)
            return False
        data, result.content_type = got
        result.bytes_read = len(data)
        self.hands.read(len(data))
        part = Part.of(1, data)
        self._open_feeds(result.content_type, size, LEAST_PART)
        self.spool.append(Held(part, memory_bytes=size))
        result.digest = of_one_part(part, trusted_hashes(file, self.job.last_read))
        result.disputed = check(self.job.file, self.job.last_read, result.digest)
        self.spool.seal(result.digest)
        return True

    def _wait_for_memory(self, size: int) -> bool:
        """Before anything is asked of the source; False if it is to go to the disk instead."""
        return self.spool.claim(size, self._make_room, lambda _: True)

    def _open_feeds(self, content_type: str, size: int | None, bytes_a_part: int) -> None:
        opened = Opened(self._meta(content_type), bytes_a_part, size)
        for feed in self._feeds:
            feed.file = opened

    def _fill(self, chunks: Iterator[bytes], size: int | None, bytes_a_part: int) -> Digest:
        job = self.job
        return fill(
            self.spool,
            chunks,
            size,
            bytes_a_part,
            promised=None if job.origin else trusted_hashes(job.file, job.last_read),
            make_room=self._make_room,
            on_part=self._push,
        )

    def _make_room(self, times_freed: int, wanted: int) -> None:
        """First from destinations that failed, then from spools that are only kept in case, then
        by waiting; ends when work is to stop."""
        budget, spool = self.hands.budget, self.spool
        pressing = spool.may_use_disk(wanted)
        if not (pressing and (spool.drop_stalled() or budget.on_pressure())):
            budget.wait(times_freed)
        self._raise_if_useless()

    def _blamed(self, error: BackupError) -> BackupError:
        """The error; where a stored copy was read, it says nothing about the file at the source."""
        if self.job.origin is None or isinstance(error, TransientError):
            return error
        if isinstance(error, NotFound | IntegrityError):
            return OriginLost(f"The copy that is stored already can't be used: {error.message}")
        return OriginUnreadable(error.message)

    def _look_again(self, result: Result, error: BackupError) -> None:
        """Bytes that don't fit may only mean that the file was edited since it was listed."""
        if self.job.origin or not (
            isinstance(error, IntegrityError) or error.code == "changed_while_reading"
        ):
            return
        try:
            now = self.hands.reader.refresh(self.job.file)
        except BackupError as unseen:
            result.error = unseen
            return
        if now.revision != self.job.file.revision:
            result.newer = now
            result.digest = None

    def _push(self) -> None:
        for feed in self._feeds:
            feed.push()

    def _one_ended(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open:
                return
        self._gather(self._result)
        self._result.seconds = time.monotonic() - self._began
        self._on_end(self, self._result)

    def _gather(self, result: Result) -> None:
        for feed in self._feeds:
            destination = feed.target.destination_id
            self.fault = self.fault or feed.fault
            if feed.info is not None:
                result.stored[destination] = feed.info
            elif result.error is None and isinstance(feed.error or self.spool.error, Interrupted):
                result.halted = True
            elif feed.error is not None and result.error is None:
                result.failed[destination] = feed.error

    def _counted(self, chunks: Iterator[bytes], result: Result) -> Iterator[bytes]:
        for chunk in chunks:
            result.bytes_read += len(chunk)
            self.hands.read(len(chunk))
            yield chunk
            self._raise_if_useless()

    def _raise_if_useless(self) -> None:
        if self.hands.halt.is_set():
            raise Interrupted("Stopped in the middle of this file.")
        if self.spool.abandoned:
            raise _Abandoned("No destination takes this file any more.")

    def _meta(self, content_type: str) -> ObjectMeta:
        file, last = self.job.file, self.job.last_read
        return ObjectMeta(
            mtime=file.modified_at or file.created_at or _EPOCH,
            remote_id=file.remote_id,
            content_type=content_type,
            md5=last.md5 if last else file.md5,
            sha256=last.sha256 if last else file.sha256,
        )
