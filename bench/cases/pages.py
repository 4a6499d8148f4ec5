"""(6) Pages of a catalog with a million files: how long a person waits."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import requests

from bench import product
from bench.stand import running_stand
from tests.servers.postgres import running_postgres
from tests.servers.web import collect_static, running_web

FILES = 1_000_000
TIMES = 60
VERSIONS, WIDE = 3, 10_000


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
            from bench.seed import Shape, seed

            source = product.link(stand)
            shape = Shape(VERSIONS, 10_007, 1_009, renamed_every=37, wide=min(WIDE, files // 2))
            seed(source, files, shape)
            collect_static(os.environ)
            web = stack.enter_context(running_web(dict(os.environ), folder / "web.log"))
            cookie = _log_in(source.owner)
            shown = {
                name: _time(web.url, cookie, paths)
                for name, paths in _pages(source.pk, files).items()
            }
        return {
            "files": files,
            "versions": files * VERSIONS,
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
    from bench.seed import PER_FOLDER, WIDE, folder_id

    dice = Random(1)
    whole = max(files // PER_FOLDER, 1)
    folders = [folder_id(dice.randrange(whole // 2, whole)) for _ in range(TIMES)]
    numbers = [dice.randrange(files) for _ in range(TIMES)]
    inside = f"/sources/{source_id}/files/"
    return {
        "dashboard": ["/"],
        "top folder": [inside],
        "a folder of 200": [f"{inside}?folder={folder}" for folder in folders],
        "a folder of 10,000": [f"{inside}?folder={WIDE}"],
        "failures": ["/failures/"],
        "log": ["/log/"],
        "search (administration)": [
            f"/admin/syncapp/file/?q=file+{number:07d}" for number in numbers
        ],
        "a folder of 200 as it was": [
            f"{inside}?folder={folder}&at={_day(number)}"
            for folder, number in zip(folders, numbers, strict=True)
        ],
        "a folder of 10,000 as it was": [f"{inside}?folder={WIDE}&at={_day(n)}" for n in numbers],
        "a file": [f"{inside}{_key(source_id, n)}/" for n in numbers],
        **_searches(numbers, folders),
    }


def _searches(numbers: list[int], folders: list[str]) -> dict[str, list[str]]:
    """Every way to search; each leads by another index, or by none that fits."""
    at = [_day(number) for number in numbers]
    dates = [f"2024-{1 + n % 12:02}-{1 + n % 27:02}" for n in numbers]
    wishes = {
        "a rare word": [f"q={n:07d}" for n in numbers],
        "a common word": ["q=file"],
        "two words": [f"q=file+{n // 100:05d}" for n in numbers],
        "a former name": [f"q=former+{n // 100:05d}" for n in numbers],
        "words that nothing has": [f"q=file+xq{n}" for n in numbers],
        "a word at a moment": [f"q=file&on={when}" for when in at],
        "a common word among what is gone": ["q=file&deleted=only"],
        "path": [f"path=folder+{int(f[-5:]):05d}" for f in folders],
        "path and word": [f"path=folder+{int(f[-5:]):05d}&q={f[-2:]}" for f in folders],
        "size": [f"larger={n % 10}&smaller={n % 10 + 0.01}" for n in numbers],
        "size, type and moment": [
            f"larger={n % 10}&kind=video&on={w}" for n, w in zip(numbers, at, strict=True)
        ],
        "date": [f"since={day}&until={day}" for day in dates],
        "date and size": [f"since={day}&larger=9.99" for day in dates],
        "type": ["kind=image", "kind=video", "kind=pdf", "kind=document"],
        "a type that nothing has": ["kind=archive"],
        "deleted": ["deleted=only"],
        "deleted, by size": ["deleted=only&larger=9.9"],
    }
    return {f"search: {name}": [f"/search/?{w}" for w in found] for name, found in wishes.items()}


def _day(number: int) -> str:
    """A moment in the first forty days of the catalog."""
    from bench.seed import WHEN

    return (WHEN + timedelta(hours=number % 960)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(source_id: int, number: int) -> int:
    from bench.seed import file_id
    from syncapp.models import File

    return File.objects.get(source=source_id, remote_id=file_id(number)).pk


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
