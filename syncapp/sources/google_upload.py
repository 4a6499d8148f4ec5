"""Bytes into a Drive: in one request if they are few, else in pieces that can be taken up again.

The last piece is sent only when everything was read without an error, so that no file appears
whose bytes were not what they should be. Holds one piece in memory. Must not send a token to an
address that Google's answer names and that is not Google's. Rule followed:
developers.google.com/workspace/drive/api/guides/manage-uploads (multipart; resumable, 308, Range).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from syncapp.errors import (
    IntegrityError,
    LetAlone,
    NotFound,
    RateLimited,
    TransientError,
    Unavailable,
)
from syncapp.sources.google_client import CALL_TRIES, LONGEST_WAIT_S, GoogleClient
from syncapp.types import JsonObject
from syncapp.wire import Answer

SMALL_BYTES = 4 * 1024**2  # in one request: cheaper than a session
PIECE_BYTES = 8 * 1024**2  # a multiple of 256 KiB, as Google asks
_HELD = re.compile(r"bytes=0-(\d+)")


@dataclass(frozen=True, slots=True)
class NewContent:
    """What is to be sent: how many bytes of which type, and how to read them from the start."""

    size: int
    content_type: str
    read: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where it goes: a new file (its metadata may name its id), or new content of `file_id`."""

    said: JsonObject
    what: str  # as messages name it
    fields: str
    file_id: str = ""


def upload(client: GoogleClient, place: Place, content: NewContent) -> JsonObject:
    """Send it; the file as Google has it now, in `place.fields`.

    No file is made twice, whichever answers are lost. Raises IntegrityError if there are not as
    many bytes as promised, or Google holds others than were sent; PermanentError `file_id_in_use`
    if the id is taken; TransientError if it must be begun anew.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    chunks = _hashed(content.read(), md5)
    # One request may be made twice only where a second file could not come of it.
    if content.size <= SMALL_BYTES and (place.file_id or "id" in place.said):
        data = b"".join(chunks)
        _check(len(data), content.size, place)
        file = _send_whole(client, place, content.content_type, data)
    else:
        file = _Session(client, place, content).run(chunks)
    if file.get("md5Checksum", md5.hexdigest()) != md5.hexdigest():
        raise IntegrityError(f"Google holds other bytes of {place.what} than it was sent.")
    return file


def _hashed(chunks: Iterable[bytes], md5: Any) -> Iterator[bytes]:
    for chunk in chunks:
        md5.update(chunk)
        yield chunk


def _check(sent: int, size: int, place: Place) -> None:
    if sent != size:
        raise IntegrityError(f"{place.what} has {sent} bytes, not the {size} it should have.")


def _address(client: GoogleClient, place: Place, way: str) -> str:
    base = client.endpoints.drive_url.replace("/drive/v3/", "/upload/drive/v3/", 1)
    query = urlencode({"uploadType": way, "fields": place.fields, "supportsAllDrives": "true"})
    return f"{base}files{'/' + place.file_id if place.file_id else ''}?{query}"


def _send_whole(client: GoogleClient, place: Place, content_type: str, data: bytes) -> JsonObject:
    boundary = secrets.token_hex(24)
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        f"{json.dumps(place.said)}\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\r\n"
    )
    body = b"".join([head.encode(), data, f"\r\n--{boundary}--\r\n".encode()])
    headers = {"content-type": f"multipart/related; boundary={boundary}"}
    url = _address(client, place, "multipart")
    method = "PATCH" if place.file_id else "POST"
    return _file(client.send(method, url, f"the upload of {place.what}", headers, body), place)


def _file(answer: Answer, place: Place) -> JsonObject:
    try:
        file: Any = json.loads(answer.body)
    except ValueError as error:
        raise Unavailable(f"Google's answer to the upload of {place.what} was cut.") from error
    if not isinstance(file, dict):
        raise Unavailable(f"Google gave an empty answer to the upload of {place.what}.")
    return file


class _Session:
    """One resumable upload, from its beginning to the file."""

    def __init__(self, client: GoogleClient, place: Place, content: NewContent) -> None:
        self._client, self._place, self._content = client, place, content
        self._what = f"the upload of {place.what}"
        self._url = ""
        self._failures = 0

    def run(self, chunks: Iterable[bytes]) -> JsonObject:
        self._url = self._begin()
        start, size = 0, self._content.size
        for piece in _pieces(chunks):
            if start + len(piece) > size:
                _check(start + len(piece), size, self._place)
            file = self._send(start, piece)
            start += len(piece)
            if file is not None and start == size:
                return file
        _check(start, size, self._place)
        raise TransientError(f"Google did not finish {self._what}.", code="upload_unfinished")

    def _begin(self) -> str:
        headers = {
            "content-type": "application/json; charset=UTF-8",
            "x-upload-content-type": self._content.content_type,
            "x-upload-content-length": str(self._content.size),
        }
        method = "PATCH" if self._place.file_id else "POST"
        url = _address(self._client, self._place, "resumable")
        body = json.dumps(self._place.said).encode()
        answer = self._client.send(method, url, self._what, headers, body)
        if "location" not in answer.headers:
            raise Unavailable(f"Google gave no address for {self._what}.")
        return answer.headers["location"]

    def _send(self, start: int, piece: bytes) -> JsonObject | None:
        """Have Google hold this piece; the file, if it was the last one."""
        held = start
        while held < start + len(piece):
            rest = piece[held - start :]
            span = f"bytes {held}-{held + len(rest) - 1}/{self._content.size}"
            failures = self._failures
            answer = self._put(span, rest)
            while answer is None:
                answer = self._ask()
            if answer.status != 308:
                return _file(answer, self._place)
            before, held = held, _held(answer)
            if held < start:
                raise self._lost()
            if held > before:
                self._failures = 0
            elif failures == self._failures and not self._may_go_on():
                raise Unavailable(f"Google takes no more of {self._what}.")
        return None

    def _put(self, span: str, data: bytes) -> Answer | None:
        """The answer to a piece, None if there was none that tells what is held."""
        headers = {"content-type": self._content.content_type, "content-range": span}
        try:
            return self._client.send_once(self._url, self._what, headers, data)
        except NotFound as error:
            raise self._lost() from error
        except LetAlone:
            raise
        except (RateLimited, Unavailable) as error:
            wish_s = error.retry_after_s or 0.0
            if wish_s > LONGEST_WAIT_S or not self._may_go_on():
                raise
            if wish_s:
                self._client.pause(wish_s)
            return None

    def _ask(self) -> Answer | None:
        """How far it is; also the file itself, where only the answer to the last piece was lost."""
        return self._put(f"bytes */{self._content.size}", b"")

    def _may_go_on(self) -> bool:
        self._failures += 1
        if self._failures >= CALL_TRIES:
            return False
        self._client.wait(self._failures)
        return True

    def _lost(self) -> TransientError:
        return TransientError(
            f"Google no longer knows {self._what}; it is begun anew.", code="upload_expired"
        )


def _held(answer: Answer) -> int:
    match = _HELD.fullmatch(answer.headers.get("range", ""))
    return int(match.group(1)) + 1 if match else 0


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of PIECE_BYTES; the last, shorter or not, only once everything was read."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        rest = chunk
        while size + len(rest) > PIECE_BYTES:
            room = PIECE_BYTES - size
            held.append(rest[:room])
            rest, size = rest[room:], 0
            yield _joined(held)
        held.append(rest)
        size += len(rest)
    yield _joined(held)


def _joined(held: list[bytes]) -> bytes:
    """One piece, and the list empty: the parts must not be held beside it while it is sent."""
    whole = b"".join(held)
    held.clear()
    return whole
