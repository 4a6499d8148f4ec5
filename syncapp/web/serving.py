"""Answers that carry bytes of a backup: headers that hold whatever the bytes and their name are.

Names and types come from a cloud where anybody may have chosen them. A browser is told never to
guess a type, never to run anything, and is given a file under a name that steers nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Generator

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from syncapp.engine import keys
from syncapp.web.pump import Pool, Pump

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
# What no file system or header takes in a name, or what turns its reading direction.
_UNWANTED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_RESERVED = {ord(char): "_" for char in '\\/:*?"<>|'}
_MOST_BYTES = 200


class BadRange(Exception):
    """A range that this content does not have, or several at once."""


def attachment_name(name: str) -> str:
    """A name for a download, as any system takes it: no path, no control, at most 200 bytes."""
    plain = "".join(
        c for c in name.translate(_RESERVED) if unicodedata.category(c) not in _UNWANTED
    )
    plain = keys.encode(plain).strip(" .") or "file"
    stem, dot, extension = plain.rpartition(".")
    if not dot or not stem or len(extension.encode()) > 15:
        stem, dot, extension = plain, "", ""
    room = _MOST_BYTES - len(f"{dot}{extension}".encode())
    return f"{stem.encode()[:room].decode(errors='ignore')}{dot}{extension}"


def streamed(
    request: HttpRequest,
    chunks: Generator[bytes, None, None],
    *,
    pool: Pool,
    length: int | None = None,
    status: int = 200,
) -> HttpResponseBase:
    """The chunks as an answer. The first is made here, so that what fails at once is raised."""
    answer: HttpResponseBase
    if request.method == "HEAD":
        chunks.close()
        answer = HttpResponse(status=status)
    else:
        content = Pump(chunks, pool, next(chunks, b""))
        answer = StreamingHttpResponse(content, status=status)
    if length is not None:
        answer["Content-Length"] = str(length)
    answer["X-Content-Type-Options"] = "nosniff"
    answer["X-Accel-Buffering"] = "no"  # nginx would keep what a slow visitor has not taken yet
    answer["Cache-Control"] = "private, no-cache"
    return answer


def named(answer: HttpResponseBase, name: str, *, save: bool) -> None:
    """What a browser calls the answer when it saves it, and whether it is to do that at once."""
    answer["Content-Disposition"] = content_disposition_header(save, attachment_name(name)) or ""


def as_download(answer: HttpResponseBase, name: str, content_type: str) -> None:
    """Have the browser save the answer under this name, whatever it is."""
    answer["Content-Type"] = content_type
    named(answer, name, save=True)
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"


def asked_range(request: HttpRequest, size: int, etag: str) -> tuple[int, int] | None:
    """The bytes [start, end) that are asked for; None for all (RFC 9110 § 14.2). BadRange."""
    raw = request.headers.get("Range", "")
    condition = request.headers.get("If-Range", "")
    if not raw.startswith("bytes=") or (condition and condition != etag):
        return None
    found = _RANGE.fullmatch(raw.replace(" ", ""))
    if found is None or not any(found.groups()):
        raise BadRange
    first, last = found.groups()
    if not first:  # the last so many
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= end:
        raise BadRange
    return start, end
