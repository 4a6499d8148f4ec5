"""AWS Signature Version 4 for S3, in the headers: what botocore does, at a twentieth of its cost.

Follows docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html; held equal to
botocore's own signer by a test over random requests. Pure: the time comes in. Must not show a key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

_UNCHANGED = re.compile(r"[A-Za-z0-9_.~/-]*")


class Signer:
    """Signs for one region with one pair of keys; threads may share it."""

    def __init__(self, access_key_id: str, secret_access_key: str, region: str) -> None:
        self._access_key_id = access_key_id
        self._secret = secret_access_key
        self._region = region
        self._day_key = ("", b"")  # the signing key changes once a day

    def sign(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> str:
        """The value of Authorization. `path` is encoded, as sent; `headers` are all that are to be
        signed, in lower case, x-amz-date, x-amz-content-sha256 and host among them."""
        names = sorted(headers)
        signed = ";".join(names)
        canonical = "\n".join(
            [
                method,
                path,
                canonical_query(query),
                *[f"{name}:{' '.join(headers[name].split())}" for name in names],
                "",
                signed,
                headers["x-amz-content-sha256"],
            ]
        )
        moment = headers["x-amz-date"]
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
        mark = hmac.digest(self._key_of(moment[:8]), text.encode(), "sha256").hex()
        return (
            f"AWS4-HMAC-SHA256 Credential={self._access_key_id}/{scope}, "
            f"SignedHeaders={signed}, Signature={mark}"
        )

    def _key_of(self, day: str) -> bytes:
        known_day, key = self._day_key
        if known_day != day:
            key = f"AWS4{self._secret}".encode()
            for word in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, word.encode(), "sha256")
            self._day_key = (day, key)
        return key


def encoded_path(key: str) -> str:
    """A key as it stands in a URL."""
    return key if _UNCHANGED.fullmatch(key) else quote(key, safe="/~")


def canonical_query(query: Mapping[str, str]) -> str:
    """The query as it is signed and sent: sorted, everything encoded."""
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in query.items())
    return "&".join([f"{name}={value}" for name, value in pairs])


@lru_cache(maxsize=8)
def amz_date(seconds: int) -> str:
    """A moment, in seconds since 1970, as x-amz-date has it."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
