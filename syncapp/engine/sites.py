"""One destination at work on moves: its store, its hands, and whether it still answers.

A destination that fails holds up no other: after a few calls in a row without an answer nothing
more is asked of it in this lane. No database here.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from syncapp import pacing
from syncapp.destinations.base import Destination as Store
from syncapp.engine.beat import Beat
from syncapp.errors import BackupError, ConfigurationError, IntegrityError, TransientError

T = TypeVar("T")
CALLS = 3  # tries of one request
MOST_FAULTS = 5  # calls in a row that had no answer
_chance = random.Random()


class NotAsked(TransientError):
    """The call was not made: the lane is to stop, or the destination does not answer."""

    code = "not_asked"


class Site:
    """A destination during a lane. `error` tells why nothing more is asked of it."""

    def __init__(self, destination_id: int, store: Store, beat: Beat, hands: int) -> None:
        self.destination_id, self.store, self._beat = destination_id, store, beat
        self.keeps_versions = False  # known once it was reached
        self.error: BackupError | None = None
        self.last_error: BackupError | None = None
        self.stopped = False  # something was left to the next lane
        self._faults = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(hands, f"move-{destination_id}")

    def reach(self) -> bool:
        """Whether it answers; asks once what it does with versions."""
        answer = self.call(lambda: self.store.keeps_versions)
        if isinstance(answer, BackupError):
            self.error = answer
            return False
        self.keeps_versions = answer
        return True

    def each(self, calls: Iterable[Callable[[], T]]) -> list[T | BackupError]:
        """The answers, or errors, of calls that are made side by side; in their order."""
        return list(self._pool.map(self.call, calls))

    def call(self, ask: Callable[[], T]) -> T | BackupError:
        """The answer to one call; what may pass is tried again a few times."""
        last: BackupError = NotAsked("Left to the next lane.")
        for failures in range(1, CALLS + 1):
            if self.error is not None or self._beat.halted():
                self.stopped = self.stopped or self.error is None
                return last
            try:
                answer = ask()
            except (TransientError, IntegrityError) as error:
                last = error
                if failures < CALLS:
                    asked = error.retry_after_s if isinstance(error, TransientError) else None
                    self._beat.wait(max(pacing.call_delay_s(failures, _chance), asked or 0.0))
            except BackupError as error:
                self._note(error)
                return error
            else:
                self._faults = 0
                return answer
        self._note(last)
        return last

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown()

    def _note(self, error: BackupError) -> None:
        with self._lock:
            self.last_error = error
            self._faults += isinstance(error, TransientError)
            if isinstance(error, ConfigurationError) or self._faults >= MOST_FAULTS:
                self.error = self.error or error
