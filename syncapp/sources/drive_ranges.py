"""A big file's bytes over several connections: ranges read ahead, handed on in their order.

One connection to Google gives only so much. While few big files are read, each is read as
consecutive ranges, some of them at once. Must not give bytes of two contents: each answer is to
name the range that was asked for and the same length and ETag, and before the last bytes the file
is looked up again. Rules followed: RFC 9110 §14 and
developers.google.com/workspace/drive/api/guides/manage-downloads (partial download).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

from syncapp.errors import (
    BackupError,
    Interrupted,
    LetAlone,
    PermanentError,
    RateLimited,
    Unavailable,
)
from syncapp.sources.base import Download
from syncapp.sources.drive_media import (
    OCTETS,
    check_unchanged,
    media_headers,
    media_url,
    quoted,
    read_blob,
    wait_to_resume,
)
from syncapp.sources.google_client import LONGEST_WAIT_S, GoogleClient
from syncapp.types import RemoteFile
from syncapp.wire import WireError
from syncapp.wire_stream import Incoming

LEAST_BYTES = 64 * 1024**2  # of a file that is read so
RANGE_BYTES = 12 * 1024**2  # each costs Google's quota a download; all of it may have to be held


class Streams:
    """Connections for big files, shared by the reads of one source: `most`, one a file at least.

    What is read ahead and held is at most `most` ranges (for a moment more, when a file is opened).
    """

    def __init__(self, most: int) -> None:
        self._most, self._files = most, 0
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One more file is being read."""
        with self._lock:
            self._files += 1
        try:
            yield
        finally:
            with self._lock:
                self._files -= 1

    def share(self) -> int:
        """Connections that one of the files may use at the moment."""
        return max(1, self._most // max(1, self._files))


@contextmanager
def read_big(client: GoogleClient, file: RemoteFile, streams: Streams) -> Iterator[Download]:
    """Open a stored file; as `read_blob`, over several connections where it is worth it."""
    with streams.reading():
        reader = _opened(client, file, streams)
        if reader is None:
            with read_blob(client, file) as download:
                yield download
            return
        try:
            yield Download(reader.chunks(), reader.size, reader.content_type)
        finally:
            reader.close()


def _opened(client: GoogleClient, file: RemoteFile, streams: Streams) -> _RangeReader | None:
    """A reader whose first range has been answered; None where one stream is to be tried.

    That is also the way of a file that is refused, flagged or not as long as listed: it says why.
    """
    if file.size is None or file.size < LEAST_BYTES or streams.share() == 1:
        return None
    span = _Span(0, min(RANGE_BYTES, file.size))
    asked = {**media_headers(file), "Range": span.asked}
    try:
        response = client.open(media_url(client, file), quoted(file), headers=asked)
    except PermanentError:
        return None
    if not span.answered_by(response, file.size):
        response.close()
        return None
    return _RangeReader(client, file, file.size, streams, (span, response))


@dataclass(slots=True)
class _Span:
    """A range [start, stop) under way. Its pieces come in order, then None or what stopped it."""

    start: int
    stop: int
    given: int = 0  # of its bytes, to whoever reads the file
    pieces: SimpleQueue[bytes | BaseException | None] = field(default_factory=SimpleQueue)

    @property
    def asked(self) -> str:
        return f"bytes={self.start}-{self.stop - 1}"

    def answered_by(self, response: Incoming, size: int) -> bool:
        told = response.headers.get("content-range", "")
        return response.status == 206 and told == f"bytes {self.start}-{self.stop - 1}/{size}"


class _RangeReader:
    """Each range has a thread, which ends with it, or soon after `close`."""

    def __init__(
        self,
        client: GoogleClient,
        file: RemoteFile,
        size: int,
        streams: Streams,
        first: tuple[_Span, Incoming],
    ) -> None:
        self._client, self._file, self._streams = client, file, streams
        self.size = size
        span, response = first
        self.content_type = response.headers.get("content-type", OCTETS)
        self._etag = response.headers.get("etag", "")
        self._closed = threading.Event()
        self._slow = False  # Google asked for fewer requests: one at a time from there on
        self._resumes = 0
        self._under_way: deque[_Span] = deque()
        self._next = span.stop
        self._under_way.append(span)
        self._start(span, response)

    def chunks(self) -> Iterator[bytes]:
        self._read_ahead()
        while self._under_way:
            span = self._under_way[0]
            piece = span.pieces.get()
            if isinstance(piece, bytes):
                span.given += len(piece)
                if span.start + span.given == self.size:
                    check_unchanged(self._client, self._file)
                yield piece
            elif piece is None:
                self._under_way.popleft()
                self._read_ahead()
            else:
                self._under_way[0] = self._again(span, piece)

    def close(self) -> None:
        self._closed.set()

    def _read_ahead(self) -> None:
        most = 1 if self._slow else self._streams.share()
        while self._next < self.size and len(self._under_way) < most:
            span = _Span(self._next, min(self._next + RANGE_BYTES, self.size))
            self._next = span.stop
            self._under_way.append(span)
            self._start(span)

    def _start(self, span: _Span, opened: Incoming | None = None) -> None:
        threading.Thread(target=self._fetch, args=(span, opened), name="range", daemon=True).start()

    def _fetch(self, span: _Span, opened: Incoming | None) -> None:
        """In a thread: everything of one range, or what stopped it."""
        end: BaseException | None = None
        came = span.start
        try:
            response = opened or self._open(span)
            try:
                for chunk in response:
                    came += len(chunk)
                    if self._closed.is_set() or came > span.stop:
                        break
                    span.pieces.put(chunk)
            finally:
                if came != span.stop:
                    response.close()
            if came != span.stop:
                raise Unavailable(f"Google sent {quoted(self._file)} with a wrong length.")
        except (BackupError, WireError) as error:
            end = error
        except BaseException as fault:  # a bug: ends this thread, and the read
            end = fault
            raise
        finally:
            span.pieces.put(end)

    def _open(self, span: _Span) -> Incoming:
        what = quoted(self._file)
        asked = {**media_headers(self._file), "Range": span.asked}
        response = self._client.open(media_url(self._client, self._file), what, headers=asked)
        same = response.headers.get("etag", "") == self._etag
        if not same or not span.answered_by(response, self.size):
            response.close()
            raise Unavailable(f"Google did not send {what} from byte {span.start}.")
        return response

    def _again(self, span: _Span, error: BaseException) -> _Span:
        """The rest of a range that stopped, under way anew; the others go on meanwhile."""
        if isinstance(error, PermanentError):
            check_unchanged(self._client, self._file)  # it may have become shorter
        self._raise_unless_passing(error)
        self._slow = self._slow or isinstance(error, RateLimited)
        self._resumes += 1
        offset = span.start + span.given
        wait_to_resume(self._client, self._file, self._resumes, offset, error)
        check_unchanged(self._client, self._file)
        rest = _Span(offset, span.stop)
        self._start(rest)
        return rest

    def _raise_unless_passing(self, error: BaseException) -> None:
        passing = isinstance(error, (RateLimited, Unavailable, WireError))
        asked = getattr(error, "retry_after_s", None) or 0.0
        if not passing or isinstance(error, LetAlone | Interrupted) or asked > LONGEST_WAIT_S:
            raise error
