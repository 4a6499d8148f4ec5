"""A database that is locked, full, restarted or away for a while: work waits for it.

Must not take an error of the program (a missing table, a deadlock) for an outage: those are counted
as any unforeseen fault. Never inside a transaction: what is tried again is a whole one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from syncapp.engine import record
from syncapp.models import Event, Run

log = logging.getLogger(__name__)
WAITED = "database_waited"
LOOK_S = 1.0  # between two tries; SQLite waits for a lock on its own besides
# SQLite's primary codes: busy, locked, i/o error, full, can't open.
_SQLITE_AWAY = frozenset([5, 6, 10, 13, 14])
# PostgreSQL's classes: connection, insufficient resources, shut down or starting.
_POSTGRESQL_AWAY = ("08", "53", "57P")
_clock = threading.Event()  # never set: its waits end by time alone
Answer = TypeVar("Answer")


def is_away(error: BaseException | None) -> bool:
    """Whether an error says that the database can't be used for now."""
    if isinstance(error, InterfaceError):
        return True  # of a connection that is closed
    if not isinstance(error, OperationalError):
        return False
    cause = error.__cause__
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_AWAY
    state = getattr(cause, "sqlstate", None)
    if state is None:  # nobody answered; an error of Django's own has no cause at all
        return cause is not None
    return str(state).startswith(_POSTGRESQL_AWAY)


def insist(act: Callable[[], Answer], wait: Callable[[datetime], bool]) -> Answer:
    """Do it, again and again while the database is away; a whole transaction, or a query.

    `wait` is told when it was begun and returns once it is worth trying again; False gives up.
    """
    while True:
        began = timezone.now()
        try:
            return act()
        except DatabaseError as error:
            if connection.in_atomic_block or not is_away(error) or not wait(began):
                raise


class Patience:
    """Waits for the database on behalf of one run, and tells of it afterwards."""

    def __init__(self, run: Run, stopped: Callable[[], bool]) -> None:
        """`stopped` ends the waiting: the worker is asked to stop."""
        self._run, self._stopped = run, stopped

    def __call__(self, act: Callable[[], Answer]) -> Answer:
        """As `insist`."""
        return insist(act, self.wait)

    def wait(self, since: datetime) -> bool:
        """Until the database takes writes again; False if the work is to stop before that.

        `since`: when the trouble was met.
        """
        if not wait_for_it(self._stopped):
            return False
        run = self._run
        lately = Event.objects.filter(run=run, code=WAITED, created_at__gte=since)
        if not lately.exists():  # another lane may have told
            seconds = (timezone.now() - since).total_seconds()
            message = (
                f"The database took no writes for about {seconds:.0f} s. "
                f"{run.get_kind_display()} of {run.source.name} has waited and goes on."
            )
            level = Event.Level.WARNING
            record.event(run.source.owner, WAITED, message, level=level, source=run.source, run=run)
        return True


def wait_for_it(stopped: Callable[[], bool]) -> bool:
    """Return once the database takes writes; False if `stopped` says so before that."""
    log.warning("database.away", exc_info=True)
    while not stopped():
        connection.close()
        _clock.wait(LOOK_S)
        if _takes_writes():
            return True
    return False


def _takes_writes() -> bool:
    try:
        # On SQLite a transaction begins with the write lock.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        if not is_away(error):
            raise
        return False
    return True
