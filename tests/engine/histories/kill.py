"""Kills the worker at any write of the database and at any call of a store.

As after kill -9, nothing that the dead worker would still do reaches the database or a store: all
its further calls fail too, until `revive`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper

from syncapp.destinations.local import LocalDestination
from syncapp.destinations.local_upload import LocalUpload
from tests.engine.histories.bucket import MemoryBucket, MemoryUpload

_CALLS = ("put", "head", "read", "objects", "versions", "copy", "delete", "purge", "start_upload")
_PARTS = ("send", "finish", "place")


class Killed(BaseException):
    """The worker dies here."""


class Reaper:
    """Watches every write and call; `left` steps until death, None for life everlasting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.dead = False
        self.steps = 0
        self._lock = threading.Lock()
        self._main = threading.main_thread()
        for kind, names in {
            LocalDestination: _CALLS,
            MemoryBucket: _CALLS,
            LocalUpload: _PARTS,
            MemoryUpload: _PARTS[:2],
        }.items():
            for name in names:
                monkeypatch.setattr(kind, name, self._watched(getattr(kind, name)))
        monkeypatch.setattr(
            CursorWrapper,
            "_execute_with_wrappers",
            self._watched_query(CursorWrapper._execute_with_wrappers),
        )

    def kill_after(self, steps: int) -> None:
        self.left, self.dead = steps, False

    def revive(self) -> None:
        self.left, self.dead = None, False

    def _watched(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            self._step()
            answer = real(*args, **more)
            self._step()
            return answer

        return call

    def _watched_query(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def query(cursor: Any, sql: str, *args: Any, **more: Any) -> Any:
            if threading.current_thread() is not self._main:
                if self.dead:
                    raise OperationalError("The worker is dead.")
                return real(cursor, sql, *args, **more)
            if sql.startswith(("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK", "PRAGMA", "BEGIN")):
                if self.dead and not sql.startswith("ROLLBACK"):
                    raise Killed
                return real(cursor, sql, *args, **more)
            self._step()
            answer = real(cursor, sql, *args, **more)
            self._step()
            return answer

        return query

    def _step(self) -> None:
        with self._lock:
            self.steps += 1
            if self.dead:
                raise Killed
            if self.left is None:
                return
            self.left -= 1
            if self.left <= 0:
                self.dead = True
                raise Killed
