"""HTTP/1.1 requests over kept connections, by libcurl: the lean way for bytes.

Measured (bench/DATA_PLANE.md): a PUT of 10 KB costs a sixteenth of boto3's CPU, and everything but
the callbacks runs without the interpreter's lock. No retry, no redirect, no cookie, no HTTP/2; a
connection that the other side closed while it was idle is replaced inside
(curl.se/libcurl/c/curl_easy_perform.html). Must not: know what it carries, log an address.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import pycurl

from syncapp.buffers import gathered, reserved
from syncapp.errors import BackupError
from syncapp.wire_trust import Trust, trust_in

CONNECT_TIMEOUT_S = 10
STALL_TIMEOUT_S = 60  # without a byte in either direction
MAX_ANSWER_BYTES = 1024**2
BROKEN_HEAD = "The answer broke off in its head."
_BLANK = (b"\r\n", b"\n")
_RECEIVE_BYTES = 64 * 1024
_SEND_BYTES = 256 * 1024  # for bodies that are longer than libcurl's own 64 KiB


class WireError(OSError):
    """No whole answer came; the connection is not used again."""


class NotReached(WireError):
    """The name was not found, or nobody answered there."""


class NotTrusted(WireError):
    """The other side's certificate is not vouched for."""


class TimedOut(WireError):
    """No byte for STALL_TIMEOUT_S, or no connection within CONNECT_TIMEOUT_S."""


class TooLong(WireError):
    """The answer is longer than the caller wants to hold."""


Outcome = TypeVar("Outcome")

