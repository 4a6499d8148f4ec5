"""The database locked, full or away in the middle of a run: everything waits and goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from threading import Event as Signal
from threading import Thread
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections

from syncapp.engine import database, runs
from syncapp.models import Event, Run, Version
from tests.engine.conftest import Setting
from tests.engine.in_time import in_a_thread, step, stored, wait_for, worked

SHORT_MS = 300


class Lock:
    """SQLite's write lock in another process's hands, as far as the product can tell."""

    def __init__(self) -> None:
        self._release, self._taken = Signal(), Signal()
        self._thread = Thread(target=self._hold)

    def take(self) -> None:
        self._thread.start()
        assert self._taken.wait(30)

    def release(self) -> None:
        self._release.set()
        self._thread.join()

    def _hold(self) -> None:
        name = connections.databases["default"]["TEST"]["NAME"]
        with closing(sqlite3.connect(name, timeout=30, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            self._taken.set()
            self._release.wait(120)


@pytest.fixture
def lock() -> Iterator[Lock]:
    held = Lock()
    yield held
    if held._thread.is_alive():
        held.release()


@pytest.fixture
def impatient() -> Iterator[None]:
    """SQLite gives up on a lock after a third of a second instead of twenty."""
    options = connections.databases["default"].get("OPTIONS", {})
    before = dict(options)
    if connection.vendor == "sqlite":
        options["timeout"] = SHORT_MS / 1000
        options["init_command"] = before["init_command"].replace("=20000", f"={SHORT_MS}")
        connection.close()
    yield
    options.update(before)
    connection.close()


def is_well(few: Setting, run: Run) -> None:
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 40), run.error_message
    assert (stored(few.folder), stored(few.bucket)) == (40, 40)
    assert run.faults == 0
    assert not Version.objects.filter(attempts__gt=1).exists(), "no attempt is burnt"
    assert not Version.objects.filter(leases__gt=0).exists()
    assert not Event.objects.filter(level=Event.Level.ALERT).exists()
    told = Event.objects.filter(code=database.WAITED, run=run)
    assert "took no writes for" in told[0].message


@pytest.mark.database("sqlite")  # PostgreSQL locks rows, not the database
@pytest.mark.parametrize("stage", ["scan", "transfer"])
def test_a_lock_that_outlasts_the_time_out_is_waited_for(
    few: Setting, impatient: None, lock: Lock, stage: str
) -> None:
    lasts(few, lock, stage, 1.5)


@pytest.mark.database("sqlite")  # PostgreSQL locks rows, not the database
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["scan", "transfer"])
def test_a_lock_of_half_a_minute_is_waited_for(few: Setting, lock: Lock, stage: str) -> None:
    lasts(few, lock, stage, 30)


def lasts(few: Setting, lock: Lock, stage: str, seconds: float) -> None:
    """The lock is taken in the middle of a stage, and released after so long."""
    listing = stage == "scan"
    run, _ = runs.request_backup(few.source)
    if not listing:
        step(run)
    few.control.add_fault("/files[?]" if listing else "alt=media", delay_s=0.4, count=40)
    thread = worked(run)
    if listing:
        wait_for(lambda: few.control.counters()["requests"].get("files.list"))
    else:
        wait_for(lambda: Version.objects.exclude(lease_owner="").exists())
    lock.take()
    Signal().wait(seconds)
    assert run.ended_at is None
    lock.release()
    thread.join(60)
    run.refresh_from_db()
    is_well(few, run)


def test_errors_of_the_program_are_no_outage() -> None:
    missing = OperationalError("no such table")
    missing.__cause__ = sqlite3.OperationalError("no such table")
    missing.__cause__.sqlite_errorcode = sqlite3.SQLITE_ERROR  # type: ignore[attr-defined]
    assert not database.is_away(missing)
    assert not database.is_away(ProgrammingError("syntax"))
    assert not database.is_away(OperationalError("made by Django"))


@pytest.mark.database("sqlite")  # PostgreSQL locks rows, not the database
def test_waiting_ends_when_the_worker_is_asked_to_stop(
    few: Setting, impatient: None, lock: Lock
) -> None:
    run, _ = runs.request_backup(few.source)
    asked = Signal()
    patience = database.Patience(run, asked.is_set)
    lock.take()
    ended: list[BaseException] = []

    def write() -> None:
        try:
            patience(lambda: Run.objects.filter(pk=run.pk).update(faults=0))
        except OperationalError as error:
            ended.append(error)

    thread = in_a_thread(write)
    asked.set()
    thread.join(10)
    assert len(ended) == 1
    assert database.is_away(ended[0])


def locked(*_: Any) -> Any:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    raise OperationalError("password of the database") from cause


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", ["view", "session"])
def test_a_page_without_a_database_says_so(
    client: Any, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    client.raise_request_exception = False
    where = {
        "view": "syncapp.web.views.health.runs.worker_alive",
        "session": "django.contrib.sessions.backends.db.SessionStore.load",
    }
    monkeypatch.setattr(where[wrong], locked)
    if wrong == "view":
        monkeypatch.setattr("syncapp.web.views.health.DatabaseError", ZeroDivisionError)
    else:
        client.cookies["sessionid"] = "x" * 32
    answer = client.get("/healthz" if wrong == "view" else "/")
    page = answer.content.decode()
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert "The database does not answer" in page
    assert "password" not in page
    assert "Traceback" not in page
