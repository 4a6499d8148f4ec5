"""The stores that the conformance suite runs on: each test in a place of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncapp.destinations.base import Destination
from syncapp.destinations.local import LocalDestination

STORES = ["local"]


def local_store(folder: Path) -> Destination:
    store = LocalDestination.create({"path": str(folder), "prefix": "backup"}, {})
    store.prepare()
    return store


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    return local_store(tmp_path / "store")
