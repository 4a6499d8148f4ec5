"""What Google gives no file for, written as JSON: forms with their answers, and shortcuts.

Must not hold a form's answers in memory (one page at most). Keys are sorted, so that unchanged
content gives unchanged bytes. Rule followed: developers.google.com/workspace/forms/api/reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from syncapp.errors import ConfigurationError, PermanentError
from syncapp.sources.base import Download
from syncapp.sources.drive_items import clean_json
from syncapp.sources.drive_media import quoted
from syncapp.sources.google_client import GoogleClient
from syncapp.types import JsonObject, RemoteFile

RESPONSES_SCOPE = "https://www.googleapis.com/auth/forms.responses.readonly"
RESPONSES_PAGE = 5000
JSON_TYPE = "application/json"
NOT_GRANTED = (
    "The permission to read responses (forms.responses.readonly) was not granted; link the account "
    "again and tick it."
)


@contextmanager
def read_form(client: GoogleClient, file: RemoteFile, scopes: frozenset[str]) -> Iterator[Download]:
    """The questions, and the responses or the reason why they are left out."""
    form = _call(client, client.forms.get(formId=file.remote_id), file)
    left_out, pages = NOT_GRANTED, _none()
    if RESPONSES_SCOPE in scopes:
        left_out, pages = _responses(client, file)
    yield Download(_form_chunks(form, left_out, pages), None, JSON_TYPE)


@contextmanager
def read_shortcut(file: RemoteFile) -> Iterator[Download]:
    """Where the shortcut points to. Its target is not looked up: `dangling` stays unknown."""
    target = file.extra.get("target") or {}
    document = {
        "kind": "shortcut",
        "name": file.name,
        "target_id": target.get("targetId", ""),
        "target_mime_type": target.get("targetMimeType", ""),
        "target_resource_key": target.get("targetResourceKey", ""),
        "dangling": None,
    }
    data = _dump(document, indent=2) + b"\n"
    yield Download(iter((data,)), len(data), JSON_TYPE)


def _responses(client: GoogleClient, file: RemoteFile) -> tuple[str, Iterator[list[JsonObject]]]:
    """("", pages), or why there are none. The first page is read at once: it tells."""
    try:
        first = _page(client, file, None)
    except (PermanentError, ConfigurationError) as error:
        if isinstance(error, ConfigurationError) and error.code != "scope_missing":
            raise
        return error.message, _none()
    return "", _pages(client, file, first)


def _none() -> Iterator[list[JsonObject]]:
    return iter(())


def _pages(client: GoogleClient, file: RemoteFile, page: JsonObject) -> Iterator[list[JsonObject]]:
    while True:
        yield page.get("responses", [])
        token = page.get("nextPageToken")
        if not token:
            return
        page = _page(client, file, token)


def _page(client: GoogleClient, file: RemoteFile, token: str | None) -> JsonObject:
    request = client.forms.responses().list(
        formId=file.remote_id, pageSize=RESPONSES_PAGE, pageToken=token
    )
    return _call(client, request, file)


def _call(client: GoogleClient, request: Any, file: RemoteFile) -> JsonObject:
    try:
        return client.call(request, quoted(file))
    except ConfigurationError as error:
        if error.code != "api_disabled":
            raise
        # A Drive without the Forms API can still be backed up: only its forms can't.
        raise PermanentError(error.message, code="forms_api_disabled") from error


def _form_chunks(
    form: JsonObject, left_out: str, pages: Iterator[list[JsonObject]]
) -> Iterator[bytes]:
    yield b'{"form":' + _dump(form) + b',\n"responses":['
    separator = b"\n"
    for page in pages:
        for response in page:
            yield separator + _dump(response)
            separator = b",\n"
    yield b'],\n"responses_left_out":' + _dump(left_out or None) + b"}\n"


def _dump(value: Any, indent: int | None = None) -> bytes:
    text = json.dumps(clean_json(value), sort_keys=True, ensure_ascii=False, indent=indent)
    return text.encode()
