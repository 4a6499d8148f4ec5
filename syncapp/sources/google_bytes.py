"""Bytes from and to Google over the lean wire: whole bodies that may be held, and open answers.

The token is renewed on 401, and a refusal becomes one of our errors. Follows no redirect, so that
a token never travels; makes each request once, who calls it waits and tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import certifi
import urllib3
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.urllib3 import Request

from syncapp.sources.google_errors import read_fault, translate, translate_transport
from syncapp.wire import MAX_ANSWER_BYTES, Answer, TooLong, WireError
from syncapp.wire_stream import Incoming, Meanwhile, StreamingWire

# Of a token, before its refusal is taken for a fault of the service: a second one, because
# a 401 of a passing fault may come right after one of a token that has ended.
RENEWALS = 2
MAX_ERROR_BODY = 64 * 1024

Told = TypeVar("Told", Answer, Incoming)


class GoogleBytes:
    """Requests for one account; shared by threads."""

    def __init__(self, credentials: Any, pool: urllib3.PoolManager) -> None:
        """`pool` serves the renewal of tokens."""
        self._credentials = credentials
        self._renewing = Request(pool)
        self._wire = StreamingWire(authorities=certifi.where(), decode=True)

    def get(
        self, url: str, what: str, headers: Mapping[str, str], max_bytes: int, expected: int = 0
    ) -> Answer:
        """The answer, with a status of 2xx or 3xx; `url` leads to a trusted host.

        TooLong if the body has more than `max_bytes`; `expected` as `Wire.request` has it.
        """
        return self._translated(_Asked("GET", url, headers, None, max_bytes, expected), what)

    def send(
        self, method: str, url: str, what: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """As `get`, with a body; also the 308 of an upload that goes on."""
        sent = {"expect": "", **headers}  # libcurl would wait for a 100 that Google never sends
        return self._translated(_Asked(method, url, sent, body, MAX_ANSWER_BYTES), what)

    def open(
        self, url: str, what: str, headers: Mapping[str, str], meanwhile: Meanwhile
    ) -> Incoming:
        """As `get`, the body still to come; it may be compressed on the way if asked so.

        `meanwhile` is called now and then while bytes are waited for, and may raise to end it.
        """
        asked = _Asked("GET", url, headers, None, 0)
        try:
            opened = self._authorized(
                lambda: self._wire.open(url, self._lines(asked), meanwhile), Incoming.close
            )
        except (WireError, GoogleAuthError) as error:
            raise translate_transport(error, what) from error
        if opened.status >= 400:
            raise translate(read_fault(opened.status, opened.headers, _reason(opened)), what)
        return opened

    def _translated(self, asked: _Asked, what: str) -> Answer:
        try:
            answer = self._authorized(lambda: self._once(asked))
        except TooLong:
            raise
        except (WireError, GoogleAuthError) as error:
            raise translate_transport(error, what) from error
        if answer.status >= 400:
            raise translate(read_fault(answer.status, answer.headers, answer.body), what)
        return answer

    def _authorized(
        self, once: Callable[[], Told], drop: Callable[[Told], object] = lambda _: None
    ) -> Told:
        told = once()
        for _ in range(RENEWALS):
            if told.status != 401:
                break
            drop(told)
            self._credentials.refresh(self._renewing)
            told = once()
        return told

    def _once(self, asked: _Asked) -> Answer:
        return self._wire.request(
            asked.method,
            asked.url,
            self._lines(asked),
            asked.body,
            max_answer=asked.max_bytes,
            expected=asked.expected,
        )

    def _lines(self, asked: _Asked) -> list[str]:
        sent = {"accept-encoding": "identity", **asked.headers}
        self._credentials.before_request(self._renewing, asked.method, asked.url, sent)
        return [f"{name}: {value}" for name, value in sent.items()]


def _reason(refused: Incoming) -> bytes:
    try:
        return refused.beginning(MAX_ERROR_BODY)
    except WireError:
        return b""  # the status alone still tells what to do


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    max_bytes: int
    expected: int = 0
