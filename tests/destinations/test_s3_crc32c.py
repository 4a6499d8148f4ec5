"""Parts of big files go with a CRC32C instead of an MD5 where a store was seen to check it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from syncapp.destinations.s3 import S3Destination
from syncapp.destinations.s3_crc32c import check_crc32c
from syncapp.destinations.s3_objects import base64_of
from syncapp.destinations.s3_settings import CRC32C_PROVEN, S3Settings
from syncapp.destinations.s3_wire import S3Wire
from syncapp.errors import IntegrityError
from syncapp.types import CheckResult, Part
from tests.chaos.servers import BUCKET, SinkStore
from tests.destinations.conftest import SERVERS, s3_store
from tests.destinations.samples import (
    MIB,
    digest_of,
    meta_of,
    part_of,
    random_bytes,
    read,
    tampered,
)
from tests.servers.shared import Info

FIVE = 5 * MIB


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SinkStore]:
    running = SinkStore(tmp_path_factory.mktemp("sink"))
    yield running
    running.close()


def made(sink: SinkStore, **settings: str) -> S3Destination:
    info = {"endpoint": sink.url, "bucket": BUCKET, "access_key": "any", "secret_key": "any"}
    return s3_store(info, "other", **settings)


@pytest.fixture(params=["lean", "boto3"])
def store(request: pytest.FixtureRequest, sink: SinkStore) -> S3Destination:
    return made(sink, data_plane=request.param, **{CRC32C_PROVEN: "1"})


def proof(store: S3Destination) -> CheckResult:
    return check_crc32c(store, ".probe-x")


def bare(data: bytes, number: int) -> Part:
    """As the engine makes it: no digest is known yet."""
    return Part.of(number, data)


def answers(
    store: S3Destination, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
) -> None:
    """What the store says about parts is changed on its way."""
    plane = store.plane
    real = plane.upload_part
    monkeypatch.setattr(plane, "upload_part", lambda *asked: change(real(*asked)))


def test_a_store_that_checks_it_is_proven_to(sink: SinkStore) -> None:
    assert proof(made(sink)).proves == CRC32C_PROVEN
    assert not list(made(sink).objects(".probe-x/other"))


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_a_store_without_it_is_not_and_gets_md5(server: Info) -> None:
    store = s3_store(server, "other")
    assert (proof(store).level, proof(store).proves) == ("ok", "")
    assert store.settings.part_checksum == "md5"
    wished = s3_store(server, "other", checksum="crc32c")
    assert (proof(wished).level, proof(wished).proves) == ("warning", "")


def test_one_that_takes_wrong_parts_or_does_not_tell_is_not(
    sink: SinkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = S3Wire.upload_part

    def careless(plane: S3Wire, request: Any, part: Part) -> Any:
        right = base64_of(Part.of(1, part.open().read()).crc32c)
        answer = real(plane, request | {"ChecksumCRC32C": right}, part)
        return answer | {"ChecksumCRC32C": request["ChecksumCRC32C"]}

    def silent(plane: S3Wire, request: Any, part: Part) -> Any:
        return {**real(plane, request, part), "ChecksumCRC32C": None}

    for way in (careless, silent):
        monkeypatch.setattr(S3Wire, "upload_part", way)
        assert not proof(made(sink)).proves


def test_no_md5_of_a_part_is_computed_and_the_object_is_whole(store: S3Destination) -> None:
    first, last = bare(random_bytes(FIVE), 1), bare(b"the end", 2)
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    upload.send(first)
    upload.send(last)
    assert not first.known_md5 + last.known_md5
    assert upload.sent[1].md5 == first.md5, "what the store named it by"
    whole = random_bytes(FIVE) + b"the end"
    assert upload.finish(digest_of(whole)).size == len(whole)
    assert read(store, "big.bin") == whole


def test_a_part_that_changed_on_its_way_is_refused(store: S3Destination) -> None:
    data = random_bytes(FIVE)
    spoiled = bytes([data[0] ^ 1]) + data[1:]
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    upload.send(bare(data, 1))
    wrong = tampered(b"the end", b"thy end", 2)
    assert wrong.crc32c == part_of(b"the end").crc32c
    for part in (tampered(data, spoiled), wrong):
        with pytest.raises(IntegrityError):
            upload.send(replace(part, known_sha256=part_of(part.open().read()).sha256))
    with pytest.raises(IntegrityError):
        upload.finish(digest_of(data + b"the end"))
    upload.abort()
    assert store.head("big.bin") is None


def test_another_checksum_in_the_answer_is_an_error(
    store: S3Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(store, monkeypatch, lambda answer: answer | {"ChecksumCRC32C": "AAAAAA=="})
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    with pytest.raises(IntegrityError, match="CRC32C"):
        upload.send(bare(b"bytes", 1))
    assert not upload.sent
    upload.abort()


def test_where_the_store_stops_telling_it_the_md5_is_held_against_its_word(
    store: S3Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(answer: Any) -> Any:
        return {name: value for name, value in answer.items() if name != "ChecksumCRC32C"}

    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    with monkeypatch.context() as patch:
        answers(store, patch, without)
        upload.send(bare(b"bytes", 1))
    with monkeypatch.context() as patch:
        answers(store, patch, lambda answer: without(answer) | {"ETag": f'"{"0" * 32}"'})
        with pytest.raises(IntegrityError, match="MD5"):
            upload.send(bare(b"bytes", 2))
    with monkeypatch.context() as patch:
        answers(store, patch, lambda answer: without(answer) | {"ETag": '"a name"'})
        with pytest.raises(IntegrityError, match="CRC32C"):
            upload.send(bare(b"bytes", 2))
    upload.abort()


def test_a_resumed_upload_goes_on_with_the_checksum_that_it_began_with(
    store: S3Destination, sink: SinkStore
) -> None:
    plain = made(sink, prefix=store.settings.prefix)
    pieces = [random_bytes(FIVE, 1), random_bytes(FIVE, 2), b"the end"]
    for key, begun, goes_on in (("one.bin", store, plain), ("two.bin", plain, store)):
        left = begun.start_upload(key, meta_of(known=False), part_size=FIVE)
        left.send(bare(pieces[0], 1))
        recorded = [replace(part, crc32c=b"") for part in left.sent.values()]  # as the catalog does
        upload = goes_on.resume_upload(
            key, meta_of(), upload_id=left.id, part_size=FIVE, parts=recorded
        )
        assert upload is not None
        assert upload.has(bare(pieces[0], 1))
        assert not upload.has(bare(pieces[1], 1)), "an export that came out differently"
        for number in (2, 3):
            upload.send(bare(pieces[number - 1], number))
        upload.finish(digest_of(b"".join(pieces)))
        assert read(store, key) == b"".join(pieces)


@pytest.mark.parametrize(
    ("settings", "whole", "parts"),
    [
        ({}, "md5", "md5"),
        ({CRC32C_PROVEN: "1"}, "md5", "crc32c"),
        ({CRC32C_PROVEN: "1", "checksum": "md5"}, "md5", "md5"),
        ({CRC32C_PROVEN: "1", "checksum": "sha256"}, "sha256", "sha256"),
        ({"checksum": "crc32c"}, "md5", "crc32c"),
        ({"provider": "aws", "region": "eu-central-1", "endpoint": ""}, "sha256", "crc32c"),
    ],
)
def test_a_persons_choice_comes_first_then_what_is_known(
    settings: dict[str, str], whole: str, parts: str
) -> None:
    place = {"provider": "other", "endpoint": "https://s3.example.org", "bucket": "bucket"}
    secrets = {"access_key_id": "any", "secret_access_key": "any"}
    found = S3Settings.read(place | settings, secrets)
    assert (found.checksum, found.part_checksum) == (whole, parts)
