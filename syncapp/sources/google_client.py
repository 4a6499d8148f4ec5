"""Authorized calls to Google: one client per account, shared by threads.

Metadata goes through Google's official client, bytes and lists over the lean wire
(`google_bytes.py`). Both refresh the token on 401. Must not: know files or formats, log an
address, or send a bearer token to a host that is not Google's or configured. Waiting follows
developers.google.com/workspace/drive/api/guides/handle-errors#exponential-backoff.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

import certifi
import httplib2
import urllib3
from google.auth.exceptions import GoogleAuthError
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from urllib3.util import Url, make_headers, parse_url

from syncapp.errors import ConfigurationError, LetAlone, PermanentError, RateLimited, Unavailable
from syncapp.pacing import Pace, Unpaced, call_delay_s
from syncapp.sources.google_bytes import RENEWALS, GoogleBytes
from syncapp.sources.google_errors import read_fault, translate, translate_transport
from syncapp.types import JsonObject
from syncapp.wire import Answer as Whole
from syncapp.wire import WireError
from syncapp.wire_stream import Incoming

CALL_TRIES = 4  # with Google's backoff: 7 to 10 s of waiting, then the engine's own pace rules
LONGEST_WAIT_S = 64.0  # a longer wish (Retry-After) is handed up: a worker has better to do
READ_TIMEOUT_S = 60.0
# Google compresses only for those who say so twice (Drive's guide on performance).
COMPRESSED = {"accept-encoding": "gzip", "user-agent": "backup (gzip)"}
# Units of Google's quota (since 2026-05-01); what is not named here is a read of metadata.
READ_UNITS, LIST_UNITS, DOWNLOAD_UNITS, EDIT_UNITS = 5, 100, 200, 50
METHOD_UNITS = {
    "drive.files.list": LIST_UNITS,
    "drive.changes.list": LIST_UNITS,
    "drive.drives.list": LIST_UNITS,
    "drive.files.export": DOWNLOAD_UNITS,
    "drive.files.download": DOWNLOAD_UNITS,
    "drive.files.create": EDIT_UNITS,
    "drive.permissions.create": EDIT_UNITS,
}
MAX_REDIRECTS = 5
GOOGLE_DOMAINS = ("googleapis.com", "google.com", "googleusercontent.com")
REDIRECTS = frozenset([301, 302, 303, 307, 308])

# What a call of the official client raises where no answer came.
CALL_ERRORS = (
    OSError,
    HTTPException,
    urllib3.exceptions.HTTPError,  # of a token's renewal
    httplib2.error.HttpLib2Error,
    GoogleAuthError,
    ValueError,  # a body that is not the JSON it should be
)

Answer = TypeVar("Answer")
Pause = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class GoogleEndpoints:
    """Where Google is; both addresses end in "/". Only tests and the stand-in change these."""

    drive_url: str = "https://www.googleapis.com/drive/v3/"
    forms_url: str = "https://forms.googleapis.com/"

    def __post_init__(self) -> None:
        for url in (self.drive_url, self.forms_url):
            if not url.endswith("/"):
                raise ConfigurationError(f"Google's address {url} must end in “/”.")

    @property
    def trusted_hosts(self) -> frozenset[str]:
        """`scheme://host:port` of the configured base addresses."""
        return frozenset(_origin(parse_url(url)) for url in (self.drive_url, self.forms_url))

    def trusts(self, url: str) -> bool:
        """Whether a bearer token may be sent there."""
        if url.startswith(self.drive_url):  # nearly always; parsing costs as much as a signature
            return True
        try:
            parsed = parse_url(url)
        except urllib3.exceptions.LocationParseError:
            return False
        # Another parser picks the host to connect to: written so, both find the same one.
        if parsed.auth or not f"{url}/".lower().startswith(f"{parsed.scheme}://{parsed.netloc}/"):
            return False
        host = (parsed.host or "").lower()
        ours = any(host == domain or host.endswith(f".{domain}") for domain in GOOGLE_DOMAINS)
        return (ours and parsed.scheme == "https") or _origin(parsed) in self.trusted_hosts


class GoogleClient:
    """Calls with retries and translated errors. `pause` waits between tries; a stop may cut it.

    `pace` is asked before each request, by the units of Google's quota that it costs.
    """

    def __init__(
        self,
        credentials: Any,
        endpoints: GoogleEndpoints,
        *,
        pause: Pause = time.sleep,
        pace: Pace | None = None,
    ) -> None:
        self.endpoints = endpoints
        self.pause = pause
        self._pace = pace or Unpaced()
        self._credentials = credentials
        self._chance = random.Random()
        self._local = threading.local()
        pool = _connection_pool(endpoints.drive_url)
        self._bytes = GoogleBytes(credentials, pool)
        drive = _service("drive", "v3", endpoints.drive_url)
        # Each of these rebuilds its methods when called on the service: kept instead.
        self.files, self.about = drive.files(), drive.about()
        self.changes, self.drives = drive.changes(), drive.drives()
        self.operations, self.channels = drive.operations(), drive.channels()
        self.permissions = drive.permissions()

    @property
    def forms(self) -> Any:
        """The Forms API's methods; built at first use, most accounts have no form."""
        return _service("forms", "v1", self.endpoints.forms_url).forms()

    def call(self, request: Any, what: str, *, resource_keys: str = "") -> JsonObject:
        """Run a prepared request of the official client and return its JSON object.

        Raises the errors of `google_errors`; RateLimited and Unavailable only after CALL_TRIES.
        """
        if resource_keys:
            request.headers["X-Goog-Drive-Resource-Keys"] = resource_keys
        return self._trying(lambda: self._execute(request, what), _units(request))

    def read(self, request: Any, what: str) -> bytes:
        """The body of a prepared GET, undecoded: for lists, which cost most in the decoding.

        Goes the way of the bytes; raises like `call`.
        """
        return self._trying(lambda: self._read(request.uri, what), _units(request))

    def open(self, url: str, what: str, *, headers: Mapping[str, str] | None = None) -> Incoming:
        """GET bytes as a stream: status 200 or 206, the body unread. The caller closes it.

        Reading it raises WireError, and what `pause` raises while bytes are waited for.
        """
        return self._trying(lambda: self._get(url, headers or {}, what), DOWNLOAD_UNITS)

    def fetch(
        self, url: str, what: str, headers: Mapping[str, str], max_bytes: int, expected: int
    ) -> Whole:
        """GET a body that is small enough to be held; TooLong if it has more than `max_bytes`.

        `url` is one of Drive's. A redirect is answered as such, not followed.
        """
        return self._trying(
            lambda: self._bytes.get(url, what, headers, max_bytes, expected), DOWNLOAD_UNITS
        )

    def send(
        self, method: str, url: str, what: str, headers: Mapping[str, str], body: bytes
    ) -> Whole:
        """A change with a body, tried again like `call`: it must be one that can't happen twice.

        `url` is one of Drive's.
        """
        return self._trying(lambda: self._bytes.send(method, url, what, headers, body), EDIT_UNITS)

    def send_once(
        self, url: str, what: str, headers: Mapping[str, str], body: bytes, units: int = 0
    ) -> Whole:
        """PUT a piece of an upload, tried once; the answer may be the 308 of one that goes on.

        `url` came from Google's answer: PermanentError if no token may be sent there.
        """
        if not self.endpoints.trusts(url):
            raise PermanentError(
                f"Google points to a foreign host for {what}; it was not followed.",
                code="untrusted_address",
            )
        return self._paced(lambda: self._bytes.send("PUT", url, what, headers, body), units)

    def wait(self, failures: int) -> None:
        """Pause as Google asks for after `failures` ≥ 1 refused calls."""
        self.pause(call_delay_s(failures, self._chance))

    def _trying(self, attempt: Callable[[], Answer], units: int) -> Answer:
        for failures in range(1, CALL_TRIES):
            try:
                return self._paced(attempt, units)
            except LetAlone:
                raise
            except (RateLimited, Unavailable) as error:
                asked = error.retry_after_s or 0.0
                if asked > LONGEST_WAIT_S:
                    raise
                delay = max(call_delay_s(failures, self._chance), asked)
            self.pause(delay)
        return self._paced(attempt, units)

    def _paced(self, attempt: Callable[[], Answer], units: int) -> Answer:
        self._pace.take(units)
        try:
            return attempt()
        except RateLimited as error:
            self._pace.refused(error.retry_after_s)
            raise

    def _execute(self, request: Any, what: str) -> JsonObject:
        try:
            answer = request.execute(http=self._http())
        except HttpError as error:
            raise translate(
                read_fault(error.resp.status, error.resp, error.content), what
            ) from error
        except CALL_ERRORS as error:
            self._local.http = None  # whatever state the connection is in, it is not used again
            raise translate_transport(error, what) from error
        if not isinstance(answer, dict):
            raise Unavailable(f"Google gave an empty answer for {what}.")
        return answer

    def _read(self, url: str, what: str) -> bytes:
        response = self._get(url, COMPRESSED, what)
        try:
            return b"".join(response)
        except WireError as error:
            raise translate_transport(error, what) from error

    def _http(self) -> Any:
        """This thread's connection: httplib2 may not be shared between threads."""
        http = getattr(self._local, "http", None)
        if http is None:
            plain = httplib2.Http(timeout=READ_TIMEOUT_S)
            plain.follow_redirects = False  # the API never redirects; a token must not travel
            http = AuthorizedHttp(self._credentials, http=plain, max_refresh_attempts=RENEWALS)
            self._local.http = http
        return http

    def _get(self, url: str, headers: Mapping[str, str], what: str) -> Incoming:
        for _ in range(MAX_REDIRECTS + 1):
            if not self.endpoints.trusts(url):
                raise PermanentError(
                    f"Google points to a foreign host for {what}; it was not followed.",
                    code="untrusted_address",
                )
            response = self._bytes.open(url, what, headers, lambda: self.pause(0.0))
            if response.status in (200, 206):
                return response
            response.close()
            if response.status not in REDIRECTS:
                raise translate(read_fault(response.status, response.headers, b""), what)
            url = urljoin(url, response.headers.get("location", ""))
        raise Unavailable(f"Google redirects without end for {what}.")


