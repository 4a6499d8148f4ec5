"""Google's token and revocation endpoints: two POSTs, their answers as our types and errors.

Holds no state and logs nothing. Rules followed: RFC 6749 §5-6, RFC 7009 and
developers.google.com/identity/protocols/oauth2/web-server. Secrets travel in request bodies only:
a query string would reach logs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import requests
from django.conf import settings
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from syncapp.errors import ConfigurationError, RateLimited, Unavailable

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 15
_SHORTEST_LIFE_S = 1

# The client itself is wrong: every account fails alike, and no reconnect helps.
_CLIENT_ERRORS = frozenset({"invalid_client", "deleted_client", "disabled_client"})
# This account's consent is gone; "unauthorized_client": it was given to another client.
_GRANT_ERRORS = frozenset(
    {
        "invalid_grant",
        "unauthorized_client",
        "admin_policy_enforced",
        "access_denied",
        "org_internal",
        "invalid_scope",
    }
)


class GrantRefused(Exception):
    """Google does not accept a refresh token (any more). `description` is Google's own text."""

    def __init__(self, error: str, subtype: str = "", description: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.subtype = subtype
        self.description = description


@dataclass(frozen=True)
class Refreshed:
    """An access token and when it ends."""

    access_token: str = field(repr=False)
    expires_at: datetime
    # Google sends none; RFC 6749 §6 allows it, and then the old one is dead.
    refresh_token: str = field(default="", repr=False)


@sensitive_variables("refresh_token", "form", "body")
def refresh(refresh_token: str) -> Refreshed:
    """A new access token. GrantRefused, Unavailable, RateLimited or ConfigurationError if not."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": settings.GOOGLE_CLIENT_ID,
        "client_secret": settings.GOOGLE_CLIENT_SECRET,
    }
    asked_at = timezone.now()
    body = _post(settings.GOOGLE_TOKEN_URL, form)
    access_token = body.get("access_token")
    if not isinstance(access_token, str) or not access_token:
        raise Unavailable("Google's token endpoint answered without an access token.")
    life_s = max(_whole(body.get("expires_in")), _SHORTEST_LIFE_S)
    rotated = body.get("refresh_token")
    return Refreshed(
        access_token,
        asked_at + timedelta(seconds=life_s),
        rotated if isinstance(rotated, str) else "",
    )


@sensitive_variables("token")
def revoke(token: str) -> None:
    """End the consent behind a token. One that Google knows no more is as good as revoked."""
    try:
        _post(settings.GOOGLE_REVOKE_URL, {"token": token})
    except GrantRefused as refused:
        if refused.error not in ("invalid_token", "invalid_grant"):
            raise ConfigurationError(
                f"Google refused to revoke the permission ({refused.error})."
            ) from refused


@sensitive_variables("form", "response")
def _post(url: str, form: dict[str, str]) -> dict[str, Any]:
    try:
        response = requests.post(
            url, data=form, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S), allow_redirects=False
        )
    except requests.RequestException as error:
        raise Unavailable(
            f"Google's sign-in service could not be reached ({type(error).__name__})."
        ) from error
    body = _json(response)
    if response.status_code == 200:
        return body
    raise _error_of(response, body)


def _error_of(response: requests.Response, body: dict[str, Any]) -> Exception:
    status = response.status_code
    if status == 429:
        wait_s = _whole(response.headers.get("Retry-After")) or None
        return RateLimited("Google asks for fewer sign-in requests.", retry_after_s=wait_s)
    error = _word(body.get("error"))
    if status >= 500 or not error:
        return Unavailable(f"Google's sign-in service answered with status {status}.")
    if error in _CLIENT_ERRORS:
        return ConfigurationError(
            f"Google does not accept this server's OAuth client ({error}): check "
            "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET against Google Cloud, Credentials.",
            code="invalid_client",
        )
    if error in _GRANT_ERRORS or error == "invalid_token":
        return GrantRefused(
            error, _word(body.get("error_subtype")), str(body.get("error_description", ""))
        )
    return ConfigurationError(f"Google's sign-in service refused the request ({error}).")


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return {}  # a proxy's or a fault's page; the status tells
    return body if isinstance(body, dict) else {}


def _word(value: object) -> str:
    """An error word as messages may carry it; anything longer or odder is not one."""
    return value if isinstance(value, str) and re.fullmatch(r"[a-z_]{1,60}", value) else ""


def _whole(value: object) -> int:
    digits = str(value)
    return int(digits) if re.fullmatch(r"\d{1,9}", digits) else 0
