"""One destination's side of a transfer: sends parts as they come, then completes the object.

Nothing here waits for the reader: whoever changes something (a part is there, a request has
ended) calls `push`, and what can be done now goes to the destination's crew. Several parts of a
file are under way at once, in any order. An object is completed only after the spool is sealed.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from syncapp import pacing
from syncapp.destinations.base import Destination as Store
from syncapp.destinations.base import Unfinished, Upload, may_go_on
from syncapp.engine.crew import Crew, Task
from syncapp.engine.spool import Dropped, Held, Spool
from syncapp.errors import (
    BackupError,
    IntegrityError,
    Interrupted,
    LetAlone,
    PermanentError,
    TransientError,
)
from syncapp.types import Digest, ObjectInfo, ObjectMeta, SentPart

log = logging.getLogger(__name__)
T = TypeVar("T")
CALLS = 3  # tries of one request inside one attempt
MOST_WAIT_S = 30.0  # inside an attempt; whoever asks for more is tried again by a later one
RECORDED = 64 * 1024**2  # bytes from which an upload is worth writing down
SENDERS = 4  # parts of one file under way at once to one destination
_chance = random.Random()


def _nothing() -> None:
    """Nothing lies under the key."""


@dataclass(frozen=True, slots=True)
class Recorded(Unfinished):
    """One of a copy, begun by an earlier worker."""

    whole_from: str = ""  # where every byte was read and found right, once all of it was sent


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload is worth writing down: it was begun."""

    copy_id: int
    key: str
    upload_id: str
    part_bytes: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The destination has confirmed a part."""

    copy_id: int
    upload_id: str
    part: SentPart


@dataclass(frozen=True, slots=True)
class Gone:
    """The upload was completed or aborted."""

    copy_id: int
    upload_id: str


@dataclass(frozen=True, slots=True)
class Whole:
    """Every part was sent, and all of it was found right; read from the destination named."""

    copy_id: int
    upload_id: str
    origin: str


Note = Begun | Sent | Gone | Whole


@dataclass(slots=True)
class Opened:
    """What feeds have to know of a file once it is open. `size` is None if not known."""

    meta: ObjectMeta
    part_bytes: int
    size: int | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where one copy goes."""

    copy_id: int
    destination_id: int
    store: Store
    key: str
    # Moves what a previous version left under the key out of the way, where that is needed.
    make_room: Callable[[], None] = _nothing
    recorded: Recorded | None = None


