"""What a failed S3 call means: botocore's exceptions as ours, by who must act.

Codes from docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and from what Ceph, Scaleway,
OVHcloud, Hetzner and Exoscale answer beside them. Messages name the bucket and what to do; never a
key, a signature or a URL.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from urllib3.exceptions import SSLError as URLLib3SSLError
from urllib3.util.ssl_match_hostname import CertificateError

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
from syncapp.wire import NotReached, NotTrusted, WireError

_MISSING = {"NoSuchKey", "NoSuchVersion", "NotFound", "404", "NoSuchUpload"}
_SLOWER = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "429",
}
_WRONG_BYTES = {
    "BadDigest",
    "InvalidDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "InvalidPart",
}
# What stores answer to a storage class or an encryption that they do not have.
_WISH_REFUSED = {"InvalidArgument", "InvalidRequest", "InvalidEncryptionAlgorithmError"}
_TRY_AGAIN = {"RequestTimeout", "OperationAborted", "IncompleteBody", "InternalError"}
_FULL = {
    "QuotaExceeded",
    "QuotaExceededException",
    "InsufficientStorage",
    "StorageQuotaExceeded",
    "XMinioStorageFull",
    "TooManyObjects",
    "507",
}
_ELSEWHERE = (
    "wrong_region",
    "The bucket “{bucket}” lies in another region than the one set. Correct the region.",
)
# Our own code, and the sentence; {bucket} and {host} are filled in.
_ASK: dict[str, tuple[str, str]] = {
    "AccessDenied": (
        "access_denied",
        "The bucket “{bucket}” refuses this access key. Let its policy allow reading, writing, "
        "listing and deleting there.",
    ),
    "AllAccessDisabled": ("access_denied", "The service has closed the bucket “{bucket}”."),
    "AccountProblem": ("access_denied", "The account at {host} is closed or unpaid."),
    "InvalidAccessKeyId": (
        "bad_key",
        "{host} does not know this access key for the bucket “{bucket}”. Enter a valid one.",
    ),
    "SignatureDoesNotMatch": (
        "bad_key",
        "The secret key does not belong to the access key of the bucket “{bucket}”, or the region "
        "is wrong. Enter both keys anew.",
    ),
    "InvalidToken": ("bad_key", "The access key of the bucket “{bucket}” is not valid any more."),
    "ExpiredToken": ("bad_key", "The access key of the bucket “{bucket}” has expired."),
    "NoSuchBucket": (
        "no_such_bucket",
        "There is no bucket “{bucket}” at {host}. Create it there, or correct name or region.",
    ),
    "InvalidBucketName": ("no_such_bucket", "“{bucket}” is not a bucket name that {host} takes."),
    **dict.fromkeys(["PermanentRedirect", "TemporaryRedirect", "301", "302", "307"], _ELSEWHERE),
    "AuthorizationHeaderMalformed": (
        "wrong_region",
        "{host} expects another region for the bucket “{bucket}”. Correct the region.",
    ),
    "IllegalLocationConstraintException": (
        "wrong_region",
        "{host} expects another region for the bucket “{bucket}”. Correct the region.",
    ),
    "RequestTimeTooSkewed": (
        "clock_skew",
        "The clock of this server differs from that of {host} by more than 15 minutes. Set it.",
    ),
    "InvalidStorageClass": (
        "bad_option",
        "{host} does not have this storage class. Choose another for the bucket “{bucket}”.",
    ),
    "KMS.NotFoundException": ("bad_option", "The KMS key of the bucket “{bucket}” is not there."),
    "KMS.DisabledException": ("bad_option", "The KMS key of the bucket “{bucket}” is disabled."),
    "ServerSideEncryptionConfigurationNotFoundError": (
        "bad_option",
        "The bucket “{bucket}” has no encryption set up.",
    ),
}
_ASK |= {
    "AuthFailure": _ASK["InvalidAccessKeyId"],
    "UnauthorizedAccess": _ASK["AccessDenied"],
    "Forbidden": _ASK["AccessDenied"],
    "403": _ASK["AccessDenied"],
    "401": _ASK["InvalidAccessKeyId"],
    "301": _ASK["PermanentRedirect"],
    "307": _ASK["PermanentRedirect"],
    "TemporaryRedirect": _ASK["PermanentRedirect"],
    "RequestExpired": _ASK["RequestTimeTooSkewed"],
}
_REFUSED: dict[str, tuple[str, str]] = {
    "KeyTooLongError": ("name_too_long", "The name “{key}” is too long for {host}."),
    "EntityTooLarge": ("too_big", "“{key}” is bigger than {host} allows."),
    "MetadataTooLarge": ("metadata_too_large", "What is kept with “{key}” is too long for {host}."),
    "InvalidObjectState": (
        "archived",
        "“{key}” in the bucket “{bucket}” is archived: restore it there before it is read.",
    ),
    "InvalidRange": ("behind_the_end", "“{key}” at {host} ends before the bytes asked for."),
    "RestoreAlreadyInProgress": ("thawing", "“{key}” at {host} is being thawed already."),
    "ObjectLocked": ("locked", "“{key}” in the bucket “{bucket}” is locked against changes."),
}
_REFUSED["416"] = _REFUSED["InvalidRange"]


class S3Errors:
    """Translates for one bucket."""

    def __init__(self, bucket: str, host: str, wishes: Sequence[str] = ()) -> None:
        """`wishes`: what is asked of every object beyond its bytes, such as a storage class."""
        self._names = {"bucket": bucket, "host": host}
        self._wishes = " and ".join(wish for wish in wishes if wish)

    @contextmanager
    def translated(self, key: str = "") -> Iterator[None]:
        """Let botocore's and libcurl's errors inside leave as ours."""
        try:
            yield
        except ClientError as error:
            raise self.of_answer(error, key) from error
        except BotoCoreError as error:
            raise self._of_fault(error, key) from error
        except WireError as error:
            raise self._of_wire(error) from error

    def of_answer(self, error: ClientError, key: str = "") -> BackupError:
        """What the service's own refusal means."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        about: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
        status = int(about.get("HTTPStatusCode", 0))
        return self.of_code(code, status, about.get("HTTPHeaders", {}), key)

    def of_code(
        self, code: str, status: int, headers: Mapping[str, str], key: str = ""
    ) -> BackupError:
        """The same from the code in the answer's body; without one, the status is the code."""
        where = f"The bucket “{self._names['bucket']}” at {self._names['host']}"
        if code in _SLOWER or status == 429 or (status == 503 and code in ("503", "")):
            return RateLimited(
                f"{where} asks for a slower pace ({code}).", retry_after_s=_retry_after_s(headers)
            )
        if code in _FULL or status == 507:
            return ConfigurationError(
                f"{where} is full, or its quota is used up ({code}). Raise the quota or remove "
                "what is not needed, then resume.",
                code="destination_full",
            )
        if code in _WRONG_BYTES:
            return IntegrityError(f"{where} received other bytes than were sent for “{key}”.")
        for table, kind in ((_ASK, ConfigurationError), (_REFUSED, PermanentError)):
            if code in table:
                ours, sentence = table[code]
                return kind(sentence.format(key=key, **self._names), code=ours)
        if code in _MISSING:
            return NotFound(f"There is no “{key}” in the bucket “{self._names['bucket']}”.")
        if status == 501 or code == "NotImplemented":
            return PermanentError(f"{where} does not have this function.", code="not_supported")
        if status >= 500 or status == 408 or code in _TRY_AGAIN:
            return Unavailable(
                f"{where} answered with a fault of its own ({status} {code}).",
                retry_after_s=_retry_after_s(headers),
            )
        return self._by_status(status, code, where, key)

    def _by_status(self, status: int, code: str, where: str, key: str) -> BackupError:
        """For the codes that only one service knows."""
        if self._wishes and code in _WISH_REFUSED:
            return ConfigurationError(
                f"{where} does not take {self._wishes} ({code}). Choose another setting.",
                code="bad_option",
            )
        if status in (401, 403):
            ours, sentence = _ASK["AccessDenied"]
            return ConfigurationError(f"{sentence.format(**self._names)} ({code})", code=ours)
        if status == 409:
            return TransientError(f"{where} is busy with another change of “{key}” ({code}).")
        return PermanentError(f"{where} refused “{key}” ({status} {code}).")

    def _of_fault(self, error: BotoCoreError, key: str) -> BackupError:
        """What a call without an answer means."""
        host, bucket = self._names["host"], self._names["bucket"]
        inner = getattr(error, "kwargs", {}).get("error")
        if isinstance(inner, BackupError):
            return inner  # raised by a part's reader, passed through the HTTP client
        if _is_of_certificate(inner):
            return self._untrusted()
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return ConfigurationError(
                f"No access key for the bucket “{bucket}”: enter one, or give this server a role.",
                code="bad_key",
            )
        if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
            return self._not_reached()
        if isinstance(error, BotoConnectionError | HTTPClientError | SSLError):
            return self._broke_off()
        if isinstance(error, ParamValidationError):
            return PermanentError(f"“{key}” can't be asked for at {host}: a value is not valid.")
        if type(error).__name__ in ("IncompleteReadError", "ResponseStreamingError"):
            return Unavailable(f"“{key}” was cut off while it was read from {host}.")
        return ConfigurationError(
            f"The bucket “{bucket}” can't be used with these settings ({type(error).__name__})."
        )

    def _of_wire(self, error: WireError) -> BackupError:
        if isinstance(error, NotTrusted):
            return self._untrusted()
        return self._not_reached() if isinstance(error, NotReached) else self._broke_off()

    def _untrusted(self) -> BackupError:
        return ConfigurationError(
            f"The certificate of {self._names['host']} is not trusted here. Correct the endpoint, "
            "or let AWS_CA_BUNDLE name the file of the authority that signed it.",
            code="untrusted_certificate",
        )

    def _not_reached(self) -> BackupError:
        host = self._names["host"]
        return Unavailable(f"{host} can't be reached. Is the endpoint right, is it running?")

    def _broke_off(self) -> BackupError:
        return Unavailable(f"The connection to {self._names['host']} broke off.")


def _is_of_certificate(error: object) -> bool:
    """Whether TLS broke off for the certificate's sake: urllib3 wraps the reason. All else, such as
    an end in mid-handshake, is what a server that restarts does."""
    while isinstance(error, URLLib3SSLError) and error.args:
        error = error.args[0]
    return isinstance(error, ssl.SSLCertVerificationError | CertificateError)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds: a number, or a date held against the answer's own."""
    asked = headers.get("retry-after", "")
    if asked.isdigit():
        return float(asked)
    try:
        wait = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(wait.total_seconds(), 0.0)