_KINDS: dict[int, type[WireError]] = {
    pycurl.E_COULDNT_RESOLVE_HOST: NotReached,
    pycurl.E_COULDNT_RESOLVE_PROXY: NotReached,
    pycurl.E_COULDNT_CONNECT: NotReached,
    pycurl.E_PEER_FAILED_VERIFICATION: NotTrusted,
    pycurl.E_SSL_CACERT_BADFILE: NotTrusted,
    pycurl.E_OPERATION_TIMEDOUT: TimedOut,
    pycurl.E_FILESIZE_EXCEEDED: TooLong,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names in lower case, of repeated ones the last."""

    status: int
    headers: dict[str, str]
    body: bytes


class Body(Protocol):
    """Bytes to send that are not in memory. `read` may raise a BackupError or an OSError."""

    def __len__(self) -> int: ...

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...


class Wire:
    """Connections to wherever the URLs lead, shared by threads: as many as requests at once.

    `permit` is asked for the address of each new connection and may raise a BackupError; not asked
    where a proxy of the environment connects for us.
    """

    def __init__(self, *, authorities: str, permit: Callable[[str], None] | None = None) -> None:
        """`authorities` is the file of the certificate authorities to trust."""
        self._trust = trust_in(authorities)
        self._permit = permit
        self._idle: deque[Line] = deque()  # the last used is used first: the others may go cold

    def request(
        self,
        method: str,
        url: str,
        headers: Sequence[str],
        body: bytes | Body | None = None,
        *,
        max_answer: int = MAX_ANSWER_BYTES,
        expected: int = 0,
    ) -> Answer:
        """One exchange. `headers` as "Name: value". Raises WireError, or what `permit` or `body`
        raised; TooLong for an answer of more than `max_answer` bytes. Memory for `expected` ones
        is taken at once: they are not held twice while they are joined."""
        asked = Asked(method, url, headers, body, max_answer, expected)
        try:
            line = self._idle.pop()
        except IndexError:
            return self._on_new_line(asked)
        return self._on(line, asked)

    def _on(self, line: Line, asked: Asked) -> Answer:
        try:
            answer = line.exchange(asked)
        except BaseException:
            line.close()
            raise
        self._idle.append(line)
        return answer

    def _on_new_line(self, asked: Asked) -> Answer:
        def first(learning: bool) -> Answer:
            return self._on(Line(self._trust, self._permit, learning=learning), asked)

        return self._connecting(asked.origin, first)

    def _connecting(self, origin: str, first: Callable[[bool], Outcome]) -> Outcome:
        """`first` asks over a new connection; it is told whether to learn from that."""
        if self._trust.worth_learning(origin):
            # Whoever waits goes on with what was learned, or alone if the first one hangs.
            waited = self._trust.learning.acquire(timeout=CONNECT_TIMEOUT_S)
            try:
                if self._trust.worth_learning(origin):
                    return first(True)
            finally:
                if waited:
                    self._trust.learning.release()
        try:
            return first(False)
        except NotTrusted:
            if not self._trust.doubt(origin):
                raise
        return first(False)  # nothing was sent yet, also of a body


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    url: str
    headers: Sequence[str]
    body: bytes | Body | None
    max_answer: int
    expected: int = 0

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.url[: self.url.find("/", 8)]

    @property
    def shape(self) -> tuple[str, str, str]:
        """What stays the same over many requests of one sort."""
        how = "bytes" if isinstance(self.body, bytes) else "none" if self.body is None else "stream"
        return self.method, how, self.origin


class Line:
    """One handle of libcurl: a connection, and what came over it last. For one thread at a time."""

    def __init__(
        self, trust: Trust, permit: Callable[[str], None] | None, *, learning: bool = False
    ) -> None:
        self._curl: Any = pycurl.Curl()
        self._trust = trust
        self._permit = permit
        self._learning = learning
        self._head: list[bytes] = []
        self._body: list[bytes] = []
        self._shape: tuple[str, str, str] | None = None
        self._refusal: Exception | None = None  # what one of our own functions raised

    def close(self) -> None:
        self._curl.close()

    def status(self) -> int:
        """Of the last answer, 0 before its first line has come."""
        return int(self._curl.getinfo(pycurl.RESPONSE_CODE))

    def has_head(self) -> bool:
        """Whether the answer's head came whole: not only an interim one's, or a proxy's."""
        for line in reversed(self._head):
            if line in _BLANK:
                return self.status() >= 200  # 0 while a proxy makes a tunnel
            if line.startswith(b"HTTP/"):
                break
        return False

    def headers(self) -> dict[str, str]:
        """As `Answer` has them."""
        return _headers(self._head)

    def exchange(self, asked: Asked) -> Answer:
        curl, body = self._curl, asked.body
        if asked.shape != self._shape:
            self._reshape(asked)
        curl.setopt(pycurl.URL, asked.url)
        curl.setopt(pycurl.HTTPHEADER, asked.headers)
        # HEAD tells a length and sends nothing; 0 is no limit.
        curl.setopt(pycurl.MAXFILESIZE, 0 if asked.method == "HEAD" else asked.max_answer)
        if isinstance(body, bytes):
            curl.setopt(pycurl.POSTFIELDS, body)  # kept by reference, not copied
        elif body is not None:
            self._stream(body)
        self._head.clear()
        self._body.clear()
        whole = self._collect(asked.expected)
        self._perform()
        status = self.status()
        if not self.has_head():
            raise WireError(BROKEN_HEAD)
        if self._learning:
            self._learn(asked.origin)
        if isinstance(body, bytes):
            curl.setopt(pycurl.POSTFIELDS, b"")  # a waiting connection must not hold a part
        elif body is not None:
            curl.reset()
            self._shape = None
        return Answer(status, self.headers(), self._collected(whole))

    def _collect(self, expected: int) -> BytesIO | None:
        """Where the body is to go; None: piece by piece into the list."""
        if not expected:
            return None
        whole = reserved(expected)
        self._curl.setopt(pycurl.WRITEFUNCTION, whole.write)
        return whole

    def _collected(self, whole: BytesIO | None) -> bytes:
        if whole is None:
            return b"".join(self._body)
        self._curl.setopt(pycurl.WRITEFUNCTION, self._body.append)  # or it would be held by that
        return gathered(whole)

    def _perform(self) -> None:
        try:
            self._curl.perform()
        except pycurl.error as error:
            raise self._fault(*error.args) from error

    def _fault(self, code: int, message: str) -> Exception:
        """What libcurl's error means, or what one of our own functions raised."""
        return self._refusal or _KINDS.get(code, WireError)(message)

    def _learn(self, origin: str) -> None:
        chain = [dict(entry).get("Cert", "") for entry in self._curl.getinfo(pycurl.INFO_CERTINFO)]
        self._trust.learn(origin, chain)
        self._learning = False

    def _reshape(self, asked: Asked) -> None:
        curl = self._curl
        method, how, origin = asked.shape
        curl.reset()  # keeps the connection
        self._configure(asked.url)
        enough = self._trust.enough_for(origin)
        curl.setopt(
            *((pycurl.CAINFO_BLOB, enough) if enough else (pycurl.CAINFO, self._trust.path))
        )
        if self._learning:
            curl.setopt(pycurl.OPT_CERTINFO, 1)
        if method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif how == "stream":
            curl.setopt(pycurl.UPLOAD, 1)
        elif method != "GET" or how != "none":
            curl.setopt(pycurl.CUSTOMREQUEST, method)
        self._shape = asked.shape

    def _configure(self, url: str) -> None:
        curl, proxy = self._curl, _proxy_for(url)
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROXY, proxy),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.PATH_AS_IS, 1),  # a signed path must arrive as it was signed
            (pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_S),
            (pycurl.LOW_SPEED_LIMIT, 1),
            (pycurl.LOW_SPEED_TIME, self._watched_s()),
            (pycurl.TCP_KEEPALIVE, 1),
            (pycurl.BUFFERSIZE, _RECEIVE_BYTES),
            (pycurl.UPLOAD_BUFFERSIZE, _SEND_BYTES),
            (pycurl.HEADERFUNCTION, self._head.append),
            (pycurl.WRITEFUNCTION, self._body.append),
        ):
            curl.setopt(option, value)
        if self._permit and not proxy:
            curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)

    def _watched_s(self) -> int:
        """How long a standstill libcurl is to bear, 0 if it is not to care."""
        return STALL_TIMEOUT_S

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        family, kind, protocol, where = address
        try:
            if self._permit:
                self._permit(str(where[0]))
            return socket.socket(family, kind, protocol)
        except (BackupError, OSError) as error:
            self._refusal = error
            return pycurl.SOCKET_BAD

    def _stream(self, body: Body) -> None:
        def read(size: int) -> Any:
            try:
                return body.read(size)
            except (BackupError, OSError) as error:
                self._refusal = error
                return pycurl.READFUNC_ABORT

        def seek(offset: int, _whence: int) -> Any:
            body.seek(offset)
            return pycurl.SEEKFUNC_OK

        self._curl.setopt(pycurl.INFILESIZE_LARGE, len(body))
        self._curl.setopt(pycurl.READFUNCTION, read)
        self._curl.setopt(pycurl.SEEKFUNCTION, seek)


def _headers(lines: list[bytes]) -> dict[str, str]:
    """Of the last answer: interim ones (1xx) and a proxy's come before it."""
    found: dict[str, str] = {}
    for line in b"".join(lines).decode("latin-1").split("\r\n"):
        if line.startswith("HTTP/"):
            found.clear()
            continue
        name, colon, value = line.partition(":")
        if colon:
            found[name.lower()] = value.strip()
    return found


def _proxy_for(url: str) -> str:
    """The environment's proxy for this address, "" for none."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme, "")
    return "" if not proxy or proxy_bypass(parts.hostname or "") else proxy
