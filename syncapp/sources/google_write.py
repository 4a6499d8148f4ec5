"""Writing into a Drive what is restored: folders, files, conversion, permissions.

The only code that changes anything at Google, and only in what it made itself: it is given a token
of the scope drive.file. Everything is made once: the caller keeps the id of a thing before it is
made, and whatever is tried again meets that id. Documents of Google's own can't be given an id
(developers.google.com/workspace/drive/api/guides/create-file); they are found by a mark.
Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from syncapp.errors import (
    ConfigurationError,
    IntegrityError,
    NotFound,
    PermanentError,
    ReconnectRequired,
)
from syncapp.sources.drive_formats import FOLDER, SHORTCUT
from syncapp.sources.google_client import GoogleClient
from syncapp.sources.google_upload import NewContent, Place, upload
from syncapp.types import JsonObject

FILE_FIELDS = "id,mimeType,size,md5Checksum,sha256Checksum,trashed"
IDS_AT_ONCE = 100
ID_IN_USE = "file_id_in_use"
# What a permission that was read says, and what may be said of a new one.
_GRANTED = ("type", "emailAddress", "domain", "allowFileDiscovery", "expirationTime")
# Roles of shared drives, which a file in My Drive can't have: what is nearest below.
_ROLES = {"organizer": "writer", "fileOrganizer": "writer"}


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be made. `mark` is kept on it (appProperties), at most 124 bytes a pair."""

    name: str
    parent_id: str
    mark: Mapping[str, str]
    modified_at: datetime | None = None
    description: str = ""

    def said(self, **more: str) -> JsonObject:
        """As files.create wants it."""
        said: JsonObject = {
            "name": self.name,
            "parents": [self.parent_id],
            "appProperties": dict(self.mark),
            **more,
        }
        if self.modified_at is not None:
            said["modifiedTime"] = _rfc3339(self.modified_at)
        if self.description:
            said["description"] = self.description
        return said

    @property
    def shown(self) -> str:
        return f"“{self.name}”"


@dataclass(frozen=True, slots=True)
class Imports:
    """What Google converts: types that each type may become, and the most bytes for each."""

    becomes: Mapping[str, tuple[str, ...]]
    most_bytes: Mapping[str, int]

    def takes(self, content_type: str, size: int, wanted: str) -> bool:
        """Whether bytes of that type and number may become a document of the type `wanted`."""
        most = self.most_bytes.get(wanted, 0)
        return wanted in self.becomes.get(content_type, ()) and 0 < size <= most


