"""Google's refusals as our errors: every row of its table of reasons."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from google.auth.exceptions import RefreshError, TransportError

from syncapp import errors
from syncapp.sources.google_errors import (
    read_fault,
    retry_after_s,
    snake_case,
    translate,
    translate_transport,
)


def body(code: int, reason: str = "", **more: Any) -> bytes:
    entries = [{"domain": more.pop("domain", "global"), "reason": reason}] if reason else []
    return json.dumps(
        {"error": {"code": code, "message": "Words.", "errors": entries, **more}}
    ).encode()


def error_for(status: int, content: bytes, **headers: str) -> errors.BackupError:
    return translate(read_fault(status, headers, content), "“x”")


ROWS: list[tuple[int, str, type[errors.BackupError], str]] = [
    (403, "rateLimitExceeded", errors.RateLimited, "rate_limited"),
    (403, "userRateLimitExceeded", errors.RateLimited, "rate_limited"),
    (429, "rateLimitExceeded", errors.RateLimited, "rate_limited"),
    (429, "", errors.RateLimited, "rate_limited"),
    (500, "internalError", errors.Unavailable, "unavailable"),
    (502, "", errors.Unavailable, "unavailable"),
    (503, "backendError", errors.Unavailable, "unavailable"),
    (504, "", errors.Unavailable, "unavailable"),
    (408, "", errors.Unavailable, "unavailable"),
    (403, "", errors.Unavailable, "unavailable"),
    (403, "downloadQuotaExceeded", errors.Deferred, "download_quota_exceeded"),
    (403, "dailyLimitExceeded", errors.QuotaExhausted, "daily_limit_exceeded"),
    (403, "fileNotDownloadable", errors.PermanentError, "file_not_downloadable"),
    (403, "fileNotExportable", errors.PermanentError, "file_not_exportable"),
    (403, "cannotDownloadFile", errors.PermanentError, "cannot_download_file"),
    (403, "insufficientFilePermissions", errors.PermanentError, "insufficient_file_permissions"),
    (403, "appNotAuthorizedToFile", errors.PermanentError, "app_not_authorized_to_file"),
    (403, "teamDriveMembershipRequired", errors.PermanentError, "team_drive_membership_required"),
    (403, "exportSizeLimitExceeded", errors.PermanentError, "export_size_limit_exceeded"),
    (403, "cannotDownloadAbusiveFile", errors.PermanentError, "cannot_download_abusive_file"),
    (403, "aReasonOfTomorrow", errors.PermanentError, "a_reason_of_tomorrow"),
    (404, "notFound", errors.NotFound, "not_found"),
    (401, "authError", errors.Unavailable, "access_refused"),
    (401, "", errors.Unavailable, "access_refused"),
    (400, "invalid_grant", errors.ReconnectRequired, "reconnect_required"),
    (403, "domainPolicy", errors.ReconnectRequired, "reconnect_required"),
    (400, "admin_policy_enforced", errors.ReconnectRequired, "reconnect_required"),
    (403, "insufficientPermissions", errors.ReconnectRequired, "scope_missing"),
    (403, "accessNotConfigured", errors.ConfigurationError, "api_disabled"),
    (400, "badRequest", errors.PermanentError, "bad_request"),
]


@pytest.mark.parametrize(("status", "reason", "kind", "code"), ROWS)
def test_each_reason_becomes_its_class_and_code(
    status: int, reason: str, kind: type[errors.BackupError], code: str
) -> None:
    error = error_for(status, body(status, reason))
    assert (type(error), error.code) == (kind, code)
    assert error.message.endswith(".")


def test_reason_in_the_details_is_found_when_the_first_one_says_nothing() -> None:
    content = body(403, "forbidden", details=[{"@type": "x"}, {"reason": "SERVICE_DISABLED"}])
    assert error_for(403, content).code == "api_disabled"


def test_status_is_the_last_resort() -> None:
    assert error_for(403, body(403, status="PERMISSION_DENIED")).code == "permission_denied"
    assert isinstance(error_for(400, body(400, status="RESOURCE_EXHAUSTED")), errors.RateLimited)


def test_unknown_usage_limit_is_a_wish_for_a_slower_pace() -> None:
    content = body(403, "someNewLimit", domain="usageLimits")
    assert isinstance(error_for(403, content), errors.RateLimited)


def test_token_endpoints_shape_is_read_too() -> None:
    content = b'{"error": "invalid_grant", "error_description": "Bad Request"}'
    assert isinstance(error_for(400, content), errors.ReconnectRequired)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b'"x"', b'{"error": 5}', b'{"error": {"errors": [7]}}', b"\xff"],
)
def test_any_body_is_survived(content: bytes) -> None:
    assert isinstance(error_for(503, content), errors.Unavailable)
    assert isinstance(error_for(403, content), errors.Unavailable)


def test_retry_after_is_honoured_as_seconds_and_as_a_date() -> None:
    error = error_for(429, b"", **{"retry-after": "17"})
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after_s == 17
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert retry_after_s(in_a_minute) == pytest.approx(60, abs=2)
    assert retry_after_s("soon") is None
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(
    ("raised", "kind", "code"),
    [
        (TimeoutError("timed out"), errors.Unavailable, "timed_out"),
        (ConnectionResetError(104, "reset"), errors.Unavailable, "connection_lost"),
        (TransportError("no"), errors.Unavailable, "connection_lost"),
        (RefreshError("invalid_grant: gone"), errors.ReconnectRequired, "reconnect_required"),
        (RefreshError("busy", retryable=True), errors.Unavailable, "connection_lost"),
    ],
)
def test_calls_without_an_answer_are_translated(
    raised: Exception, kind: type[errors.BackupError], code: str
) -> None:
    error = translate_transport(raised, "“x”")
    assert (type(error), error.code) == (kind, code)


def test_snake_case_of_both_of_googles_styles() -> None:
    assert snake_case("fileNotDownloadable") == "file_not_downloadable"
    assert snake_case("PERMISSION_DENIED") == "permission_denied"
