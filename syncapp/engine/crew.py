"""A fixed number of threads for the requests to one service; started when they are needed.

Leaner than an executor: no future is made for a task, a task tells of its end itself. A task that
raises ends its thread, which is logged as Python logs it; another takes that one's place.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Task = Callable[[], None]


class Crew:
    """At most `most` tasks at once, in the order of their coming."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._load = 0  # tasks that have not ended
        self._lock = threading.Lock()

    def submit(self, task: Task) -> None:
        """Do this as soon as a hand is free."""
        with self._lock:
            self._tasks.put(task)
            self._load += 1
            if self._load <= len(self._threads) or len(self._threads) >= self._most:
                return
            self._start()

    def waiting(self) -> int:
        """Tasks that no hand has taken up yet."""
        return self._tasks.qsize()

    def close(self) -> None:
        """Return when all that was submitted is done and the threads have ended."""
        with self._lock:
            threads = list(self._threads)
        for _ in threads:
            self._tasks.put(None)
        for thread in threads:
            thread.join()

    def _start(self) -> None:
        """One more thread; the lock is held."""
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except BaseException:
                with self._lock:
                    self._threads.remove(threading.current_thread())
                    self._start()
                raise
            finally:
                with self._lock:
                    self._load -= 1