class DriveWriter:
    """One account's Drive, to be restored to."""

    def __init__(self, client: GoogleClient, refused: Callable[[], None] = lambda: None) -> None:
        """`client` has credentials of the scope drive.file; `refused` hears that Google says no."""
        self._client, self._refused = client, refused
        self._ids: list[str] = []
        self._refilling = threading.Lock()
        self._imports: Imports | None = None

    def new_id(self) -> str:
        """An id for a file or folder that is still to be made."""
        with self._refilling:
            if not self._ids:
                request = self._client.files.generateIds(count=IDS_AT_ONCE, fields="ids")
                self._ids = list(self._call(request, "ids for new files")["ids"])
            return self._ids.pop()

    def imports(self) -> Imports:
        """What Google converts; asked once."""
        if self._imports is None:
            request = self._client.about.get(fields="importFormats,maxImportSizes")
            about = self._call(request, "the formats that Google converts")
            formats = about.get("importFormats", {})
            self._imports = Imports(
                {kind: tuple(wanted) for kind, wanted in formats.items()},
                {kind: int(size) for kind, size in about.get("maxImportSizes", {}).items()},
            )
        return self._imports

    def find(self, file_id: str) -> JsonObject | None:
        """The file of that id, None if there is none."""
        request = self._client.files.get(fileId=file_id, fields=FILE_FIELDS, supportsAllDrives=True)
        try:
            return self._call(request, "a restored file")
        except NotFound:
            return None

    def find_marked(self, mark: Mapping[str, str]) -> JsonObject | None:
        """A file with that mark, None if there is none."""
        pairs = [f"appProperties has {{ key='{k}' and value='{v}' }}" for k, v in mark.items()]
        request = self._client.files.list(
            q=" and ".join(pairs), fields=f"files({FILE_FIELDS})", pageSize=1
        )
        found = self._call(request, "files restored earlier").get("files", [])
        return found[0] if found else None

    def make_folder(self, file_id: str, folder: NewFile) -> None:
        """Have a folder of that id. The empty parent is My Drive itself."""
        said = folder.said(id=file_id, mimeType=FOLDER)
        if not folder.parent_id:
            del said["parents"]
        request = self._client.files.create(body=said, fields="id", supportsAllDrives=True)
        try:
            self._call(request, f"the new folder {folder.shown}")
        except PermanentError as error:
            if error.code != ID_IN_USE:
                raise

    def make_shortcut(self, file_id: str, shortcut: NewFile, target_id: str) -> None:
        """Have a shortcut of that id. PermanentError if Google lets us point to no such file."""
        said = shortcut.said(id=file_id, mimeType=SHORTCUT)
        said["shortcutDetails"] = {"targetId": target_id}
        request = self._client.files.create(body=said, fields="id", supportsAllDrives=True)
        try:
            self._call(request, f"the shortcut {shortcut.shown}")
        except PermanentError as error:
            there = self.find(file_id) if error.code == ID_IN_USE else None
            if there is None or there.get("mimeType") != SHORTCUT:
                raise

    def set_time(self, file_id: str, modified_at: datetime) -> None:
        """Say when a file or folder was changed."""
        request = self._client.files.update(
            fileId=file_id,
            body={"modifiedTime": _rfc3339(modified_at)},
            fields="id",
            supportsAllDrives=True,
        )
        self._call(request, "the time of a restored folder")

    def make_file(self, file_id: str, file: NewFile, content: NewContent, sha256: str) -> None:
        """Have a file of that id with these bytes, and nothing else.

        IntegrityError if Google holds other bytes than were sent: the next try replaces them.
        """
        said = file.said(id=file_id, mimeType=content.content_type)
        try:
            made = self._upload(Place(said, file.shown, FILE_FIELDS), content)
        except PermanentError as error:
            if error.code != ID_IN_USE:
                raise
            there = self.find(file_id) or {}
            if is_whole(there, content.size, sha256):
                return
            made = self._replace(file_id, file, content)
        if not is_whole(made, content.size, sha256):
            raise IntegrityError(f"Google holds other bytes of {file.shown} than it was sent.")

    def convert(self, file: NewFile, wanted: str, content: NewContent) -> str:
        """Make a document of the type `wanted` out of the bytes; its id.

        PermanentError if Google can't convert them. Not idempotent: look for the mark first.
        """
        said = file.said(mimeType=wanted)
        made = self._upload(Place(said, file.shown, FILE_FIELDS), content)
        if made.get("mimeType") != wanted:
            raise PermanentError(
                f"Google did not convert {file.shown}.", code="conversion_unsupported"
            )
        return str(made["id"])

    def share(self, file_id: str, permission: Mapping[str, Any]) -> None:
        """Grant what was granted before; nobody gets an email. Twice is as good as once."""
        said = {name: permission[name] for name in _GRANTED if permission.get(name)}
        said["role"] = _ROLES.get(permission["role"], permission["role"])
        quiet = {} if said["type"] in ("anyone", "domain") else {"sendNotificationEmail": False}
        request = self._client.permissions.create(
            fileId=file_id, body=said, fields="id", supportsAllDrives=True, **quiet
        )
        self._call(request, f"sharing with {grantee(permission)}")

    def _replace(self, file_id: str, file: NewFile, content: NewContent) -> JsonObject:
        said = file.said()
        del said["parents"]
        return self._upload(Place(said, file.shown, FILE_FIELDS, file_id), content)

    def _upload(self, place: Place, content: NewContent) -> JsonObject:
        try:
            return upload(self._client, place, content)
        except ReconnectRequired as error:
            raise self._not_allowed(error) from error

    def _call(self, request: Any, what: str) -> JsonObject:
        try:
            return self._client.call(request, what)
        except ReconnectRequired as error:
            raise self._not_allowed(error) from error

    def _not_allowed(self, error: ReconnectRequired) -> ConfigurationError:
        """A missing scope is about writing only: reading needs no new consent for it."""
        if error.code != "scope_missing":
            return error
        self._refused()
        return ConfigurationError(
            "Google does not let us restore to this Drive (any more). Press “Allow restoring to "
            "Drive” on the page Google accounts.",
            code="write_not_granted",
        )


def is_whole(file: JsonObject, size: int, sha256: str) -> bool:
    """Whether Google's description of a file is that of these bytes."""
    return int(file.get("size", -1)) == size and file.get("sha256Checksum") == sha256


def grantee(permission: Mapping[str, Any]) -> str:
    """Who has a permission, for people."""
    if permission.get("type") == "anyone":
        return "anyone with the link"
    return str(permission.get("emailAddress") or permission.get("domain") or "somebody unnamed")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
