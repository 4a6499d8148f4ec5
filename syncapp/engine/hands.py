"""Threads that take small tasks from one queue by themselves: nothing is handed over one by one.

Whoever gives tasks waits for `due`, not for each of them: a hand-over between threads costs as much
as a small task does.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Task = TypeVar("Task")
Done = TypeVar("Done")


class Hands(Generic[Task, Done]):
    """So many threads, each doing one task at a time. Use as a context manager."""

    def __init__(self, number: int, do: Callable[[Task], Done], *, enough: int) -> None:
        """`due` is set when fewer tasks wait than there are threads, or `enough` are done."""
        self._number, self._do, self._enough = number, do, enough
        self._waiting: SimpleQueue[Task | None] = SimpleQueue()
        self._done: deque[Done] = deque()
        self._began: dict[int, float] = {}  # by thread, what it is at since (monotonic)
        self._given = self._taken = 0
        self.due = threading.Event()
        self._pool = ThreadPoolExecutor(number, "hand")
        self._threads: list[Future[None]] = []

    def __enter__(self) -> Hands[Task, Done]:
        self._threads = [self._pool.submit(self._work, n) for n in range(self._number)]
        return self

    def __exit__(self, *_: object) -> None:
        """What is at work is done first; what waits is dropped."""
        self.recall()
        for _thread in self._threads:
            self._waiting.put(None)
        self._pool.shutdown()

    @property
    def are_short(self) -> bool:
        """Whether threads will soon have nothing to do."""
        return self._waiting.qsize() < self._number

    @property
    def are_busy(self) -> bool:
        """Whether anything was given that was not taken back, as done or undone."""
        return self._given > self._taken

    def give(self, tasks: Collection[Task]) -> None:
        self._given += len(tasks)
        for task in tasks:
            self._waiting.put(task)

    def recall(self) -> list[Task]:
        """Take back what nobody has begun."""
        found: list[Task] = []
        while True:
            try:
                task = self._waiting.get_nowait()
            except Empty:
                self._taken += len(found)
                return found
            if task is not None:
                found.append(task)

    def take(self) -> Iterator[Done]:
        """What is done by now; then what a task raised, which ended its thread, is raised here."""
        ended = [thread for thread in self._threads if thread.done()]
        while self._done:
            self._taken += 1
            yield self._done.popleft()
        for thread in ended:
            thread.result()

    def longest_s(self) -> float:
        """For how long somebody has been at one task."""
        return max((time.monotonic() - at for at in list(self._began.values())), default=0.0)

    def _work(self, number: int) -> None:
        try:
            while (task := self._waiting.get()) is not None:
                self._began[number] = time.monotonic()
                self._done.append(self._do(task))
                del self._began[number]
                if self.are_short or len(self._done) >= self._enough:
                    self.due.set()
        finally:
            self.due.set()
