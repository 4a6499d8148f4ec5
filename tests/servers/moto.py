"""moto's server: Amazon's API where no other server has it (SHA-256 attributes, public access)."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.servers.buckets import make_buckets
from tests.servers.process import launch, wait_for_words
from tests.servers.shared import Started

BUCKET = "backup"
VERSIONED = "versioned"
ACCESS_KEY, SECRET_KEY = "moto-key", "moto-secret"


def start(folder: Path) -> Started:
    """A server in memory with a plain and a versioned bucket."""
    log = folder / "moto.log"
    pid = launch([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], log)
    endpoint = wait_for_words(pid, log, r"http://127\.0\.0\.1:\d+").group()
    info = {
        "endpoint": endpoint,
        "bucket": BUCKET,
        "versioned": VERSIONED,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "authority": "",
    }
    make_buckets(info)
    return Started(info, [pid])
