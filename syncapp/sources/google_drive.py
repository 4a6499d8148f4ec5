"""Google Drive as a source: what there is, what it contains, whether it can be read.

Puts together the parts beside it: `drive_listing` (scan), `drive_changes` (change logs),
`drive_watch` (push channels), `drive_media` and `drive_ranges` (stored bytes),
`drive_exports` (documents), `google_forms` (forms, shortcuts). Only ever reads. Facts and limits:
developers.google.com/workspace/drive/api/reference/rest/v3.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from syncapp.errors import BackupError, PermanentError
from syncapp.pacing import Pace
from syncapp.sources import drive_changes, drive_listing, drive_watch
from syncapp.sources.base import Download, Source
from syncapp.sources.drive_exports import read_export
from syncapp.sources.drive_items import ITEM_FIELDS, Tree, to_file, translation
from syncapp.sources.drive_media import quoted, read_whole, resource_keys
from syncapp.sources.drive_ranges import Streams, read_big
from syncapp.sources.google_client import GoogleClient, GoogleEndpoints, Pause
from syncapp.sources.google_forms import NOT_GRANTED, RESPONSES_SCOPE, read_form, read_shortcut
from syncapp.types import (
    AccountInfo,
    ChangePage,
    CheckResult,
    Content,
    ItemPage,
    JsonObject,
    RemoteFile,
    Watch,
)

DRIVE_SCOPES = frozenset(
    [
        "https://www.googleapis.com/auth/drive.readonly",
        "https://www.googleapis.com/auth/drive",
    ]
)


class GoogleDriveSource(Source):
    """One account's Drive, shared drives and what others share with it.

    `credentials` is a google.auth Credentials; what its refresh() raises of our errors passes
    through. `scopes` are those that were granted. `pause` waits between tries, `pace` before each
    request. Big files share `streams` connections.
    """

    kind = "google_drive"

    def __init__(
        self,
        credentials: Any,
        endpoints: GoogleEndpoints,
        *,
        scopes: frozenset[str],
        pause: Pause = time.sleep,
        pace: Pace | None = None,
        streams: int = 1,
    ) -> None:
        self._client = GoogleClient(credentials, endpoints, pause=pause, pace=pace)
        self._scopes = scopes
        self._streams = Streams(streams)
        self._tree: Tree | None = None  # the last that was read
        self._listed: Tree | None = None  # read for a cursor whose scan is still to come

    def account(self) -> AccountInfo:
        fields = "user(displayName,emailAddress),storageQuota(limit,usage)"
        about = drive_listing.ask(
            self._client, self._client.about.get(fields=fields), "the account"
        )
        user, quota = about.get("user", {}), about.get("storageQuota", {})
        return AccountInfo(
            email=user.get("emailAddress", ""),
            name=user.get("displayName", ""),
            used_bytes=_int_or_none(quota.get("usage")),
            limit_bytes=_int_or_none(quota.get("limit")),
        )

    def start_cursor(self) -> JsonObject:
        """One position a change log, and a hash of what items are translated with."""
        self._listed = self._read_tree()
        return drive_changes.start(self._client, self._listed)

    def scan(self, trusted: JsonObject, after: JsonObject | None = None) -> Iterator[ItemPage]:
        # The tree of the cursor, if it was just taken: the marks written now belong to its hash.
        tree, self._listed = self._listed or self._read_tree(), None
        same = trusted.get("tree") == translation(tree)
        return drive_listing.scan(self._client, tree, after or {}, trusted=same)

    def changes(self, cursor: JsonObject) -> Iterator[ChangePage]:
        return drive_changes.replay(self._client, cursor, self._read_tree)

    def below(self, folder: RemoteFile) -> Iterator[ItemPage]:
        tree = self._tree or self._read_tree()
        scope = folder.drive_id if folder.drive_id in tree.drives else drive_listing.USER
        return drive_listing.scan_below(self._client, folder.remote_id, scope, tree)

    def watch(
        self,
        cursor: JsonObject,
        scope: str,
        *,
        channel_id: str,
        token: str,
        address: str,
        ttl_s: int,
    ) -> Watch:
        channel = drive_watch.Channel(channel_id, token, address, ttl_s)
        return drive_watch.watch(
            self._client, drive_changes.token_of(cursor, scope), scope, channel
        )

    def stop_watching(self, channel_id: str, resource_id: str) -> None:
        drive_watch.stop(self._client, channel_id, resource_id)

    def refresh(self, file: RemoteFile) -> RemoteFile:
        """The file as it is now; NotFound if it is gone. For a read that met a change."""
        request = self._client.files.get(
            fileId=file.remote_id, fields=ITEM_FIELDS, supportsAllDrives=True
        )
        item = self._client.call(request, quoted(file), resource_keys=resource_keys(file))
        return to_file(item, self._tree or self._read_tree())

    def download(self, file: RemoteFile) -> AbstractContextManager[Download]:
        if file.content is Content.BLOB:
            return read_big(self._client, file, self._streams)
        if file.content is Content.EXPORT:
            return read_export(self._client, file)
        if file.content is Content.FORM:
            return read_form(self._client, file, self._scopes)
        if file.content is Content.SHORTCUT:
            return read_shortcut(file)
        raise PermanentError(
            file.problem_message or f"{quoted(file)} has no bytes of its own.",
            code=file.problem or "not_exportable",
        )

    def read_small(self, file: RemoteFile) -> tuple[bytes, str] | None:
        stored = file.content is Content.BLOB and file.size is not None
        return read_whole(self._client, file) if stored else None

    def check(self) -> list[CheckResult]:
        results = [*self._check_scopes()]
        try:
            account = self.account()
            drives = len(list(drive_listing.shared_drives(self._client)))
        except BackupError as error:
            return [*results, CheckResult("account", "error", error.message)]
        return [
            *results,
            CheckResult("account", "ok", f"Reads the Drive of {account.email}."),
            CheckResult("shared drives", "ok", f"{drives} shared drives."),
            CheckResult("storage", "ok", _storage_sentence(account)),
        ]

    def _check_scopes(self) -> Iterator[CheckResult]:
        if self._scopes & DRIVE_SCOPES:
            yield CheckResult("drive permission", "ok")
        else:
            message = "Reading Drive was not allowed. Link the account again and tick its box."
            yield CheckResult("drive permission", "error", message)
        if RESPONSES_SCOPE in self._scopes:
            yield CheckResult("form responses", "ok")
        else:
            yield CheckResult("form responses", "warning", NOT_GRANTED)

    def _read_tree(self) -> Tree:
        self._tree = tree = drive_listing.read_tree(self._client)
        return tree


def _int_or_none(value: str | None) -> int | None:
    return int(value) if value is not None else None


def _storage_sentence(account: AccountInfo) -> str:
    used = f"{(account.used_bytes or 0) / 1e9:,.1f} GB used"
    limit = f" of {account.limit_bytes / 1e9:,.1f} GB" if account.limit_bytes else ""
    return f"{used}{limit}."
