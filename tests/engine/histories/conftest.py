"""The world that histories happen in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.histories.world import World


@pytest.fixture
def world(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> World:
    settings.FILES_IN_FLIGHT = settings.RESTORES_IN_FLIGHT = 2
    return World(monkeypatch, tmp_path)
