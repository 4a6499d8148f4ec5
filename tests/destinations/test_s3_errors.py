"""Answers that no server here gives: by botocore's own stub, through the real client.

The lean plane's are held against the same table in test_s3_wire.py.
"""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError
from botocore.stub import Stubber

from syncapp.destinations.s3 import S3Destination
from syncapp.destinations.s3_errors import S3Errors
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    IntegrityError,
    NotFound,
    PermanentError,
    RateLimited,
    TransientError,
    Unavailable,
)
from tests.destinations.samples import put

REFUSALS = [
    ("SlowDown", 503, RateLimited, "rate_limited"),
    ("SlowDown", 429, RateLimited, "rate_limited"),
    ("TooManyRequests", 429, RateLimited, "rate_limited"),
    ("503", 503, RateLimited, "rate_limited"),
    ("ServiceUnavailable", 503, Unavailable, "unavailable"),
    ("InternalError", 500, Unavailable, "unavailable"),
    ("502", 502, Unavailable, "unavailable"),
    ("RequestTimeout", 400, Unavailable, "unavailable"),
    ("OperationAborted", 409, Unavailable, "unavailable"),
    ("SomethingBusy", 409, TransientError, "transient"),
    ("QuotaExceeded", 403, ConfigurationError, "destination_full"),
    ("InsufficientStorage", 507, ConfigurationError, "destination_full"),
    ("AccessDenied", 403, ConfigurationError, "access_denied"),
    ("SomethingForbidden", 403, ConfigurationError, "access_denied"),
    ("RequestTimeTooSkewed", 403, ConfigurationError, "clock_skew"),
    ("PermanentRedirect", 301, ConfigurationError, "wrong_region"),
    ("AuthorizationHeaderMalformed", 400, ConfigurationError, "wrong_region"),
    ("ExpiredToken", 400, ConfigurationError, "bad_key"),
    ("InvalidStorageClass", 400, ConfigurationError, "bad_option"),
    ("KMS.DisabledException", 400, ConfigurationError, "bad_option"),
    ("BadDigest", 400, IntegrityError, "checksum_mismatch"),
    ("InvalidDigest", 400, IntegrityError, "checksum_mismatch"),
    ("XAmzContentSHA256Mismatch", 400, IntegrityError, "checksum_mismatch"),
    ("KeyTooLongError", 400, PermanentError, "name_too_long"),
    ("EntityTooLarge", 400, PermanentError, "too_big"),
    ("NotImplemented", 501, PermanentError, "not_supported"),
    ("NoSuchKey", 404, NotFound, "not_found"),
    ("SomethingOdd", 418, PermanentError, "refused"),
]


def store_answering(code: str, status: int, headers: dict[str, str] | None = None) -> S3Destination:
    store = S3Destination.create(
        {
            "provider": "other",
            "endpoint": "https://127.0.0.1:1",
            "bucket": "my-bucket",
            "_allow_private": "1",
            "data_plane": "boto3",
        },
        {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "very-secret-word"},
    )
    stub = Stubber(store.client)
    stub.add_client_error(
        "put_object",
        service_error_code=code,
        http_status_code=status,
        response_meta={"HTTPHeaders": headers or {}},
    )
    stub.activate()
    return store


@pytest.mark.parametrize(("code", "status", "kind", "ours"), REFUSALS)
def test_a_refusal_tells_who_must_act(
    code: str, status: int, kind: type[BackupError], ours: str
) -> None:
    with pytest.raises(kind) as caught:
        put(store_answering(code, status), "folder/file.txt", b"x")

    assert type(caught.value) is kind
    assert caught.value.code == ours
    assert "very-secret-word" not in caught.value.message
    assert "AKIAEXAMPLE" not in caught.value.message
    assert "my-bucket" in caught.value.message or "127.0.0.1:1" in caught.value.message


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "17"}, 17.0),
        (
            {
                "retry-after": "Wed, 25 Nov 2026 10:00:30 GMT",
                "date": "Wed, 25 Nov 2026 10:00:00 GMT",
            },
            30.0,
        ),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_a_service_asks_for_is_handed_on(
    headers: dict[str, str], wait_s: float | None
) -> None:
    with pytest.raises(RateLimited) as caught:
        put(store_answering("SlowDown", 503, headers), "file.txt", b"x")

    assert caught.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://s3.example.com/b/k?X-Amz-Signature=abc"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ],
)
def test_a_connection_that_fails_is_unavailable_and_its_address_not_told(
    error: Exception,
) -> None:
    with pytest.raises(Unavailable) as caught, S3Errors("b", "s3.example.com").translated("k"):
        raise error

    assert "Signature" not in caught.value.message


def test_an_option_that_was_asked_for_and_refused_is_named() -> None:
    answer = {"Error": {"Code": "InvalidArgument"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    refusal = ClientError(answer, "PutObject")  # type: ignore[arg-type]

    plain = S3Errors("b", "h").of_answer(refusal, "k")
    wished = S3Errors("b", "h", ("GLACIER_IR", "")).of_answer(refusal, "k")

    assert type(plain) is PermanentError
    assert (type(wished), wished.code) == (ConfigurationError, "bad_option")
    assert "GLACIER_IR" in wished.message
