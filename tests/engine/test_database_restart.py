"""PostgreSQL stopped and started under workers and web pages: all go on by themselves."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from scripts import product
from tests.servers.emulator import running_emulator
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.web import collect_static, product_environment, running_web
from tests.servers.workers import Workers, wait_until, workers_in

FILES, AWAY_S = 600, 12
SET_UP = """
import json
from django.conf import settings
from django.test import Client
from bench.product import link_source
from emulator.control import Control
from syncapp.engine.adapters import destination_for
from syncapp.engine import runs
source = link_source(Control({google!r}))
for name in ("one", "two"):
    options = {{"path": {folder!r} + "/" + name}}
    kept = source.destinations.create(owner=source.owner, name=name, kind="local", options=options)
    destination_for(kept).prepare()
visitor = Client()
visitor.force_login(source.owner)
cookie = settings.SESSION_COOKIE_NAME
run, _ = runs.request_backup(source)
print(json.dumps({{"run": run.pk, "cookies": {{cookie: visitor.cookies[cookie].value}}}}))
"""

pytestmark = [pytest.mark.slow, pytest.mark.needs("postgresql")]


def ask(url: str, query: str) -> tuple[Any, ...]:
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(query).fetchone() or ()


def test_a_stopped_and_started_postgresql_is_waited_for(tmp_path: Path) -> None:
    with (
        running_postgres() as server,
        running_emulator("synthetic", files=FILES, file_size=20_000, units_per_minute=0) as google,
    ):
        url = server.new_database()
        env = product_environment(
            tmp_path,
            DATABASE_URL=url,
            GOOGLE_CLIENT_ID=DEFAULT_CLIENT_ID,
            GOOGLE_CLIENT_SECRET=DEFAULT_CLIENT_SECRET,
            GOOGLE_TOKEN_URL=f"{google.url}/token",
            GOOGLE_DRIVE_URL=f"{google.url}/drive/v3/",
            GOOGLE_FORMS_URL=f"{google.url}/",
            GOOGLE_UNITS_PER_MINUTE="0",
            GOOGLE_UNITS_PER_MINUTE_PROJECT="0",
            LEASE_SECONDS="5",
        )
        product.manage(env, "migrate", "--no-input", "--verbosity", "0")
        collect_static(env)
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        google.control.add_fault("alt=media", delay_s=0.3, count=FILES * 2)
        snippet = SET_UP.format(google=google.url, folder=str(tmp_path))
        made = json.loads(product.manage(env, "shell", "-v", "0", "-c", snippet).splitlines()[-1])
        with (
            running_web(env, tmp_path / "web.log") as web,
            workers_in(env, tmp_path / "workers.log", grace_s=5) as workers,
        ):
            outage(server, url, web.url, made, workers)


def outage(server: Postgres, url: str, web: str, made: dict[str, Any], workers: Workers) -> None:
    """Stop it in the middle of the transfers, look at the pages, start it, and wait for the end."""

    def run() -> tuple[Any, ...]:
        columns = "outcome, files_done, faults, error_message"
        return ask(url, f"SELECT {columns} FROM syncapp_run WHERE id = {made['run']}")

    def page() -> requests.Response:
        return requests.get(f"{web}/", cookies=made["cookies"], timeout=60)

    assert page().status_code == 200
    wait_until(lambda: run()[1] > 20, 90, f"the first files\n{workers.log[-3000:]}")
    server.stop()
    stopped_at = time.monotonic()
    shown = page()
    assert (shown.status_code, shown.headers["Retry-After"]) == (503, "10")
    assert "The database does not answer" in shown.text
    assert "Traceback" not in shown.text
    assert "psycopg" not in shown.text
    assert requests.get(f"{web}/healthz", timeout=60).status_code == 503
    time.sleep(max(AWAY_S - (time.monotonic() - stopped_at), 0))
    assert workers.supervisor.poll() is None
    server.start()
    wait_until(lambda: page().status_code == 200, 30, "the pages")
    wait_until(lambda: run()[0] != "running", 150, f"the backup's end\n{workers.log[-3000:]}")
    assert run() == ("ok", FILES, 0, "")
    attempts = ask(url, "SELECT max(attempts), count(*) FROM syncapp_version WHERE state='stored'")
    assert attempts == (1, FILES)
    assert ask(url, "SELECT count(*) FROM syncapp_copy WHERE state='stored'") == (2 * FILES,)
    told = "SELECT count(*) FROM syncapp_event WHERE code='database_waited'"
    assert ask(url, told)[0] >= 1
    alerts = "SELECT count(*) FROM syncapp_event WHERE level='alert'"
    assert ask(url, alerts) == (0,)
