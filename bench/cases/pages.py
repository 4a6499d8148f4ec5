"""(6) Pages of a catalog with a million files: how long a person waits."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import requests

from bench import product
from bench.stand import running_stand
from tests.servers.postgres import running_postgres
from tests.servers.web import prepare, running_web

FILES = 1_000_000
TIMES = 60


def case(*, on_postgres: bool = False) -> Callable[..., Any]:
    """The case on one of the databases."""

    def pages(folder: Path, scale: float) -> dict[str, Any]:
        files = int(FILES * scale)
        with ExitStack() as stack:
            stand = stack.enter_context(running_stand(folder, files=10, size=10))
            database = {}
            if on_postgres:
                folder.chmod(0o755)
                postgres = stack.enter_context(running_postgres())
                database["DATABASE_URL"] = postgres.new_database()
            product.configure(folder, **database)
            from bench.seed import seed

            source = product.link(stand)
            seed(source, files, failed_every=10_007, trashed_every=1_009)
            prepare(os.environ)
            web = stack.enter_context(running_web(dict(os.environ), folder / "web.log"))
            cookie = _log_in(source.owner)
            shown = {
                name: _time(web.url, cookie, paths)
                for name, paths in _pages(source.pk, files).items()
            }
        return {
            "files": files,
            "database": "PostgreSQL" if on_postgres else "SQLite",
            "pages": shown,
        }

    pages.__doc__ = f"(6) Pages at 1M files on {'PostgreSQL' if on_postgres else 'SQLite'}."
    return pages


def _log_in(owner: Any) -> dict[str, str]:
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    return {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}


def _pages(source_id: int, files: int) -> dict[str, list[str]]:
    """Name → addresses, another each time where there are several."""
    from bench.seed import PER_FOLDER, folder_id

    dice = Random(1)
    folders = [folder_id(dice.randrange(max(files // PER_FOLDER, 1))) for _ in range(TIMES)]
    numbers = [dice.randrange(files) for _ in range(TIMES)]
    inside = f"/sources/{source_id}/files/"
    return {
        "dashboard": ["/"],
        "top folder": [inside],
        "a folder of 200": [f"{inside}?folder={folder}" for folder in folders],
        "failures": ["/failures/"],
        "log": ["/log/"],
        "search (administration)": [
            f"/admin/syncapp/file/?q=file+{number:07d}" for number in numbers
        ],
    }


def _time(url: str, cookie: dict[str, str], paths: list[str]) -> dict[str, float]:
    """Milliseconds, p50 and p95; the first answer warms up and does not count."""
    spent = []
    with requests.Session() as session:
        session.trust_env = False
        session.cookies.update(cookie)
        for number in range(TIMES + 1):
            began = time.monotonic()
            answer = session.get(url + paths[number % len(paths)], timeout=300)
            spent.append((time.monotonic() - began) * 1000)
            if answer.status_code != 200 or "/login" in answer.url:
                raise RuntimeError(f"{answer.url}: {answer.status_code}")
            if sum(spent) > 120_000:
                break  # too slow to ask on: what there is says enough
    counted = spent[1:] or spent
    p95 = statistics.quantiles(counted, n=20)[-1] if len(counted) > 1 else counted[0]
    return {"p50": statistics.median(counted), "p95": p95, "times": len(counted)}
