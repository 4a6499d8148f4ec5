"""Three people: an owner, a teammate with things of their own, an outsider with none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from tests.engine.vault import Vault
from tests.web import baked


@pytest.fixture(autouse=True)
def _no_remembered_totals() -> None:
    cache.clear()


@pytest.fixture
def owner(db: None) -> baked.Owned:
    return baked.owned("ana")


@pytest.fixture
def teammate(db: None) -> baked.Owned:
    return baked.owned("ben", is_staff=True, is_superuser=True)


@pytest.fixture
def outsider(db: None) -> User:
    return baked.person("eve")


@pytest.fixture
def log_in() -> Callable[[User], Client]:
    """A browser in which somebody is logged in."""

    def logged_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return logged_in


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path, settings: Any) -> Vault:
    """A source whose files lie in two folders."""
    settings.SPOOL_DIR = tmp_path / "spool"
    return Vault.make(tmp_path)


@pytest.fixture
def visitor(vault: Vault) -> Client:
    """A browser in which the vault's owner is logged in."""
    client = Client()
    client.force_login(vault.source.owner)
    return client
