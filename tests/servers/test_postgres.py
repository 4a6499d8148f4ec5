"""The throw-away PostgreSQL that tests restart."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from tests.servers.postgres import running_postgres

pytestmark = pytest.mark.needs("postgresql")


def test_what_was_committed_stays_when_the_server_is_stopped_at_once() -> None:
    with running_postgres() as server:
        with closing(psycopg.connect(server.url(), autocommit=True)) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 0 AS number")
            for number in range(1, 21):
                connection.execute("INSERT INTO kept VALUES (%s)", [number])
            server.stop()
        server.start()
        with closing(psycopg.connect(server.url())) as connection:
            found = connection.execute("SELECT number FROM kept ORDER BY number").fetchall()
    assert [number for (number,) in found] == list(range(21))
