"""Queries that end in time: what a page asks of the database must not hang with it.

SQLite is interrupted by its progress handler, PostgreSQL by statement_timeout (both at most a few
milliseconds late). Not for writes: what was cut off has done nothing.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

_STEPS = 20_000  # of SQLite's virtual machine between two looks at the clock: about 0.5 ms
_CANCELED = "57014"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


class OutOfTime(Exception):
    """The time is over; whatever was asked has no answer."""


@contextmanager
def queries_until(until: float) -> Iterator[None]:
    """Let no query inside go on after this moment (monotonic seconds; infinite: no limit)."""
    left = until - time.monotonic()
    if left <= 0:
        raise OutOfTime
    if math.isinf(left):
        yield
        return
    limited = _on_postgresql(left) if connection.vendor == "postgresql" else _on_sqlite(until)
    try:
        with limited:
            yield
    except OperationalError as error:
        cause = error.__cause__
        interrupted = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        if interrupted or getattr(cause, "sqlstate", None) == _CANCELED:
            raise OutOfTime from error
        raise


@contextmanager
def _on_sqlite(until: float) -> Iterator[None]:
    connection.ensure_connection()
    database = connection.connection
    database.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)


@contextmanager
def _on_postgresql(left_s: float) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {max(int(left_s * 1000), 1)}")
        yield
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
