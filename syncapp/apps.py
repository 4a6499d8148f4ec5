"""Names the application."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class SyncappConfig(AppConfig):
    """The backup."""

    name = "syncapp"
    verbose_name = "Backup"

    def ready(self) -> None:
        """Hear of accounts that are about to be unlinked."""
        from accounts.linking import unlinking

        unlinking.connect(_close_channels)


def _close_channels(account: Any, **_: Any) -> None:
    from syncapp.engine import push

    push.forget_account(account)
