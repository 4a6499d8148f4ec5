"""Google's refusals, told as our errors. Pure: no request is made here.

Must not: retry, log, or put a header or an address into a message. Rule followed: the error body
`{"error": {code, message, errors[{domain, reason}], status, details[{reason}]}}` and its reasons
(developers.google.com/workspace/drive/api/guides/handle-errors). A known reason is looked for in
`errors[0].reason`, then `details[].reason`, then `status`; the HTTP status decides the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from google.auth.exceptions import GoogleAuthError, RefreshError

from syncapp.errors import (
    BackupError,
    ConfigurationError,
    Deferred,
    NotFound,
    PermanentError,
    QuotaExhausted,
    RateLimited,
    ReconnectRequired,
    Unavailable,
)

RATE_REASONS = frozenset(
    ["rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"]
)
DAY_REASONS = frozenset(["dailyLimitExceeded", "dailyLimitExceededUnreg"])
FULL_REASONS = frozenset(["storageQuotaExceeded", "quotaExceeded"])
SCOPE_REASONS = frozenset(["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"])
DISABLED_REASONS = frozenset(["accessNotConfigured", "SERVICE_DISABLED"])

# Why the account must be linked again, by reason.
RECONNECT_REASONS = {
    "invalid_grant": "Google has withdrawn this account's consent.",
    "domainPolicy": "The organisation's administrator has switched off Drive access for apps.",
    "admin_policy_enforced": "The organisation's administrator does not allow this app.",
}

# What Google will not give, whoever asks again. The code is the reason in snake_case.
REFUSALS = {
    "fileNotDownloadable": "Google does not offer this item as a download.",
    "fileNotExportable": "Google does not offer this item for export.",
    "cannotDownloadFile": "Its owner does not allow downloads.",
    "insufficientFilePermissions": "This account may not read it.",
    "appNotAuthorizedToFile": "This app may not read it.",
    "teamDriveMembershipRequired": "This account is not a member of its shared drive.",
    "exportSizeLimitExceeded": "It is too large for a plain export.",
    "cannotDownloadAbusiveFile": "Google has flagged it as malware or abuse.",
    "PERMISSION_DENIED": "This account may not read it.",
    "sharingRateLimitExceeded": "So much was shared that Google allows no more for today.",
    "numChildrenInNonRootLimitExceeded": "A folder of Drive holds 500,000 items at most.",
    "activeItemCreationLimitExceeded": "The account has created as many items as Drive allows.",
    "teamDriveFileLimitExceeded": "The shared drive holds as many items as Drive allows.",
}

MAX_MESSAGE = 500  # of Google's own words, kept in the database with each attempt
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Fault:
    """What can be read from one refusing answer; `reason` "" if its body is not Google's JSON."""

    status: int
    reason: str
    domain: str
    message: str
    retry_after_s: float | None


