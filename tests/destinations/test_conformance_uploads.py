"""What every destination promises about uploads in parts: at once, in any order, resumed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncapp.destinations.base import Destination
from tests.destinations.conftest import stores_but
from tests.destinations.samples import MIB, digest_of, meta_of, part_of, random_bytes, read

FIVE = 5 * MIB  # S3's smallest part


def test_parts_may_be_sent_at_once_and_in_any_order(store: Destination) -> None:
    pieces = [random_bytes(FIVE, n) for n in range(3)] + [b"the end"]
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)

    with ThreadPoolExecutor(4) as threads:
        etags = list(
            threads.map(lambda n: upload.send(part_of(pieces[n - 1], n)), reversed(range(1, 5)))
        )

    assert {number: sent.etag for number, sent in upload.sent.items()} == dict(
        zip(reversed(range(1, 5)), etags, strict=True)
    )
    upload.finish(digest_of(b"".join(pieces)))
    assert read(store, "big.bin") == b"".join(pieces)


def test_an_upload_goes_on_where_another_process_left_it(store: Destination) -> None:
    first, second, last = random_bytes(FIVE, 1), random_bytes(FIVE, 2), b"the end"
    left = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    left.send(part_of(first, 1))
    recorded = list(left.sent.values())
    left.suspend()

    upload = store.resume_upload(
        "big.bin", meta_of(known=False), upload_id=left.id, part_size=FIVE, parts=recorded
    )

    assert upload is not None
    assert (upload.id, list(upload.sent)) == (left.id, [1])
    upload.send(part_of(second, 2))
    upload.send(part_of(last, 3))
    upload.finish(digest_of(first + second + last))
    assert read(store, "big.bin") == first + second + last


# rclone's server can't take a part again.
@pytest.mark.parametrize("store_kind", stores_but("rclone"))
def test_a_part_that_was_sent_but_not_recorded_is_sent_again(store: Destination) -> None:
    first, second = random_bytes(FIVE, 1), random_bytes(FIVE, 2)
    left = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    left.send(part_of(first, 1))
    recorded = list(left.sent.values())
    left.send(part_of(random_bytes(FIVE, 9), 2))
    left.suspend()

    upload = store.resume_upload(
        "big.bin", meta_of(known=False), upload_id=left.id, part_size=FIVE, parts=recorded
    )

    assert upload is not None
    upload.send(part_of(second, 2))
    upload.finish(digest_of(first + second))
    assert read(store, "big.bin") == first + second


def test_a_resumed_upload_counts_only_what_the_store_has(store: Destination) -> None:
    left = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    left.send(part_of(random_bytes(FIVE, 1), 1))
    left.suspend()
    kept = left.sent[1]
    lost = replace(kept, number=2)
    other = replace(kept, md5=bytes(16), sha256=bytes(32), etag="0" * 32)

    for parts, counted in (([kept, lost], [1]), ([other], [])):
        upload = store.resume_upload(
            "big.bin", meta_of(known=False), upload_id=left.id, part_size=FIVE, parts=parts
        )
        assert upload is not None
        assert list(upload.sent) == counted
        upload.suspend()


def test_a_forgotten_upload_can_not_be_resumed(store: Destination) -> None:
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    upload.send(part_of(random_bytes(FIVE), 1))
    parts = list(upload.sent.values())
    upload.abort()

    for upload_id in (upload.id, "never-begun", "../.backup-destination"):
        assert (
            store.resume_upload(
                "big.bin", meta_of(), upload_id=upload_id, part_size=FIVE, parts=parts
            )
            is None
        )


# moto dates every upload to 2010.
@pytest.mark.parametrize("store_kind", stores_but("moto"))
def test_the_sweep_spares_what_will_be_resumed(store: Destination) -> None:
    kept = store.start_upload("kept.bin", meta_of(known=False), part_size=FIVE)
    kept.send(part_of(random_bytes(FIVE), 1))
    store.start_upload("swept.bin", meta_of(known=False), part_size=FIVE)
    later = datetime.now(UTC) + timedelta(minutes=1)

    assert store.sweep_uploads(later, keep=[kept.id]) == 1
    assert store.sweep_uploads(later, keep=[kept.id]) == 0
    assert store.sweep_uploads(later) == 1
