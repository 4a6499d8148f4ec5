"""The database in threads that are no worker's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def own_connection() -> Iterator[None]:
    """For threads of files too, which would keep it to their end: a connection that was opened here
    is closed here."""
    opened = connection.connection is None
    try:
        yield
    finally:
        if opened:
            connection.close()
