"""Stored bytes of a file as one stream, resumed inside when the connection breaks.

Must not glue two contents together: after a break the file is looked up again, and bytes are only
added while it is still the same revision. Rule followed:
developers.google.com/workspace/drive/api/guides/manage-downloads (alt=media, Range,
acknowledgeAbuse).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from syncapp.errors import PermanentError, TransientError, Unavailable
from syncapp.sources.base import Download
from syncapp.sources.drive_items import REVISION_FIELDS, revision_of
from syncapp.sources.google_client import GoogleClient, content_length
from syncapp.types import RemoteFile
from syncapp.wire import TooLong, WireError
from syncapp.wire_stream import Incoming

RESUMES = 5  # and one more for each RESUME_BYTES read: a long file may meet more breaks
RESUME_BYTES = 64 * 1024**2
GROWTH_BYTES = 1024**2  # what a small file may have grown by and still be taken whole
OCTETS = "application/octet-stream"
ABUSE_CODE = "cannot_download_abusive_file"


def resource_keys(file: RemoteFile) -> str:
    """The value of X-Goog-Drive-Resource-Keys for this file, "" if it needs none."""
    key = file.extra.get("resource_key")
    return f"{file.remote_id}/{key}" if key else ""


def quoted(file: RemoteFile) -> str:
    """The file as messages name it."""
    return f"“{file.name}”"


@contextmanager
def read_blob(client: GoogleClient, file: RemoteFile) -> Iterator[Download]:
    """Open a stored file."""
    reader = _BlobReader(client, file)
    try:
        yield Download(reader.chunks(), reader.size, reader.content_type)
    finally:
        reader.close()


def read_whole(client: GoogleClient, file: RemoteFile) -> tuple[bytes, str] | None:
    """A small stored file's bytes and their type; None where only `read_blob` will do: flagged as
    abusive, redirected, sent in an encoding, or longer by now than can be held."""
    try:
        answer = client.fetch(
            media_url(client, file),
            quoted(file),
            media_headers(file),
            max_bytes=(file.size or 0) + GROWTH_BYTES,
            expected=file.size or 0,
        )
    except TooLong:
        return None
    except PermanentError as error:
        if error.code != ABUSE_CODE:
            raise
        return None
    if answer.status != 200 or "content-encoding" in answer.headers:
        return None
    if len(answer.body) != file.size:
        check_unchanged(client, file)
    return answer.body, answer.headers.get("content-type", OCTETS)


def check_unchanged(client: GoogleClient, file: RemoteFile) -> None:
    """Look the file up; TransientError if it is not the revision that was listed any more."""
    request = client.files.get(
        fileId=file.remote_id, fields=REVISION_FIELDS, supportsAllDrives=True
    )
    item = client.call(request, quoted(file), resource_keys=resource_keys(file))
    same_md5 = item.get("md5Checksum", "").lower() == (file.md5 or "")
    if not same_md5 or revision_of(item, file.content) != file.revision:
        raise TransientError(
            f"{quoted(file)} was changed at Google since it was listed.",
            code="changed_while_reading",
        )


def wait_to_resume(
    client: GoogleClient, file: RemoteFile, breaks: int, offset: int, cause: BaseException | None
) -> None:
    """After so many breaks of a read that has come to this offset: return once it may go on.
    Raises Unavailable "connection_lost" if there were too many."""
    if breaks > RESUMES + offset // RESUME_BYTES:
        raise Unavailable(
            f"The connection broke {breaks} times while reading {quoted(file)}.",
            code="connection_lost",
        ) from cause
    if breaks > 1:
        client.wait(breaks - 1)


def media_url(client: GoogleClient, file: RemoteFile) -> str:
    """Where a stored file's bytes are."""
    url = f"{client.endpoints.drive_url}files/{quote(file.remote_id, safe='')}"
    return f"{url}?alt=media&supportsAllDrives=true"


def media_headers(file: RemoteFile) -> dict[str, str]:
    """What a request for its bytes has to say besides."""
    keys = resource_keys(file)
    return {"X-Goog-Drive-Resource-Keys": keys} if keys else {}


class _BlobReader:
    def __init__(self, client: GoogleClient, file: RemoteFile) -> None:
        self._client, self._file = client, file
        self._url, self._headers = media_url(client, file), media_headers(file)
        self._resumes = 0
        self._response = self._open()
        promised = content_length(self._response)
        self.content_type = self._response.headers.get("content-type", OCTETS)
        self.size = file.size if promised is None else promised
        if file.size is not None and self.size != file.size:
            self._check_unchanged()

    def chunks(self) -> Iterator[bytes]:
        offset = 0
        while True:
            cause: Exception | None = None
            try:
                for chunk in self._response:
                    offset += len(chunk)
                    yield chunk
            except WireError as error:
                cause = error
            if cause is None and (self.size is None or offset >= self.size):
                return
            self._resume(offset, cause)

    def close(self) -> None:
        self._response.close()

    def _open(self) -> Incoming:
        try:
            return self._client.open(self._url, quoted(self._file), headers=self._headers)
        except PermanentError as error:
            if error.code != ABUSE_CODE:
                raise
        # Google gives a flagged file to its owner only, and only when told that the risk is known.
        self._url += "&acknowledgeAbuse=true"
        return self._client.open(self._url, quoted(self._file), headers=self._headers)

    def _resume(self, offset: int, cause: Exception | None) -> None:
        self._response.close()
        self._resumes += 1
        wait_to_resume(self._client, self._file, self._resumes, offset, cause)
        self._response = self._open_at(offset)
        # After the opening, so that the answer just opened is known to be of that revision.
        self._check_unchanged()

    def _open_at(self, offset: int) -> Incoming:
        what = quoted(self._file)
        if offset == 0:  # no Range: an empty file answers 416 to any
            return self._client.open(self._url, what, headers=self._headers)
        try:
            response = self._client.open(
                self._url, what, headers={**self._headers, "Range": f"bytes={offset}-"}
            )
        except PermanentError:
            self._check_unchanged()  # it may have become shorter: then that is the reason
            raise
        start = response.headers.get("content-range", "")
        if response.status != 206 or not start.startswith(f"bytes {offset}-"):
            response.close()
            raise Unavailable(f"Google did not resume {what} at byte {offset}.")
        return response

    def _check_unchanged(self) -> None:
        try:
            check_unchanged(self._client, self._file)
        except TransientError:
            self._response.close()
            raise