def read_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Take an error answer apart; any body is accepted, HTML and nothing included."""
    error = _error_object(body)
    first = _first_entry(error)
    candidates = [first.get("reason"), *_detail_reasons(error), error.get("status")]
    words = [c for c in candidates if isinstance(c, str) and c]
    reason = next((w for w in words if _is_known(w)), words[0] if words else "")
    message = str(error.get("message") or first.get("message") or "")[:MAX_MESSAGE]
    return Fault(
        status,
        reason,
        str(first.get("domain", "")),
        message,
        retry_after_s(headers.get("retry-after")),
    )


def translate(fault: Fault, what: str) -> BackupError:
    """The error for a fault; `what` names the thing asked for, as a sentence's object.

    A 401 has outlasted fresh tokens here. While Google still renews them the consent stands, so
    that passes; when it does not, the renewal says so (`translate_transport`).
    """
    if fault.status >= 500 or fault.status == 408:
        return Unavailable(
            f"Google could not serve {what} (HTTP {fault.status}).",
            retry_after_s=fault.retry_after_s,
        )
    if fault.status == 401 and fault.reason not in RECONNECT_REASONS:
        return Unavailable(
            "Google refuses this account's access just now, though it renews it. If that lasts,"
            " link the account again.",
            code="access_refused",
            retry_after_s=fault.retry_after_s,
        )
    return _by_reason(fault, what) or _by_status(fault, what)


def translate_transport(error: Exception, what: str) -> BackupError:
    """The error for a call that got no answer, or for a token that could not be renewed."""
    if isinstance(error, RefreshError) and not error.retryable:
        return ReconnectRequired(
            "Google no longer renews this account's access. Link the account again."
        )
    if isinstance(error, GoogleAuthError):
        return Unavailable("Google's sign-in service did not answer.", code="connection_lost")
    timed_out = "time" in type(error).__name__.lower()
    return Unavailable(
        f"The connection to Google {'timed out' if timed_out else 'broke'} while reading {what}.",
        code="timed_out" if timed_out else "connection_lost",
    )


def snake_case(reason: str) -> str:
    """`fileNotDownloadable` and `PERMISSION_DENIED` as stable codes."""
    return _WORD.sub("_", reason).lower()


def retry_after_s(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which is a number or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)


def _by_reason(fault: Fault, what: str) -> BackupError | None:
    reason = fault.reason
    if reason == "downloadQuotaExceeded":
        return Deferred(
            f"Google's download quota for {what} is used up; it is tried again in some hours."
        )
    if reason in FULL_REASONS:
        return ConfigurationError(
            "This Google account's storage is full. Make room, or get more at "
            "one.google.com/storage, and resume the restore.",
            code="storage_quota_exceeded",
        )
    if reason in DAY_REASONS:
        return QuotaExhausted(
            "The Google Cloud project's daily limit is used up; it is tried again every hour."
        )
    if reason in RATE_REASONS:
        return _slower(fault)
    if reason in SCOPE_REASONS:
        return ReconnectRequired(
            "A permission was not granted. Link the account again and tick every box.",
            code="scope_missing",
        )
    if reason in RECONNECT_REASONS:
        return ReconnectRequired(f"{RECONNECT_REASONS[reason]} Link the account again.")
    if reason in DISABLED_REASONS:
        return ConfigurationError(
            f"An API is not enabled in the Google Cloud project. {fault.message}".strip(),
            code="api_disabled",
        )
    if reason in REFUSALS:
        return PermanentError(f"Google refuses {what}. {REFUSALS[reason]}", code=snake_case(reason))
    return None


def _by_status(fault: Fault, what: str) -> BackupError:
    if fault.status == 429 or fault.domain == "usageLimits":
        return _slower(fault)
    if fault.status in (404, 410):
        return NotFound(
            f"Google has no {what}, or this account may no longer see it.",
            code="gone" if fault.status == 410 else None,
        )
    if fault.status < 400 or not fault.reason:
        # Google states a reason when it means "no"; an HTML page comes from a front end in trouble.
        return Unavailable(f"Google gave an unexpected answer (HTTP {fault.status}) for {what}.")
    return PermanentError(
        f"Google refuses {what}: {fault.message or fault.reason}", code=snake_case(fault.reason)
    )


def _slower(fault: Fault) -> RateLimited:
    return RateLimited("Google asks for a slower pace.", retry_after_s=fault.retry_after_s)


def _is_known(reason: str) -> bool:
    return (
        reason == "downloadQuotaExceeded"
        or reason in RATE_REASONS | DAY_REASONS | FULL_REASONS | SCOPE_REASONS | DISABLED_REASONS
        or reason in RECONNECT_REASONS
        or reason in REFUSALS
    )


def _error_object(body: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, str):  # the token endpoint's shape
        return {"status": error, "message": str(parsed.get("error_description", ""))}
    return error if isinstance(error, dict) else {}


def _first_entry(error: dict[str, object]) -> dict[str, object]:
    entries = error.get("errors")
    first = entries[0] if isinstance(entries, list) and entries else None
    return first if isinstance(first, dict) else {}


def _detail_reasons(error: dict[str, object]) -> list[object]:
    details = error.get("details")
    if not isinstance(details, list):
        return []
    return [d.get("reason") for d in details if isinstance(d, dict)]
