"""One version: read once, fed to every destination at its own pace. No database here.

The reader fills the spool in the calling thread; each destination has a writer in the pool. A
writer completes its object only after the spool is sealed, that is, after the whole file was read
and found to be what the source promised: wrong bytes never appear under a key.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from syncapp import pacing
from syncapp.destinations.base import Destination as Store
from syncapp.destinations.base import Upload
from syncapp.engine.budget import Budget
from syncapp.engine.spool import Dropped, PartFiller, Spool
from syncapp.errors import BackupError, ConfigurationError, IntegrityError, TransientError
from syncapp.sources.base import Download
from syncapp.sources.base import Source as Reader
from syncapp.types import Digest, Limits, ObjectInfo, ObjectMeta, Part, RemoteFile

log = logging.getLogger(__name__)
T = TypeVar("T")
MIB = 1024**2
LEAST_PART = 8 * MIB
CALLS = 3  # tries of one request inside one attempt
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_chance = random.Random()


@dataclass(frozen=True)
class Target:
    """Where one copy goes."""

    destination_id: int
    store: Store
    key: str
    # Moves what a previous version left under the key out of the way, where that is needed.
    make_room: Callable[[], None] = lambda: None


@dataclass
class Job:
    """One leased version and its targets.

    `last_read` is the digest of an earlier read of a blob. `origin` replaces the source where a
    second read there would give other bytes: exports are taken from a copy that is stored already.
    """

    version_id: int
    file: RemoteFile
    targets: list[Target]
    attempt: int
    last_read: Digest | None = None
    origin: Callable[[], AbstractContextManager[Download]] | None = None


@dataclass
class Result:
    """How an attempt ended: `error` is the source's, otherwise there is an outcome per target."""

    job: Job
    started_at: datetime
    seconds: float = 0.0
    bytes_read: int = 0
    digest: Digest | None = None
    content_type: str = ""
    disputed: bool = False
    newer: RemoteFile | None = None  # the file as it is now, if its content has changed since
    error: BackupError | None = None
    stored: dict[int, ObjectInfo] = field(default_factory=dict)
    failed: dict[int, BackupError] = field(default_factory=dict)


