"""Restores to Google Drive: what a target there keeps in the database, and how one is put together.

Every lane of a restore has a target of its own; what they make is the same, because ids are kept
here, by compare-and-set, before anything is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import GoogleAccount
from accounts.tokens import withdraw_writing, writing_credentials
from syncapp.engine.limits import Stopped, WritingPace, never, own_connection, wait
from syncapp.errors import ConfigurationError
from syncapp.models import Restore, RestoreFolder, RestoreItem
from syncapp.restore_targets.base import Path
from syncapp.restore_targets.drive import DriveTarget, Wishes
from syncapp.sources.google_client import GoogleClient, GoogleEndpoints
from syncapp.sources.google_write import DriveWriter


class KeptIds:
    """The ids of one restore: of items in `placed`, of folders in rows of their own."""

    def __init__(self, restore_id: int) -> None:
        self._restore_id = restore_id

    def of_item(self, item_id: int) -> str:
        """What is kept for an item, "" for nothing."""
        with own_connection():
            placed = RestoreItem.objects.filter(pk=item_id).values_list("placed", flat=True)
            return placed.first() or ""

    def keep(self, item_id: int, before: str, after: str) -> str:
        """Keep `after` if `before` is kept still; what is kept now."""
        with own_connection():
            RestoreItem.objects.filter(pk=item_id, placed=before).update(placed=after)
        return self.of_item(item_id)

    def of_folder(self, path: Path, make: Callable[[], str]) -> tuple[str, bool]:
        """The id of a folder, from now on always the same, and whether it is known to be made."""
        with own_connection():
            kept = self._folders(path).first()
        if kept is None:
            new = make()  # asks Google: not while a connection is held
            with own_connection():
                kept, _ = RestoreFolder.objects.get_or_create(
                    restore_id=self._restore_id, path_hash=_hash(path), defaults={"remote_id": new}
                )
        return kept.remote_id, kept.made

    def made(self, path: Path) -> None:
        """A folder is there."""
        with own_connection():
            self._folders(path).update(made=True)

    def _folders(self, path: Path) -> QuerySet[RestoreFolder]:
        return RestoreFolder.objects.filter(restore_id=self._restore_id, path_hash=_hash(path))


def drive_target(restore: Restore, stopped: Stopped = never) -> DriveTarget:
    """The target of a restore to Drive; makes no request.

    Of its options `account` is the id of another Google account of the same owner, `folder` the
    new folder's name. ConfigurationError if nobody has allowed writing there.
    """
    account = _account(restore)
    endpoints = GoogleEndpoints(
        drive_url=settings.GOOGLE_DRIVE_URL, forms_url=settings.GOOGLE_FORMS_URL
    )
    client = GoogleClient(
        writing_credentials(account.pk),
        endpoints,
        pause=lambda seconds: wait(seconds, stopped),
        pace=WritingPace(account.pk, stopped),
    )
    writer = DriveWriter(client, refused=lambda: withdraw_writing(account.pk))
    wishes = Wishes(
        restore.options.get("folder") or folder_name(restore),
        account.email,
        convert=restore.convert,
        permissions=restore.permissions,
    )
    return DriveTarget(writer, KeptIds(restore.pk), wishes)


def folder_name(restore: Restore) -> str:
    """The dated folder, unless a person named another; the same for every lane."""
    asked_at = timezone.localtime(restore.run.created_at)
    return f"Restored {asked_at:%Y-%m-%d %H:%M}"


def _account(restore: Restore) -> GoogleAccount:
    source = restore.run.source
    wanted = restore.options.get("account") or source.account_id
    account = GoogleAccount.objects.filter(pk=wanted, user_id=source.owner_id).first()
    if account is None:
        raise ConfigurationError(
            "The Google account to restore to is not linked (any more). Choose another one."
        )
    return account


def _hash(path: Path) -> str:
    return hashlib.sha256("\0".join(path).encode(errors="surrogatepass")).hexdigest()