def _units(request: Any) -> int:
    return METHOD_UNITS.get(request.methodId, READ_UNITS)


def content_length(response: Incoming) -> int | None:
    """The body's promised size, None if only its end will tell."""
    value = response.headers.get("content-length", "")
    return int(value) if value.isdigit() and "content-encoding" not in response.headers else None


def _origin(url: Url) -> str:
    port = url.port or {"https": 443, "http": 80}.get(url.scheme or "", 0)
    return f"{url.scheme}://{(url.host or '').lower()}:{port}"


@lru_cache(maxsize=16)
def _service(name: str, version: str, url: str) -> Any:
    """The API described by the discovery document inside the client library; no network.

    Shared by threads and accounts: requests made from it are executed over a thread's own `http`.
    """
    return build(
        name,
        version,
        http=httplib2.Http(),
        static_discovery=True,
        client_options={"api_endpoint": url},
    )


def _connection_pool(url: str) -> urllib3.PoolManager:
    """A pool that any number of threads may use; honours the usual proxy variables."""
    parsed = parse_url(url)
    options: dict[str, Any] = {"maxsize": 64, "ca_certs": certifi.where()}
    proxy = getproxies().get(parsed.scheme or "")
    if not proxy or proxy_bypass(parsed.host or ""):
        return urllib3.PoolManager(**options)
    auth = parse_url(proxy).auth
    headers = make_headers(proxy_basic_auth=auth) if auth else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