def part_size(size: int | None, limits: list[Limits]) -> int:
    """Bytes a part: 8 MiB, more where a store's number of parts asks for it; whole MiB."""
    most_parts = min(limit.max_parts for limit in limits)
    needed = -(-(size or LEAST_PART) // most_parts)
    return max(LEAST_PART, -(-needed // MIB) * MIB, *(limit.min_part for limit in limits))


class _Abandoned(TransientError):
    """Every writer has failed: reading on is of no use."""


class Writer:
    """One destination's side of a transfer; `run` again goes on where a failure stopped it."""

    def __init__(self, spool: Spool, target: Target, meta: ObjectMeta, part_bytes: int) -> None:
        self.spool, self.target, self.meta, self.part_bytes = spool, target, meta, part_bytes
        self._upload: Upload | None = None
        self.info: ObjectInfo | None = None
        self.error: BackupError | None = None

    def run(self) -> None:
        """Until the object is stored, or an error that is kept in `error`."""
        self.error = None
        try:
            self.info = self._write()
        except BackupError as error:
            self.error = error
            self._end(error)
        except BaseException:
            self.spool.leave(self.target.destination_id)  # or the reader would wait for us
            raise
        else:
            self.spool.leave(self.target.destination_id)

    def _write(self) -> ObjectInfo:
        while True:
            part, alone = self.spool.take(self.target.destination_id)
            if part is None:
                return self._finish()
            if alone:
                return self._put(part)
            self._send(part)
            self.spool.confirm(self.target.destination_id)

    def _put(self, part: Part) -> ObjectInfo:
        self.target.make_room()
        meta = self._full_meta()
        return retrying(lambda: self.target.store.put(self.target.key, part, meta))

    def _send(self, part: Part) -> None:
        upload = self._upload or retrying(self._start)
        self._upload = upload
        retrying(lambda: upload.send(part))

    def _start(self) -> Upload:
        return self.target.store.start_upload(self.target.key, self.meta, part_size=self.part_bytes)

    def _finish(self) -> ObjectInfo:
        upload, digest = self._upload, self.spool.digest
        if upload is None or digest is None:  # take() has seen the seal, send() began the upload
            raise IntegrityError("The file ended before its upload began.")
        self.target.make_room()
        return retrying(lambda: upload.finish(digest))

    def _full_meta(self) -> ObjectMeta:
        digest = self.spool.digest
        if digest is None:
            return self.meta
        return ObjectMeta(
            self.meta.mtime,
            self.meta.remote_id,
            self.meta.content_type,
            md5=digest.md5,
            sha256=digest.sha256,
        )

    def _end(self, error: BackupError) -> None:
        """Hold the parts for another try if one makes sense, otherwise clean up."""
        ours = error is not self.spool.error and not isinstance(error, Dropped)
        if ours and isinstance(error, TransientError):
            self.spool.stall(self.target.destination_id)
            return
        self.spool.leave(self.target.destination_id)
        self.abort()

    def abort(self) -> None:
        """Forget a half-made upload; what can't be aborted now is swept later."""
        upload, self._upload = self._upload, None
        if upload is None:
            return
        try:
            upload.abort()
        except BackupError as error:
            log.warning("upload.not_aborted key=%r code=%s", self.target.key, error.code)


def retrying(call: Callable[[], T]) -> T:
    """The call's answer; transient faults are tried again a few times with growing waits."""

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, TransientError) else None
        return max(pacing.call_delay_s(state.attempt_number, _chance), asked or 0.0)

    attempts = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(CALLS),
        wait=wait,
        reraise=True,
    )
    return attempts(call)


class Transfer:
    """An attempt at one job. `read` reads and writes; `again` retries writers from the spool."""

    def __init__(
        self,
        job: Job,
        reader: Reader,
        budget: Budget,
        pool: Executor,
        on_bytes: Callable[[int], None],
    ) -> None:
        self.job, self.reader, self.budget, self.pool = job, reader, budget, pool
        self._on_bytes = on_bytes
        self.spool = Spool(budget, [t.destination_id for t in job.targets])
        self._writers: list[Writer] = []
        self._futures: list[Future[None]] = []

    def read(self) -> Result:
        """The whole attempt; never raises a BackupError, the result tells it."""
        result = Result(self.job, datetime.now(UTC))
        began = time.monotonic()
        try:
            self._read(result)
        except _Abandoned as error:
            self.spool.fail(error)  # the writers' own errors tell why
        except BackupError as error:
            self.spool.fail(error)
            result.error = error
            self._look_again(result, error)
        except BaseException:
            self.spool.fail(TransientError("The read stopped unexpectedly.", code="interrupted"))
            raise
        finally:
            self._join()
        self._gather(result)
        result.seconds = time.monotonic() - began
        return result

    def again(self, attempt: int, earlier: Result) -> Result:
        """Another attempt for the destinations that failed, without reading the source."""
        began = time.monotonic()
        self.job.attempt = attempt
        result = Result(self.job, datetime.now(UTC), digest=earlier.digest)
        result.content_type, result.disputed = earlier.content_type, earlier.disputed
        self._writers = [w for w in self._writers if w.error is not None]
        self._start_writers()
        self._join()
        self._gather(result)
        result.seconds = time.monotonic() - began
        return result

    def may_go_on(self) -> bool:
        """Whether some failed destination can be served again from what the spool holds."""
        return any(w.error and self.spool.holds_for(w.target.destination_id) for w in self._writers)

    def close(self) -> None:
        """Free the spool and abort what is half-made."""
        for writer in self._writers:
            if writer.error is not None:
                writer.abort()
        self.spool.close()

    def _read(self, result: Result) -> None:
        origin = self.job.origin
        with origin() if origin else self.reader.download(self.job.file) as download:
            result.content_type = download.content_type
            size = download.size
            limits = [t.store.limits for t in self.job.targets]
            bytes_a_part = part_size(size, limits)
            meta = self._meta(download.content_type)
            self._writers = [
                Writer(self.spool, target, meta, bytes_a_part) for target in self.job.targets
            ]
            self._start_writers()
            chunks = self._counted(download.chunks, result)
            digest = fill(self.spool, self.budget, chunks, size, bytes_a_part)
        result.digest = digest
        result.disputed = check(self.job, digest)
        self.spool.seal(digest)

    def _look_again(self, result: Result, error: BackupError) -> None:
        """Bytes that don't fit may only mean that the file was edited since it was listed."""
        if self.job.origin or not (
            isinstance(error, IntegrityError) or error.code == "changed_while_reading"
        ):
            return
        try:
            now = self.reader.refresh(self.job.file)
        except BackupError as unseen:
            result.error = unseen
            return
        if now.revision != self.job.file.revision:
            result.newer = now
            result.digest = None

    def _start_writers(self) -> None:
        self._futures = [self.pool.submit(writer.run) for writer in self._writers]

    def _join(self) -> None:
        for future in self._futures:
            future.result()

    def _gather(self, result: Result) -> None:
        for writer in self._writers:
            if writer.info is not None:
                result.stored[writer.target.destination_id] = writer.info
            elif writer.error is not None and result.error is None:
                result.failed[writer.target.destination_id] = writer.error

    def _counted(self, chunks: Iterator[bytes], result: Result) -> Iterator[bytes]:
        for chunk in chunks:
            result.bytes_read += len(chunk)
            self._on_bytes(len(chunk))
            yield chunk
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


def fill(
    spool: Spool, budget: Budget, chunks: Iterator[bytes], size: int | None, bytes_a_part: int
) -> Digest:
    """Read everything into parts; the digest of the whole. Claims no more than `size` tells."""
    md5, sha256, total = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0

    def room() -> int:
        return bytes_a_part if size is None else min(bytes_a_part, max(size - total, 0))

    filler = PartFiller(budget, 1, room(), spool)
    try:
        for chunk in chunks:
            md5.update(chunk)
            sha256.update(chunk)
            rest = memoryview(chunk)
            while rest:
                if filler.filled == filler.size:
                    if size is not None and total >= size:
                        raise IntegrityError(f"The source sent more than its {size} bytes.")
                    spool.expect_more()
                    spool.append(filler.close())
                    filler = PartFiller(budget, filler.number + 1, room(), spool)
                before = len(rest)
                rest = filler.write(rest)
                total += before - len(rest)
    except BaseException:
        filler.discard()
        raise
    spool.append(filler.close())
    return Digest(total, md5.hexdigest(), sha256.hexdigest())


def check(job: Job, digest: Digest) -> bool:
    """Hold what was read against what the source promised.

    IntegrityError if they differ, unless an earlier read gave the same bytes: then the source's
    own checksum is wrong (known of files that came from Google Photos) and True is returned.
    """
    file = job.file
    if file.size is not None and digest.size != file.size:
        raise IntegrityError(
            f"Read {digest.size} bytes where Google names {file.size}.", code="size_mismatch"
        )
    agrees = (not file.md5 or file.md5 == digest.md5) and (
        not file.sha256 or file.sha256 == digest.sha256
    )
    if agrees:
        return False
    if job.last_read is not None and job.last_read.sha256 == digest.sha256:
        return True
    raise IntegrityError("The bytes read do not match Google's checksum of this file.")


def worst(errors: list[BackupError]) -> BackupError:
    """The one that decides how an attempt is told: whoever needs a person comes first."""
    return max(errors, key=lambda e: (isinstance(e, ConfigurationError), e.code))
