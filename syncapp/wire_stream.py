"""Answers of any length, piece by piece, by libcurl: the lean way for downloads.

The thread that reads drives the connection (libcurl's multi interface): what it does not ask for
waits at the sender, nobody else is woken, and a piece or two is all that is held. Measured beside
urllib3 in bench/DATA_PLANE.md. Must not: retry, follow a redirect, know what it carries.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pycurl

from syncapp import wire
from syncapp.wire import BROKEN_HEAD, Asked, Line, TimedOut, Wire, WireError
from syncapp.wire_trust import Trust

PIECE_BYTES = 256 * 1024  # at least, but for the last; what libcurl has at hand may be 1 MiB more
LOOK_S = 1.0  # how long a reader is left alone with a slow sender
_POLLED = {
    pycurl.POLL_IN: select.POLLIN,
    pycurl.POLL_OUT: select.POLLOUT,
    pycurl.POLL_INOUT: select.POLLIN | select.POLLOUT,
}
Meanwhile = Callable[[], object]


class StreamingWire(Wire):
    """A wire that can also open an answer and leave its body to be read."""

    def __init__(
        self,
        *,
        authorities: str,
        permit: Callable[[str], None] | None = None,
        decode: bool = False,
    ) -> None:
        """With `decode`, a body that is opened comes without its Content-Encoding."""
        super().__init__(authorities=authorities, permit=permit)
        self._decode = decode
        self._resting: deque[_StreamLine] = deque()

    def open(self, url: str, headers: Sequence[str], meanwhile: Meanwhile) -> Incoming:
        """GET; returns once the head of the answer has come. Raises as `request`.

        `meanwhile` is called about every LOOK_S for as long as bytes are waited for; what it
        raises ends the exchange, and comes out of here or of reading.
        """
        asked = Asked("GET", url, headers, None, 0)
        try:
            line = self._resting.pop()
        except IndexError:
            return self._on_another_line(asked, meanwhile)
        return self._answered(line, asked, meanwhile)

    def _on_another_line(self, asked: Asked, meanwhile: Meanwhile) -> Incoming:
        def first(learning: bool) -> Incoming:
            line = _StreamLine(self._trust, self._permit, learning=learning, decode=self._decode)
            return self._answered(line, asked, meanwhile)

        return self._connecting(asked.origin, first)

    def _answered(self, line: _StreamLine, asked: Asked, meanwhile: Meanwhile) -> Incoming:
        try:
            line.begin(asked, meanwhile)
        except BaseException:
            line.close()
            raise
        return Incoming(line, self._resting.append)


class Incoming:
    """An answer whose body is still to come: iterate for its pieces. For one thread at a time.

    Raises WireError where the body ends before it should. Not read to its end, it must be closed.
    """

    def __init__(self, line: _StreamLine, rest: Callable[[_StreamLine], None]) -> None:
        self.status, self.headers = line.status(), line.headers()
        self._line: _StreamLine | None = line
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._read():
            yield piece

    def beginning(self, size: int) -> bytes:
        """Up to so many of the next bytes, as one; closes."""
        found = b""
        try:
            for piece in self:
                found += piece
                if len(found) >= size:
                    break
        finally:
            self.close()
        return found[:size]

    def close(self) -> None:
        """Drop the connection if it has not brought everything; any number of times."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _read(self) -> bytes:
        if self._line is None:
            return b""
        try:
            piece = self._line.read()
        except BaseException:
            self.close()
            raise
        if not piece:
            line, self._line = self._line, None
            self._rest(line)
        return piece


class _StreamLine(Line):
    """A handle of libcurl with a multi handle of its own, which keeps the connection."""

    def __init__(
        self, trust: Trust, permit: Callable[[str], None] | None, *, learning: bool, decode: bool
    ) -> None:
        super().__init__(trust, permit, learning=learning)
        self._decode = decode
        self._running = False
        self._broken: Exception | None = None  # told once what came before it was read
        self._meanwhile: Meanwhile = lambda: None
        self._looked = self._heard = 0.0  # as time.monotonic() tells it
        self._due: float | None = None  # when libcurl wants to be called whatever happens
        self._poll = select.poll()
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._call_in)

    def close(self) -> None:
        if self._running:
            self._end()
        super().close()
        self._multi.close()

    def begin(self, asked: Asked, meanwhile: Meanwhile) -> None:
        """Send the request and wait for the head of its answer."""
        self._meanwhile = meanwhile
        if asked.shape != self._shape:
            self._reshape(asked)
        self._curl.setopt(pycurl.URL, asked.url)
        self._curl.setopt(pycurl.HTTPHEADER, asked.headers)
        self._head.clear()
        self._body.clear()
        self._looked = self._heard = time.monotonic()
        self._multi.add_handle(self._curl)
        self._running = True
        while self._running and not self.has_head():
            self._step()
        if not self.has_head():
            raise self._broken or WireError(BROKEN_HEAD)
        if self._learning:
            self._learn(asked.origin)

    def read(self) -> bytes:
        """The next bytes, at least PIECE_BYTES while there are so many; b"" at the end."""
        self._heard = time.monotonic()  # the time that the reader took is not the sender's
        while self._running and sum(map(len, self._body)) < PIECE_BYTES:
            self._step()
        piece = b"".join(self._body)
        self._body.clear()
        if not piece and self._broken is not None:
            raise self._broken
        return piece

    def _configure(self, url: str) -> None:
        super()._configure(url)
        if self._decode:
            self._curl.setopt(pycurl.ACCEPT_ENCODING, "gzip")  # the request's own header goes first

    def _watched_s(self) -> int:
        return 0  # libcurl would count the time that the reader takes

    def _step(self) -> None:
        """Wait until something has happened, a LOOK_S at most, and take in what has come."""
        now = time.monotonic()
        silence_ends = self._heard + wire.STALL_TIMEOUT_S
        until = min(now + LOOK_S, silence_ends, now + LOOK_S if self._due is None else self._due)
        ready = self._poll.poll(max(0.0, until - now) * 1000)
        now = time.monotonic()
        for fd, events in ready:
            self._heard = now
            self._act(fd, events)
        if self._running and self._due is not None and now >= self._due:
            self._due = None
            self._act(pycurl.SOCKET_TIMEOUT, 0)
        if self._running and not ready and now >= silence_ends:
            self._end()
            self._broken = TimedOut(f"No byte came for {wire.STALL_TIMEOUT_S} s.")
        if self._running and now - self._looked >= LOOK_S:
            self._looked = now
            self._meanwhile()

    def _act(self, fd: int, events: int) -> None:
        if not self._running:
            return
        # Of an error libcurl learns by reading or writing.
        happened = (pycurl.CSELECT_IN if events & ~select.POLLOUT else 0) | (
            pycurl.CSELECT_OUT if events & ~select.POLLIN else 0
        )
        _, running = self._multi.socket_action(fd, happened)
        if not running:
            _, _, failed = self._multi.info_read()
            self._end()
            for _, code, message in failed:
                self._broken = self._fault(code, message)

    def _end(self) -> None:
        """Half an answer's connection is closed by this, a whole one's is kept."""
        self._running = False
        self._multi.remove_handle(self._curl)

    def _watch(self, what: int, fd: int, _multi: Any, _known: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            self._poll.unregister(fd)
        else:
            self._poll.register(fd, _POLLED.get(what, 0))

    def _call_in(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000
