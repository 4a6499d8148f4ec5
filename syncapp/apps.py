"""Names the application."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class SyncappConfig(AppConfig):
    """The backup."""

    name = "syncapp"
    verbose_name = "Backup"

    def ready(self) -> None:
        """Hear of accounts that are about to be unlinked, and of new connections."""
        from accounts.linking import unlinking

        unlinking.connect(_close_channels)
        connection_created.connect(_give_folded)


def _close_channels(account: Any, **_: Any) -> None:
    from syncapp.engine import push

    push.forget_account(account)


def _give_folded(connection: Any, **_: Any) -> None:
    """SQLite: what its indexes of names are filled with (migration 0004)."""
    from syncapp.engine.keys import fold

    if connection.vendor == "sqlite":
        connection.connection.create_function("folded", 1, fold, deterministic=True)
