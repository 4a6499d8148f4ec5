"""Whole bodies from Google over the lean wire, for what is small enough to be held in memory.

As the streaming way of `google_client.py`: the token is renewed on 401, and a refusal becomes
the same error. Follows no redirect, so that a token never travels; makes each request once, who
calls it waits and tries again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import certifi
import urllib3
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.urllib3 import Request

from syncapp.sources.google_errors import read_fault, translate, translate_transport
from syncapp.wire import Answer, TooLong, Wire, WireError

# Of a token, before the account is stopped until its owner links it again: a second one, because
# a 401 of a passing fault may come right after one of a token that has ended.
RENEWALS = 2


class WholeReader:
    """GETs for one account; shared by threads. `trusts` tells where its token may go."""

    def __init__(self, credentials: Any, pool: urllib3.PoolManager) -> None:
        """`pool` serves the renewal of tokens."""
        self._credentials = credentials
        self._renewing = Request(pool)
        self._wire = Wire(authorities=certifi.where())

    def get(self, url: str, what: str, headers: Mapping[str, str], max_bytes: int) -> Answer:
        """The answer, with a status of 2xx or 3xx; `url` leads to a trusted host.

        TooLong if the body has more than `max_bytes`.
        """
        try:
            answer = self._authorized(url, headers, max_bytes)
        except TooLong:
            raise
        except (WireError, GoogleAuthError) as error:
            raise translate_transport(error, what) from error
        if answer.status >= 400:
            raise translate(read_fault(answer.status, answer.headers, answer.body), what)
        return answer

    def _authorized(self, url: str, headers: Mapping[str, str], max_bytes: int) -> Answer:
        answer = self._once(url, headers, max_bytes)
        for _ in range(RENEWALS):
            if answer.status != 401:
                break
            self._credentials.refresh(self._renewing)
            answer = self._once(url, headers, max_bytes)
        return answer

    def _once(self, url: str, headers: Mapping[str, str], max_bytes: int) -> Answer:
        sent = {"accept-encoding": "identity", **headers}
        self._credentials.before_request(self._renewing, "GET", url, sent)
        lines = [f"{name}: {value}" for name, value in sent.items()]
        return self._wire.request("GET", url, lines, max_answer=max_bytes)
