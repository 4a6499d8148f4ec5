"""The lean signer says what botocore's own says, whatever the key, the metadata and the moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from syncapp.destinations.s3_sign import Signer, amz_date, canonical_query, encoded_path
from tests.destinations.samples import HOSTILE_NAMES, MTIME

HOST = "s3.eu-central-1.example.com"
SHA256 = "ab" * 32

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=60)
words = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
moments = st.integers(946684800, 4102444800).map(lambda s: datetime.fromtimestamp(s, UTC))
queries = st.dictionaries(
    st.sampled_from(["uploadId", "partNumber", "versionId"]), names, max_size=3
)


def by_botocore(
    method: str,
    key: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    moment: datetime,
    keys: tuple[str, str, str],
) -> str:
    asked = "&".join(
        f"{name}={percent_encode(value, safe='-._~')}" for name, value in query.items()
    )
    url = f"https://{HOST}/bucket/{percent_encode(key, safe='/~')}" + f"?{asked}" * bool(asked)
    request = AWSRequest(method, url, dict(headers), b"")
    signer = S3SigV4Auth(Credentials(keys[0], keys[1]), "s3", keys[2])
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=moment),
        mock.patch.object(S3SigV4Auth, "payload", return_value=SHA256),
    ):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


def by_us(
    method: str,
    key: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    moment: datetime,
    keys: tuple[str, str, str],
) -> str:
    signed = {
        **headers,
        "host": HOST,
        "x-amz-date": amz_date(int(moment.timestamp())),
        "x-amz-content-sha256": SHA256,
    }
    return Signer(*keys).sign(method, f"/bucket/{encoded_path(key)}", query, signed)


any_request = given(
    method=st.sampled_from(["PUT", "GET", "HEAD"]),
    key=st.one_of(names, st.sampled_from(HOSTILE_NAMES), st.lists(names).map("/".join)),
    query=queries,
    metadata=st.dictionaries(words, values, max_size=4),
    moment=moments,
    keys=st.tuples(values, values, words),
)


def assert_signed_alike(
    method: str,
    key: str,
    query: dict[str, str],
    metadata: dict[str, str],
    moment: datetime,
    keys: tuple[str, str, str],
) -> None:
    headers = {f"x-amz-meta-{name}": value for name, value in metadata.items()}

    assert by_us(method, key, query, headers, moment, keys) == by_botocore(
        method, key, query, headers, moment, keys
    )


@settings(max_examples=300, deadline=None)
@any_request
def test_every_signature_is_botocores(**asked: Any) -> None:
    assert_signed_alike(**asked)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@any_request
def test_thousands_of_signatures_are_botocores(**asked: Any) -> None:
    assert_signed_alike(**asked)


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "a/../b", "./a", "a//b", "/", "~", "a\0b\n"])
def test_a_hostile_key_is_signed_as_it_is_sent(name: str) -> None:
    keys = ("AKIA", "secret", "eu-central-1")

    assert by_us("PUT", name, {}, {}, MTIME, keys) == by_botocore("PUT", name, {}, {}, MTIME, keys)
    assert encoded_path(name).isascii()


def test_the_key_of_a_day_is_not_used_on_another() -> None:
    signer = Signer("AKIA", "secret", "eu-central-1")

    def signed(day: int) -> str:
        date = amz_date(int(datetime(2026, 11, day, tzinfo=UTC).timestamp()))
        return signer.sign(
            "PUT", "/k", {}, {"host": HOST, "x-amz-date": date, "x-amz-content-sha256": SHA256}
        )

    first = signed(1)

    assert signed(2) != first
    assert signed(1) == first


def test_a_query_is_sorted_and_wholly_encoded() -> None:
    assert canonical_query({"uploadId": "a/b+c =ü", "partNumber": "7"}) == (
        "partNumber=7&uploadId=a%2Fb%2Bc%20%3D%C3%BC"
    )
