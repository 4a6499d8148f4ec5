"""Google's documents, converted by Google: a ladder of three ways, the cheapest first.

`files.export` (up to 10 MB), then a `files.download` operation, then the `exportLinks` address.
Must not pass off a log-in page, nothing at all, or a document edited meanwhile as an export. Rule
followed: developers.google.com/workspace/drive/api/guides/manage-downloads. Exports have no
checksum and no Range: a break is an error, never resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple
from urllib.parse import quote

from syncapp.errors import (
    BackupError,
    PermanentError,
    TransientError,
    Unavailable,
)
from syncapp.sources.base import Download
from syncapp.sources.drive_formats import VIDEO
from syncapp.sources.drive_media import quoted, resource_keys
from syncapp.sources.google_client import GoogleClient, content_length
from syncapp.sources.google_errors import translate_transport
from syncapp.types import JsonObject, RemoteFile
from syncapp.wire import WireError
from syncapp.wire_stream import Incoming

TOO_LARGE_CODE = "export_size_limit_exceeded"
STATE_FIELDS = "modifiedTime,exportLinks"
FIRST_POLL_S = 1.0
LONGEST_POLL_S = 10.0
OPERATION_LIMIT_S = 600.0
BUSY_CODES = frozenset([2, 4, 8, 10, 13, 14])  # of google.rpc: faults of Google's own, not refusals


class _Document(NamedTuple):
    """An export whose first bytes have come."""

    response: Incoming
    chunks: Iterator[bytes]


@contextmanager
def read_export(client: GoogleClient, file: RemoteFile) -> Iterator[Download]:
    """Open a conversion of the document to the format that the scan chose."""
    before = _state(client, file)
    document = _climb(client, file, before)
    size = content_length(document.response)
    chunks = _until_checked(client, file, document, before)
    try:
        yield Download(chunks, size, file.extra["export_mime"])
    finally:
        document.response.close()


def _climb(client: GoogleClient, file: RemoteFile, state: JsonObject) -> _Document:
    """Try each way; all three reasons are told if none leads up."""
    ways: list[tuple[str, Callable[[], str]]] = [
        ("export", lambda: _export_url(client, file)),
        ("files.download", lambda: _operation_url(client, file)),
        ("export link", lambda: _link_url(file, state)),
    ]
    failures: list[tuple[str, BackupError]] = []
    for name, url in ways[1:2] if file.mime_type == VIDEO else ways:
        try:
            return _open(client, file, url())
        except (PermanentError, Unavailable) as error:
            if name == "export" and not _worth_another_way(error):
                raise
            failures.append((name, error))
    raise _all_failed(file, failures)


def _worth_another_way(error: BackupError) -> bool:
    """Other refusals of the plain export hold for the other ways as well."""
    return isinstance(error, Unavailable) or error.code in (TOO_LARGE_CODE, "not_a_document")


def _all_failed(file: RemoteFile, failures: list[tuple[str, BackupError]]) -> BackupError:
    reasons = "; ".join(f"{name}: {error.message}" for name, error in failures)
    message = f"{quoted(file)} could not be exported. {reasons}"
    # While one of the ways was only out of order, another day may bring the document.
    if any(isinstance(error, TransientError) for _, error in failures):
        return Unavailable(message, code="export_failed")
    return PermanentError(message, code="export_failed")


def _export_url(client: GoogleClient, file: RemoteFile) -> str:
    mime_type = quote(file.extra["export_mime"], safe="")
    return f"{_file_url(client, file)}/export?mimeType={mime_type}"


def _operation_url(client: GoogleClient, file: RemoteFile) -> str:
    """Have Google prepare the document; gives the address where it then lies."""
    request = client.files.download(fileId=file.remote_id, mimeType=file.extra["export_mime"])
    operation = client.call(request, quoted(file), resource_keys=resource_keys(file))
    waited, delay = 0.0, FIRST_POLL_S
    while not operation.get("done"):
        if waited >= OPERATION_LIMIT_S:
            raise Unavailable(f"Google did not finish preparing {quoted(file)}.", code="timed_out")
        client.pause(delay)
        waited, delay = waited + delay, min(delay * 2, LONGEST_POLL_S)
        name = operation["name"].rpartition("operations/")[2]
        operation = client.call(client.operations.get(name=name), quoted(file))
    return _finished_url(operation, file)


def _finished_url(operation: JsonObject, file: RemoteFile) -> str:
    error = operation.get("error")
    if error:
        message = f"Google could not prepare {quoted(file)}: {error.get('message', '')}"
        if error.get("code") in BUSY_CODES:
            raise Unavailable(message)
        raise PermanentError(message, code="export_operation_failed")
    uri = (operation.get("response") or {}).get("downloadUri")
    if not uri:
        raise PermanentError(
            f"Google prepared {quoted(file)} but gave no address.", code="export_operation_failed"
        )
    return str(uri)


def _link_url(file: RemoteFile, state: JsonObject) -> str:
    link = (state.get("exportLinks") or {}).get(file.extra["export_mime"])
    if not link:
        raise PermanentError(f"Google gives no export link for {quoted(file)}.", code="no_link")
    return str(link)


def _open(client: GoogleClient, file: RemoteFile, url: str) -> _Document:
    """Open and look at the beginning: a document is neither a web page nor empty."""
    keys = resource_keys(file)
    headers = {"X-Goog-Drive-Resource-Keys": keys} if keys else {}
    response = client.open(url, quoted(file), headers=headers)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        response.close()
        raise PermanentError(
            f"Google answered with a web page instead of {quoted(file)}.", code="not_a_document"
        )
    chunks = iter(response)
    try:
        first = next(chunks, b"")
    except WireError as error:
        response.close()
        raise translate_transport(error, quoted(file)) from error
    if not first:
        response.close()
        raise PermanentError(f"Google exported {quoted(file)} as nothing.", code="not_a_document")
    return _Document(response, chain([first], chunks))


def _until_checked(
    client: GoogleClient, file: RemoteFile, document: _Document, before: JsonObject
) -> Iterator[bytes]:
    try:
        yield from document.chunks
    except WireError as error:
        raise translate_transport(error, quoted(file)) from error
    if _state(client, file).get("modifiedTime") != before.get("modifiedTime"):
        raise TransientError(
            f"{quoted(file)} was edited while it was exported.", code="changed_while_reading"
        )


def _state(client: GoogleClient, file: RemoteFile) -> JsonObject:
    request = client.files.get(fileId=file.remote_id, fields=STATE_FIELDS, supportsAllDrives=True)
    return client.call(request, quoted(file), resource_keys=resource_keys(file))


def _file_url(client: GoogleClient, file: RemoteFile) -> str:
    return f"{client.endpoints.drive_url}files/{quote(file.remote_id, safe='')}"
