"""What every destination promises, held against real stores: one suite, all of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from syncapp.destinations.base import Destination
from syncapp.errors import IntegrityError, NotFound
from tests.destinations.conftest import stores_but
from tests.destinations.samples import (
    HOSTILE_NAMES,
    MIB,
    MTIME,
    digest_of,
    elsewhere,
    meta_of,
    part_of,
    put,
    put_in_parts,
    random_bytes,
    read,
    tampered,
)

FIVE = 5 * MIB  # S3's smallest part


@pytest.mark.parametrize("size", [0, 1, 1000, MIB, FIVE + 1])
def test_what_is_put_is_read_back(store: Destination, size: int) -> None:
    data = random_bytes(size)

    info = put(store, "folder/file.bin", data)

    assert (info.key, info.size) == ("folder/file.bin", size)
    assert digest_of(data).md5 == info.md5 or digest_of(data).sha256 == info.sha256
    assert read(store, "folder/file.bin") == data


def test_chunks_are_at_most_one_mebibyte(store: Destination) -> None:
    put(store, "file.bin", random_bytes(3 * MIB + 5))

    with store.read("file.bin") as chunks:
        sizes = [len(chunk) for chunk in chunks]

    assert sum(sizes) == 3 * MIB + 5
    assert max(sizes) <= MIB


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 10), (5, 6), (3, None), (2 * MIB, None), (7, 2 * MIB), (0, 3 * MIB + 6), (MIB, MIB)],
)
def test_any_stretch_of_an_object_can_be_read(
    store: Destination, start: int, end: int | None
) -> None:
    data = random_bytes(3 * MIB + 5)
    put(store, "file.bin", data)

    with store.read("file.bin", start=start, end=end) as chunks:
        assert b"".join(chunks) == data[start:end]


@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 5 * MIB), (9, None), (9, 20), (20, None)])
def test_behind_its_end_an_object_has_no_bytes(
    store: Destination, start: int, end: int | None
) -> None:
    put(store, "empty.bin", b"")
    put(store, "short.bin", b"123456789")

    for key, data in (("empty.bin", b""), ("short.bin", b"123456789")):
        with store.read(key, start=start, end=end) as chunks:
            assert b"".join(chunks) == data[start:end]


def test_what_is_not_archived_need_not_be_thawed(store: Destination) -> None:
    put(store, "file.txt", b"hello")

    about = store.head("file.txt")

    assert about is not None
    assert not about.frozen
    assert [info.frozen for info in store.objects()] == [False]


def test_a_reader_may_stop_early(store: Destination) -> None:
    put(store, "file.bin", random_bytes(3 * MIB))

    with store.read("file.bin") as chunks:
        next(chunks)

    assert len(read(store, "file.bin")) == 3 * MIB


def test_head_tells_size_and_metadata(store: Destination) -> None:
    put(store, "file.txt", b"hello")

    info = store.head("file.txt")

    assert info is not None
    assert (info.key, info.size) == ("file.txt", 5)
    assert info.metadata["remote-id"] == "1AbC-id_9"
    assert info.metadata["sha256"] == digest_of(b"hello").sha256


def test_missing_objects_are_told_apart_from_faults(store: Destination) -> None:
    assert store.head("nowhere/nothing.txt") is None
    with pytest.raises(NotFound):
        read(store, "nowhere/nothing.txt")
    with pytest.raises(NotFound):
        store.copy("nowhere/nothing.txt", "nowhere/else.txt")


def test_overwriting_replaces_the_bytes(store: Destination) -> None:
    put(store, "file.txt", b"first, and longer")
    put(store, "file.txt", b"second")

    assert read(store, "file.txt") == b"second"
    assert [info.key for info in store.objects()] == ["file.txt"]


def test_every_hostile_name_comes_back_as_it_went(store: Destination) -> None:
    for number, name in enumerate(HOSTILE_NAMES):
        put(store, f"hostile/{name}/{name}", b"%d" % number)

    assert {info.key for info in store.objects("hostile/")} == {
        f"hostile/{name}/{name}" for name in HOSTILE_NAMES
    }
    for number, name in enumerate(HOSTILE_NAMES):
        assert read(store, f"hostile/{name}/{name}") == b"%d" % number
        assert [info.size for info in store.objects(f"hostile/{name}/")] == [len(str(number))]
        store.copy(f"hostile/{name}/{name}", f"copied/{name}")
        store.delete(f"hostile/{name}/{name}")
    assert {info.key for info in store.objects()} == {f"copied/{name}" for name in HOSTILE_NAMES}


def test_the_longest_key_fits(store: Destination) -> None:
    room = store.limits.max_key_bytes
    key = "/".join("é" * 100 for _ in range(5))  # 1004 bytes
    key += "/" + "x" * (room - len(key.encode()) - 1)

    put(store, key, b"deep")

    assert len(key.encode()) == room
    assert read(store, key) == b"deep"
    assert [info.key for info in store.objects()] == [key]


def test_wrong_bytes_are_refused_and_leave_no_object(store: Destination) -> None:
    with pytest.raises(IntegrityError):
        store.put("file.txt", tampered(b"promised", b"tampered"), meta_of(b"promised"))

    assert store.head("file.txt") is None
    assert list(store.objects()) == []


@pytest.mark.parametrize("delivered", [b"short", b"longer than promised"])
def test_a_wrong_length_is_refused_and_leaves_no_object(
    store: Destination, delivered: bytes
) -> None:
    with pytest.raises(IntegrityError):
        store.put("file.txt", tampered(b"promised", delivered), meta_of(b"promised"))

    assert store.head("file.txt") is None


# moto does not look at Content-MD5: the wrong object is stored, noticed and removed again.
@pytest.mark.parametrize("store_kind", stores_but("moto"))
def test_wrong_bytes_do_not_replace_good_ones(store: Destination) -> None:
    put(store, "file.txt", b"good")

    with pytest.raises(IntegrityError):
        store.put("file.txt", tampered(b"promised", b"tampered"), meta_of(b"promised"))

    assert read(store, "file.txt") == b"good"


def test_a_big_object_goes_in_parts(store: Destination) -> None:
    parts = [random_bytes(FIVE, 1), random_bytes(FIVE, 2), random_bytes(1, 3)]

    info = put_in_parts(store, "big/file.bin", parts)

    assert info.size == 2 * FIVE + 1
    assert read(store, "big/file.bin") == b"".join(parts)
    about = store.head("big/file.bin")
    assert about is not None
    assert about.metadata["sha256"] == digest_of(b"".join(parts)).sha256


def test_an_upload_is_invisible_until_finished(store: Destination) -> None:
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    upload.send(part_of(random_bytes(FIVE), 1))

    assert store.head("big.bin") is None
    assert list(store.objects()) == []
    upload.abort()


# rclone's server passes parts on as they come: it can't take one again, and forgets the upload.
@pytest.mark.parametrize("store_kind", stores_but("rclone"))
def test_a_part_sent_again_replaces_the_first(store: Destination) -> None:
    first, last = random_bytes(FIVE, 1), random_bytes(10, 2)
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)

    upload.send(part_of(random_bytes(FIVE, 9), 1))
    upload.send(part_of(first, 1))
    upload.send(part_of(last, 2))
    upload.finish(digest_of(first + last))

    assert read(store, "big.bin") == first + last


@pytest.mark.parametrize("store_kind", stores_but("rclone"))
def test_a_wrong_part_is_refused_and_can_be_sent_again(store: Destination) -> None:
    first, last = random_bytes(FIVE, 1), random_bytes(10, 2)
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)

    with pytest.raises(IntegrityError):
        upload.send(tampered(first, random_bytes(FIVE, 3)))
    upload.send(part_of(first, 1))
    upload.send(part_of(last, 2))
    upload.finish(digest_of(first + last))

    assert read(store, "big.bin") == first + last


def test_an_object_that_lacks_a_part_is_never_finished(store: Destination) -> None:
    first, last = random_bytes(FIVE, 1), random_bytes(10, 2)
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    upload.send(part_of(first, 1))

    with pytest.raises(IntegrityError):
        upload.finish(digest_of(first + last))

    assert store.head("big.bin") is None
    upload.abort()


def test_abort_leaves_nothing_and_may_be_repeated(store: Destination) -> None:
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    upload.send(part_of(random_bytes(FIVE), 1))

    upload.abort()
    upload.abort()

    assert list(store.objects()) == []
    assert store.sweep_uploads(datetime.now(UTC) + timedelta(minutes=1)) == 0


# moto dates every upload to 2010.
@pytest.mark.parametrize("store_kind", stores_but("moto"))
def test_forgotten_uploads_are_swept_by_age(store: Destination) -> None:
    upload = store.start_upload("big.bin", meta_of(known=False), part_size=FIVE)
    upload.send(part_of(random_bytes(FIVE), 1))

    assert store.sweep_uploads(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.sweep_uploads(datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert store.sweep_uploads(datetime.now(UTC) + timedelta(minutes=1)) == 0
    assert list(store.objects()) == []


def test_listing_passes_a_thousand_and_keeps_to_its_prefix(store: Destination) -> None:
    wanted = {f"many/{number:04}.txt" for number in range(1003)}
    # rclone's server answers 500 to some of the first, should several make one folder at once.
    put(store, "many/0000.txt", b"x")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: put(store, key, b"x"), wanted))
    put(store, "many.txt", b"beside")
    put(store, "other/1.txt", b"elsewhere")

    listed = [info.key for info in store.objects("many/")]

    assert len(listed) == len(set(listed))
    assert set(listed) == wanted
    assert [info.key for info in store.objects("many/100")] == [
        f"many/100{n}.txt" for n in range(3)
    ]
    assert len(list(store.objects())) == 1005


def test_a_copy_keeps_bytes_and_metadata(store: Destination) -> None:
    put(store, "a/file.txt", b"hello")
    put(store, "b/copy.txt", b"something else")

    info = store.copy("a/file.txt", "b/copy.txt")

    assert (info.key, info.size) == ("b/copy.txt", 5)
    assert read(store, "b/copy.txt") == b"hello"
    before, after = store.head("a/file.txt"), store.head("b/copy.txt")
    assert before is not None
    assert after is not None
    assert after.metadata == before.metadata
    store.delete("a/file.txt")
    put(store, "a/file.txt", b"changed")
    assert read(store, "b/copy.txt") == b"hello"


def test_a_copy_onto_an_equal_copy_changes_nothing(store: Destination) -> None:
    put(store, "a.txt", b"hello")
    store.copy("a.txt", "b.txt")
    store.copy("a.txt", "b.txt")

    assert sorted(info.key for info in store.objects()) == ["a.txt", "b.txt"]
    assert store.sweep_uploads(datetime.now(UTC) + timedelta(minutes=1)) == 0


def test_delete_may_be_repeated(store: Destination) -> None:
    put(store, "folder/file.txt", b"hello")

    store.delete("folder/file.txt")
    store.delete("folder/file.txt")
    store.delete("folder")

    assert store.head("folder/file.txt") is None
    assert list(store.objects()) == []


def test_eight_threads_share_one_destination(store: Destination) -> None:
    def there_and_back(number: int) -> bool:
        key, data = f"shared/{number % 4}/{number}.bin", random_bytes(20_000, number)
        put(store, key, data)
        same = read(store, key) == data
        store.delete(key)
        return same

    # rclone's server takes a folder away with its last object, and with it what is just being put
    # there: here no folder becomes empty.
    kept = [f"shared/{number}/kept.bin" for number in range(4)]
    for key in kept:
        put(store, key, b"kept")
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(there_and_back, range(80)))
    assert sorted(info.key for info in store.objects()) == kept


def test_time_zones_do_not_move_the_time(store: Destination) -> None:
    store.put("a.txt", part_of(b"x"), meta_of(b"x", mtime=MTIME))
    store.put("b.txt", part_of(b"x"), meta_of(b"x", mtime=elsewhere(MTIME)))

    first, second = store.head("a.txt"), store.head("b.txt")

    assert first is not None
    assert second is not None
    assert first.metadata.get("mtime") == second.metadata.get("mtime")


def test_the_check_passes_and_leaves_nothing(store: Destination) -> None:
    lines = store.check()

    assert [line for line in lines if line.level == "error"] == []
    assert {"write", "read back", "list", "overwrite", "copy", "write in parts", "delete"} <= {
        line.name for line in lines
    }
    assert list(store.objects()) == []