class Feed:
    """Sends one file to one target; `push` again after `take_up` goes on where a failure stopped.

    `on_end` is called once for each start, by whichever thread ends it: `info`, `error` or `fault`
    (what nobody foresaw) then tells how.
    """

    def __init__(
        self,
        spool: Spool,
        target: Target,
        crew: Crew,
        halt: threading.Event,
        *,
        note: Callable[[Note], None],
        on_end: Callable[[], None],
    ) -> None:
        self.spool, self.target = spool, target
        self._crew, self._halt, self._note, self._on_end = crew, halt, note, on_end
        self.info: ObjectInfo | None = None
        self.error: BackupError | None = None
        self.fault: BaseException | None = None
        self.file: Opened | None = None
        self._upload: Upload | None = None
        self._lock = threading.Lock()
        self._running = self._next = 0
        self._unsent: list[Held] = []
        self._ended = self._completing = False

    def push(self) -> None:
        """Do what can be done now."""
        ended = False
        with self._lock:
            if self._ended:
                return
            if self._stopped():
                ended = self._ended = not self._running
                tasks: list[Task] = []
            else:
                tasks = self._due()
        for task in tasks:
            self._crew.submit(task)
        if ended:
            self._end()

    def take_up(self) -> None:
        """Make ready for another try; Dropped if the parts are gone."""
        self.spool.take_up(self.target.destination_id)
        self.error, self._ended, self._completing = None, False, False

    def let_go(self) -> None:
        """There will be no other try from this spool."""
        if self._upload is not None and self.info is None:
            self._crew.submit(self._leave_upload)

    def _leave_upload(self) -> None:
        """Keep what was sent for the next worker where that is of use, or forget it."""
        upload, self._upload = self._upload, None
        if upload is None:
            return
        if self._is_kept(upload):
            upload.suspend()
            return
        self._note(Gone(self.target.copy_id, upload.id))
        try:
            upload.abort()
        except BackupError as error:  # swept later
            log.warning("upload.not_aborted key=%r code=%s", self.target.key, error.code)

    def _is_kept(self, upload: Upload) -> bool:
        """Whether the upload is written down and what stopped it says nothing against it."""
        if not self._is_big() or not upload.id:
            return False
        if self.error is None or self.error is self.spool.error:
            return not isinstance(self.spool.error, PermanentError)
        return may_go_on(self.error)

    def _is_big(self) -> bool:
        return self.file is not None and (self.file.size or 0) >= RECORDED

    def _stopped(self) -> bool:
        return bool(self.info or self.error or self.fault or self.spool.error)

    def _due(self) -> list[Task]:
        """What to start now; the lock is held. A first part waits until it is known to be all."""
        if not self.spool.several:
            if self._running or not (self.spool.digest and self.spool.count()):
                return []
            return [self._task(self._put)]
        if self._upload is None:
            return [] if self._running or not self.spool.count() else [self._task(self._begin)]
        tasks: list[Task] = []
        while self._running < SENDERS and (held := self._next_part()):
            tasks.append(self._task(self._send, held))
        if self._running == 0 and self.spool.digest and not self._completing:
            self._completing = True
            tasks.append(self._task(self._finish))
        return tasks

    def _next_part(self) -> Held | None:
        if self._unsent:
            return self._unsent.pop()
        held = self.spool.part(self._next + 1)
        self._next += held is not None
        return held

    def _task(self, step: Callable[..., None], *args: Held) -> Task:
        self._running += 1
        return partial(self._run, step, args)

    def _run(self, step: Callable[..., None], args: tuple[Held, ...]) -> None:
        """One request in a thread of the crew; failures are kept, not raised."""
        try:
            if self._halt.is_set():
                raise Interrupted("Stopped before this was sent.")
            step(*args)
        except BackupError as error:
            self._unsent += args
            self.error = self.error or error
        except BaseException as fault:  # a bug: ends this thread, and the lane
            self.fault = fault
            raise
        finally:
            with self._lock:
                self._running -= 1
            self.push()

    def _put(self) -> None:
        held, digest, file = self.spool.part(1), self.spool.digest, self.file
        if held is None or digest is None or file is None:
            raise IntegrityError("A file without bytes that were checked is not stored.")
        self.target.make_room()
        meta = replace(file.meta, md5=digest.md5, sha256=digest.sha256)
        store, key, part = self.target.store, self.target.key, held.part
        self.info = retrying(lambda: store.put(key, part, meta), self._halt)

    def _begin(self) -> None:
        file, target, store = self.file, self.target, self.target.store
        if file is None:
            raise IntegrityError("An upload was begun before its file was opened.")
        self._upload = self._resumed(file)
        if self._upload is not None:
            return
        size = file.part_bytes
        self._upload = upload = retrying(
            lambda: store.start_upload(target.key, file.meta, part_size=size), self._halt
        )
        if self._is_big() and upload.id:
            self._note(Begun(target.copy_id, target.key, upload.id, size))

    def _resumed(self, file: Opened) -> Upload | None:
        """The upload that an earlier worker began, if it still fits and the store still has it."""
        target, old = self.target, self.target.recorded
        if old is None or (old.key, old.part_bytes) != (target.key, file.part_bytes):
            return None
        return retrying(lambda: old.resume(target.store, file.meta), self._halt)

    def _send(self, held: Held) -> None:
        upload, part = self._known_upload(), held.part
        if not upload.has(part):
            retrying(lambda: upload.send(part), self._halt)
            if self._is_big():
                self._note(Sent(self.target.copy_id, upload.id, upload.sent[part.number]))
        self.spool.confirm(self.target.destination_id, part.number)

    def _finish(self) -> None:
        upload, digest = self._known_upload(), self.spool.digest
        if digest is None:
            raise IntegrityError("The file was not checked before its upload was to be completed.")
        self.target.make_room()
        whole: Digest = digest
        self.info = retrying(lambda: upload.finish(whole), self._halt)
        if self._is_big():
            self._note(Gone(self.target.copy_id, upload.id))

    def _known_upload(self) -> Upload:
        if self._upload is None:
            raise IntegrityError("A part was to be sent before its upload began.")
        return self._upload

    def _end(self) -> None:
        """Hold the parts for another try if one makes sense, otherwise let go of everything."""
        again = self.info is None and self.fault is None and self._worth_another()
        if again:
            self.spool.stall(self.target.destination_id)
        else:
            self.spool.leave(self.target.destination_id)
        if self._upload is not None and self.info is None and not again:
            self._crew.submit(self._leave_and_tell)
        else:
            self._on_end()

    def _worth_another(self) -> bool:
        """Whether what stopped it is the destination's own and may pass."""
        error = self.error
        if self.spool.error is not None or isinstance(error, Dropped | Interrupted):
            return False
        # What is held is of no use for an upload that the store has lost: its start is gone.
        return isinstance(error, TransientError) and may_go_on(error)

    def _leave_and_tell(self) -> None:
        self._leave_upload()
        self._on_end()


def retrying(call: Callable[[], T], halt: threading.Event) -> T:
    """The call's answer; transient faults are tried again a few times with growing waits.

    A wait ends with Interrupted when work is to stop.
    """
    for failures in range(1, CALLS):
        try:
            return call()
        except (LetAlone, Interrupted):
            raise
        except TransientError as error:
            wait = max(pacing.call_delay_s(failures, _chance), error.retry_after_s or 0.0)
            if wait > MOST_WAIT_S:
                raise
        if halt.wait(wait):
            raise Interrupted("Stopped while waiting to try again.")
    return call()
