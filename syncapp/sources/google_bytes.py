"""Whole bodies from and to Google over the lean wire, for what may be held in memory.

As the streaming way of `google_client.py`: the token is renewed on 401, and a refusal becomes
the same error. Follows no redirect, so that a token never travels; makes each request once, who
calls it waits and tries again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import certifi
import urllib3
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.urllib3 import Request

from syncapp.sources.google_errors import read_fault, translate, translate_transport
from syncapp.wire import MAX_ANSWER_BYTES, Answer, TooLong, Wire, WireError

# Of a token, before its refusal is taken for a fault of the service: a second one, because
# a 401 of a passing fault may come right after one of a token that has ended.
RENEWALS = 2


class WholeReader:
    """Requests for one account; shared by threads."""

    def __init__(self, credentials: Any, pool: urllib3.PoolManager) -> None:
        """`pool` serves the renewal of tokens."""
        self._credentials = credentials
        self._renewing = Request(pool)
        self._wire = Wire(authorities=certifi.where())

    def get(self, url: str, what: str, headers: Mapping[str, str], max_bytes: int) -> Answer:
        """The answer, with a status of 2xx or 3xx; `url` leads to a trusted host.

        TooLong if the body has more than `max_bytes`.
        """
        return self._translated(_Asked("GET", url, headers, None, max_bytes), what)

    def send(
        self, method: str, url: str, what: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """As `get`, with a body; also the 308 of an upload that goes on."""
        sent = {"expect": "", **headers}  # libcurl would wait for a 100 that Google never sends
        return self._translated(_Asked(method, url, sent, body, MAX_ANSWER_BYTES), what)

    def _translated(self, asked: _Asked, what: str) -> Answer:
        try:
            answer = self._authorized(asked)
        except TooLong:
            raise
        except (WireError, GoogleAuthError) as error:
            raise translate_transport(error, what) from error
        if answer.status >= 400:
            raise translate(read_fault(answer.status, answer.headers, answer.body), what)
        return answer

    def _authorized(self, asked: _Asked) -> Answer:
        answer = self._once(asked)
        for _ in range(RENEWALS):
            if answer.status != 401:
                break
            self._credentials.refresh(self._renewing)
            answer = self._once(asked)
        return answer

    def _once(self, asked: _Asked) -> Answer:
        sent = {"accept-encoding": "identity", **asked.headers}
        self._credentials.before_request(self._renewing, asked.method, asked.url, sent)
        lines = [f"{name}: {value}" for name, value in sent.items()]
        return self._wire.request(
            asked.method, asked.url, lines, asked.body, max_answer=asked.max_bytes
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    max_bytes: int
