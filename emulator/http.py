"""What a request, a response and a Google error look like to every handler of the stand-in.

Knows nothing of Drive, OAuth or accounts' contents, and nothing of the ASGI server (`app.py`
translates). Error bodies follow Google's documented shape
(developers.google.com/drive/api/guides/handle-errors).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from re import Pattern
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from emulator.world import Account

JSON_TYPE = "application/json; charset=UTF-8"

# The `status` that Google's newer error bodies carry next to the HTTP code.
STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


@dataclass(slots=True)
class Request:
    """One request, its body already read; `account` is whom the bearer token stands for."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    base_url: str  # scheme://host[:port] by which the client reached us
    target: str = ""  # path?query as sent, for faults to match on
    account: Account | None = None
    client_id: str = ""  # of the OAuth client that the bearer token was given to
    scopes: frozenset[str] = frozenset()
    short_page: bool = False  # a fault wants this list to have a short page
    incomplete: bool = False  # a fault wants this list to miss items and to say so
    taken: int = -1  # a fault cuts this upload after so many bytes of its body

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter, or the default."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """True when a boolean query parameter is set, written as Google's clients write it."""
        return self.first(name).lower() in ("true", "1")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object ({} when empty); anything else is Google's parseError."""
        if not self.body.strip():
            return {}
        try:
            parsed = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise GoogleError(400, "parseError", "Parse Error") from error
        if not isinstance(parsed, dict):
            raise GoogleError(400, "parseError", "Parse Error")
        return parsed

    @property
    def user(self) -> Account:
        """The caller's account; only for routes behind `requires`, which guarantee one."""
        if self.account is None:
            raise unauthenticated()
        return self.account


@dataclass(slots=True)
class Response:
    """Status, headers, and a body that is bytes or an iterator of chunks of a known length."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""
    length: int | None = None  # of an iterator's body; None: chunked


Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path, who may call it, what it costs, and the word the counters use."""

    method: str
    pattern: Pattern[str]
    call: Handler  # async (request, world, **named groups of the pattern) -> Response
    kind: str = "other"
    units: int = 0  # of the user's per-minute quota
    scopes: frozenset[str] | None = None  # any one suffices; None: no bearer token needed
    alt_media: bool = False  # only with ?alt=media; stands before the same path without


class GoogleError(Exception):
    """An answer that refuses; `app.py` turns it into Google's error body."""

    def __init__(self, status: int, reason: str, message: str, **more: Any) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.response = google_error(status, reason, message, **more)


def json_response(obj: Any, status: int = 200) -> Response:
    """An answer with a JSON body."""
    return Response(status, [("Content-Type", JSON_TYPE)], orjson.dumps(obj))


def google_error(
    status: int,
    reason: str,
    message: str,
    *,
    domain: str = "global",
    location: str | None = None,
    location_type: str = "parameter",
    status_name: str | None = None,
    details: list[dict[str, Any]] | None = None,
    retry_after: str | None = None,
) -> Response:
    """Google's error body, as the Drive API writes it; `status_name` and `details` where given."""
    entry: dict[str, Any] = {"message": message, "domain": domain, "reason": reason}
    if location is not None:
        entry |= {"location": location, "locationType": location_type}
    error: dict[str, Any] = {"code": status, "message": message, "errors": [entry]}
    if status_name is not None:
        error["status"] = status_name
    if details is not None:
        error["details"] = details
    response = json_response({"error": error}, status)
    if retry_after is not None:
        response.headers.append(("Retry-After", retry_after))
    return response


def unauthenticated() -> GoogleError:
    """What Google answers to a missing, expired or revoked bearer token."""
    return GoogleError(
        401,
        "authError",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
        "cookie or other valid authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project.",
        location="Authorization",
        location_type="header",
        status_name="UNAUTHENTICATED",
    )


def insufficient_scope(method: str, service: str = "drive.googleapis.com") -> GoogleError:
    """What Google answers to a valid token that lacks the scope for a method."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "domain": "googleapis.com",
        "metadata": {"service": service, "method": method},
    }
    return GoogleError(
        403,
        "insufficientPermissions",
        "Insufficient Permission: Request had insufficient authentication scopes.",
        status_name="PERMISSION_DENIED",
        details=[info],
    )


def not_found(file_id: str) -> GoogleError:
    """The 404 for a file that is missing or that the caller may not see."""
    return GoogleError(404, "notFound", f"File not found: {file_id}.", location="fileId")


def invalid(parameter: str, message: str = "Invalid Value") -> GoogleError:
    """The 400 for a bad parameter."""
    return GoogleError(400, "invalid", message, location=parameter)
