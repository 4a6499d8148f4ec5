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
from accounts.tokens import may_write, not_allowed, withdraw_writing, writing_credentials
from syncapp.connections import own_connection
from syncapp.engine.limits import Stopped, WritingPace, never, wait
from syncapp.engine.restore_plan import google_names
from syncapp.errors import ConfigurationError, Unavailable
from syncapp.models import DriveId, Restore, RestoreFolder, RestoreItem, Source
from syncapp.restore_targets.base import Path
from syncapp.restore_targets.drive import DriveTarget, Wishes
from syncapp.sources.drive_formats import SHORTCUT
from syncapp.sources.google_client import GoogleClient, GoogleEndpoints
from syncapp.sources.google_write import DriveWriter
from syncapp.types import JsonObject

MAX_NAME = 1000  # characters of the new folder's name


class KeptIds:
    """The ids of one restore's files and folders, as rows."""

    def __init__(self, restore_id: int) -> None:
        self._restore_id = restore_id

    def of_item(self, item_id: int) -> str:
        """What is kept for an item, "" for nothing."""
        with own_connection():
            kept = self._row(_item(item_id)).first()
            return kept.remote_id if kept else ""

    def keep(self, item_id: int, before: str, after: str) -> str:
        """Keep `after` if `before` is kept still; what is kept now."""
        key = _item(item_id)
        with own_connection():
            if before:
                self._row(key).filter(remote_id=before).update(remote_id=after)
            return self._made_sure(key, after).remote_id

    def of_folder(self, path: Path, make: Callable[[], str]) -> tuple[str, bool]:
        """The id of a folder, from now on always the same, and whether it is known to be made."""
        key = _hash(path)
        with own_connection():
            kept = self._row(key).first()
        if kept is None:
            new = make()  # asks Google: not while a connection is held
            with own_connection():
                kept = self._made_sure(key, new)
        return kept.remote_id, kept.made

    def made(self, path: Path) -> None:
        """A folder is there."""
        with own_connection():
            self._row(_hash(path)).update(made=True)

    def of_original(self, remote_id: str) -> str:
        """What this restore made of a file of Google's, "" for nothing."""
        with own_connection():
            mine = {"restore_id": self._restore_id, "file__remote_id": remote_id}
            # Nothing may point to a shortcut; two that did would wait for ever.
            items = RestoreItem.objects.filter(**mine).exclude(file__mime_type=SHORTCUT)
            item = items.order_by("pk").first()
        if item is None or item.state == RestoreItem.State.FAILED:
            return ""
        if item.state != RestoreItem.State.DONE:
            raise Unavailable("What the shortcut points to is still to be restored.")
        return item.placed

    def folder_of_original(self, remote_id: str) -> tuple[Path, Path] | None:
        """Where this restore puts a folder of Google's, made or not yet."""
        with own_connection():
            mine = {"restore_id": self._restore_id, "file__remote_id": remote_id}
            folder = RestoreFolder.objects.filter(**mine).order_by("pk").first()
        if folder is None:
            return None
        path = tuple(folder.path.split("/"))
        return path, google_names(path)

    def _row(self, key: str) -> QuerySet[DriveId]:
        return DriveId.objects.filter(restore_id=self._restore_id, key=key)

    def _made_sure(self, key: str, remote_id: str) -> DriveId:
        """The row, made now unless another lane was quicker."""
        kept, _ = DriveId.objects.get_or_create(
            restore_id=self._restore_id, key=key, defaults={"remote_id": remote_id}
        )
        return kept


def check(source: Source, options: JsonObject) -> JsonObject:
    """The options as they are kept with a restore; ConfigurationError says what is wrong."""
    account = _account(source, options)
    if not may_write(account):
        raise not_allowed(account)
    kept: JsonObject = {"account": account.pk}
    folder = str(options.get("folder") or "").strip()
    return kept | {"folder": folder[:MAX_NAME]} if folder else kept


def drive_target(restore: Restore, stopped: Stopped = never) -> DriveTarget:
    """The target of a restore to Drive; makes no request.

    Of its options `account` is another Google account of the same owner, by id or email, `folder`
    the new folder's name. ConfigurationError if nobody has allowed writing there.
    """
    account = _account(restore.run.source, restore.options)
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


def account_of(restore: Restore) -> GoogleAccount | None:
    """Whose Drive it goes to; None if that account is linked no more."""
    try:
        return _account(restore.run.source, restore.options)
    except ConfigurationError:
        return None


def folder_made(restore: Restore) -> str:
    """The address of the restore's own folder in Drive, "" while there is none."""
    row = DriveId.objects.filter(restore=restore, key=_hash(()), made=True).first()
    return f"https://drive.google.com/drive/folders/{row.remote_id}" if row else ""


def folder_name(restore: Restore) -> str:
    """The dated folder, unless a person named another; the same for every lane."""
    asked_at = timezone.localtime(restore.run.created_at)
    return f"Restored {asked_at:%Y-%m-%d %H:%M}"


def _account(source: Source, options: JsonObject) -> GoogleAccount:
    wanted = str(options.get("account") or source.account_id)
    mine = GoogleAccount.objects.filter(user_id=source.owner_id)
    which = {"pk": wanted} if wanted.isdecimal() else {"email__iexact": wanted}
    account = mine.filter(**which).first()
    if account is None:
        raise ConfigurationError(
            "The Google account to restore to is not linked (any more). Choose another one."
        )
    return account


def _item(item_id: int) -> str:
    return f"item:{item_id}"


def _hash(path: Path) -> str:
    return hashlib.sha256("\0".join(path).encode(errors="surrogatepass")).hexdigest()
