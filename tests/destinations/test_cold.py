"""Objects in cold storage: told apart, asked back, and read when they are there."""

from __future__ import annotations

import pytest

from syncapp.destinations.s3 import S3Destination
from syncapp.destinations.s3_objects import is_frozen
from syncapp.errors import PermanentError
from tests.destinations.conftest import client_of, s3_store
from tests.destinations.samples import put, read
from tests.destinations.test_s3_wire import XML, store_on
from tests.servers.raw_http import answering, reply
from tests.servers.shared import Info

ONGOING = 'ongoing-request="true"'
READY = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"'


@pytest.fixture(params=["lean", "boto3"])
def cold(request: pytest.FixtureRequest, moto_server: Info) -> S3Destination:
    """A destination with one archived object, `cold.txt`."""
    store = s3_store(moto_server, "other", data_plane=request.param)
    client_of(moto_server).put_object(
        Bucket=store.bucket, Key=store.full("cold.txt"), Body=b"brr", StorageClass="GLACIER"
    )
    return store


def test_an_archived_object_is_known_by_its_head_and_in_a_listing(cold: S3Destination) -> None:
    about = cold.head("cold.txt")

    assert about is not None
    assert (about.storage_class, about.frozen) == ("GLACIER", True)
    assert [(i.storage_class, i.frozen) for i in cold.objects()] == [("GLACIER", True)]


def test_an_archived_object_says_why_it_is_not_read(cold: S3Destination) -> None:
    for end in (None, 100):
        with pytest.raises(PermanentError) as caught, cold.read("cold.txt", end=end) as chunks:
            list(chunks)
        assert caught.value.code == "archived"


def test_a_thawed_object_is_read_like_any_other(cold: S3Destination) -> None:
    cold.thaw("cold.txt")

    about = cold.head("cold.txt")
    assert about is not None
    assert not about.frozen
    assert read(cold, "cold.txt") == b"brr"


def test_thawing_what_is_not_archived_is_no_error(moto_server: Info) -> None:
    store = s3_store(moto_server, "other")
    put(store, "warm.txt", b"hello")

    store.thaw("warm.txt")

    assert read(store, "warm.txt") == b"hello"


def test_a_second_thaw_of_one_under_way_is_no_error() -> None:
    head = reply("200 OK", x_amz_storage_class="GLACIER", x_amz_restore=ONGOING)
    busy = reply("409 Conflict", XML % b"RestoreAlreadyInProgress")
    with store_on(answering(head, busy)) as (store, server):
        store.thaw("cold.txt", days=5)
    assert b"<Days>5</Days>" in server.requests[1]


def test_what_intelligent_tiering_archived_is_thawed_without_a_number_of_days() -> None:
    head = reply("200 OK", x_amz_archive_status="ARCHIVE_ACCESS")
    with store_on(answering(head, reply("202 Accepted"))) as (store, server):
        store.thaw("cold.txt")
    assert b"<Days>" not in server.requests[1]
    assert b"<Tier>Standard</Tier>" in server.requests[1]


@pytest.mark.parametrize(
    ("answer", "frozen"),
    [
        ({}, False),
        ({"StorageClass": "STANDARD_IA"}, False),
        ({"StorageClass": "GLACIER_IR"}, False),
        ({"StorageClass": "DEEP_ARCHIVE"}, True),
        ({"StorageClass": "GLACIER", "Restore": ONGOING}, True),
        ({"StorageClass": "GLACIER", "Restore": READY}, False),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, True),
    ],
)
def test_an_object_is_frozen_until_it_is_wholly_thawed(
    answer: dict[str, str], frozen: bool
) -> None:
    assert is_frozen(answer) is frozen


@pytest.mark.parametrize("end", [None, 100])
def test_a_store_that_ignores_ranges_is_never_taken_at_its_word(end: int | None) -> None:
    whole = reply("200 OK", b"0123456789")
    with store_on(answering(whole)) as (store, _):
        with pytest.raises(PermanentError) as caught, store.read("a", start=4, end=end) as chunks:
            list(chunks)
    assert caught.value.code == "not_supported"
