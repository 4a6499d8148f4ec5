"""Redis, through which several hosts share queue and cache: the settings reach it for real."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.needs("redis")
def test_queue_and_cache_live_in_redis_when_it_is_configured(
    redis_url: str, tmp_path: Path
) -> None:
    code = """
    from django.core.cache import cache
    from django_q.brokers import get_broker
    from django_q.tasks import async_task
    broker = get_broker()
    async_task("math.floor", 1.5, broker=broker)
    cache.set("seen", 7)
    print(type(broker).__name__, broker.ping(), broker.queue_size(), cache.get("seen"))
    """
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "shell", "--no-imports"]
        + ["--command", textwrap.dedent(code)],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "REDIS_URL": redis_url,
            "TEST_DATA_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )

    assert done.stdout.split() == ["Redis", "True", "1", "7"], done.stderr
    assert not (tmp_path / "cache").exists()
