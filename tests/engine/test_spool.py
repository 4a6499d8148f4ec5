"""Parts between one reader and several destinations: bytes, bounds, waiting, letting go."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncapp.engine import budget
from syncapp.engine.budget import Budget, Disk, Memory
from syncapp.engine.transfer import part_size
from syncapp.errors import IntegrityError, Unavailable
from syncapp.types import Digest, Limits, RemoteFile
from tests.engine.spooling import KIB, PART, Bench, Book, Shelf, down, failing


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("syncapp.engine.transfer.LEAST_PART", PART)
    monkeypatch.setattr("syncapp.engine.transfer.MIB", KIB)
    monkeypatch.setattr(Shelf, "limits", replace(Limits(), min_part=KIB))
    monkeypatch.setattr("syncapp.pacing.call_delay_s", lambda *_: 0.01)
    made = Bench(tmp_path / "spool")
    yield made
    made.halt.set()
    for crew in (made.readers, *made.crews.values()):
        crew.close()
    made.budget.disk.close()


@pytest.mark.parametrize("length", [0, 1, PART, PART + 1, 500 * KIB])
@pytest.mark.parametrize("known", [True, False])
def test_every_destination_gets_the_same_bytes(bench: Bench, length: int, known: bool) -> None:
    data = os.urandom(length)
    shelves = Shelf(), Shelf()
    bench.begin(Book(data, length if known else None), *shelves)
    result = bench.end()
    assert result.error is None
    assert len(result.stored) == 2
    assert result.digest == Digest(
        length, hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest()
    )
    assert [list(shelf.objects.values()) for shelf in shelves] == [[data], [data]]
    assert bench.budget.disk.used() == 0
    assert bench.budget.memory.take(64 * KIB), "memory was not given back"
    assert not list(bench.budget.disk.folder.glob("*.part"))
    assert shelves[0].requests[0] == ("put" if length <= PART else "start")


def test_parts_go_to_a_destination_several_at_once_and_in_any_order(bench: Bench) -> None:
    together = threading.Barrier(2, timeout=10)
    shelf = Shelf(lambda kind: together.wait() and None if kind == "send" else None)
    data = os.urandom(4 * PART)
    bench.begin(Book(data, len(data)), shelf)
    assert bench.end().stored
    assert list(shelf.objects.values()) == [data]


def test_a_slow_destination_holds_back_a_fast_one_only_when_the_room_is_used_up(
    bench: Bench,
) -> None:
    free = threading.Event()
    slow, fast = Shelf(lambda _: free.wait(30) and None), Shelf()
    data = os.urandom(1000 * KIB)
    bench.begin(Book(data, len(data)), slow, fast)
    deadline = time.monotonic() + 10
    while fast.requests.count("send") < 7 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    threading.Event().wait(0.3)
    assert 250 * KIB <= bench.read < 400 * KIB, "all the room was used, and no more"
    assert bench.budget.disk.used() <= bench.budget.disk.limit
    sent = fast.requests.count("send")
    assert sent * PART > 200 * KIB, "the fast one has what was read"
    free.set()
    assert len(bench.end().stored) == 2
    assert list(fast.objects.values()) == list(slow.objects.values()) == [data]


def test_a_destination_that_is_behind_is_waited_for_in_memory_while_no_other_stands_idle(
    bench: Bench,
) -> None:
    bench.budget = Budget(Memory(64 * KIB), bench.budget.disk, at_once=4)
    most = 0

    def before(_: str) -> None:
        nonlocal most
        most = max(most, bench.budget.disk.used())
        threading.Event().wait(0.01)

    data = os.urandom(500 * KIB)
    bench.begin(Book(data, len(data)), Shelf(before))
    assert bench.end().stored
    assert most == 0


class Leaflet(Book):
    """Small: read in one call."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, len(data))
        self.asked = threading.Event()

    def read_small(self, file: RemoteFile) -> tuple[bytes, str] | None:
        self.asked.set()
        return self.data, "text/plain"


def test_a_small_file_is_not_asked_for_before_there_is_memory_or_a_destination_of_it_idle(
    bench: Bench,
) -> None:
    data = os.urandom(10 * KIB)
    leaflets = Leaflet(data), Leaflet(data)
    assert bench.budget.take_memory(64 * KIB)
    bench.budget.owe([0], [PART])  # of the other one the file wants nothing
    shelf = Shelf()
    bench.begin(leaflets[0], shelf, promised=len(data))
    assert not leaflets[0].asked.wait(0.3)
    assert bench.budget.disk.used() == 0
    bench.budget.give_memory(64 * KIB)
    assert bench.end().stored
    assert leaflets[0].asked.is_set()
    assert bench.budget.take_memory(64 * KIB)
    bench.budget.paid(0, [PART])
    bench.begin(leaflets[1], shelf, promised=len(data))
    assert bench.end().stored, "by way of the disk"
    assert not leaflets[1].asked.is_set()
    assert list(shelf.objects.values()) == [data, data]


def test_a_failed_destination_is_dropped_when_the_reader_needs_its_room(bench: Bench) -> None:
    fast, failed = Shelf(), failing(while_=down())
    data = os.urandom(1000 * KIB)
    made = bench.begin(Book(data, len(data)), fast, failed)
    result = bench.end()
    assert (result.error, made.fault) == (None, None)
    assert list(fast.objects.values()) == [data]
    assert list(result.failed) == [1]
    assert not made.may_go_on()
    made.close()
    assert bench.budget.disk.used() == 0


@pytest.mark.parametrize("length", [PART - 1, 5 * PART])
def test_a_failed_destination_is_served_again_without_another_read(
    bench: Bench, length: int
) -> None:
    outage = down()
    good, failed = Shelf(), failing(while_=outage)
    data = os.urandom(length)
    made = bench.begin(Book(data, length), good, failed)
    assert list(bench.end().failed) == [1]
    assert made.may_go_on()
    assert made.spool.spill()
    outage.clear()
    made.again(2)
    second = bench.end()
    assert list(second.stored) == [1]
    assert second.bytes_read == 0
    assert second.job.attempt == 2
    assert list(failed.objects.values()) == [data]
    assert good.requests.count("put") + good.requests.count("finish") == 1
    made.close()
    assert bench.budget.disk.used() == 0


def test_a_failed_read_leaves_no_object_and_aborts_the_uploads(bench: Bench) -> None:
    shelf = Shelf()
    bench.begin(Book(os.urandom(3 * PART), None, Unavailable("cut")), shelf)
    result = bench.end()
    assert isinstance(result.error, Unavailable)
    assert shelf.objects == {}
    assert shelf.aborted == 1
    assert bench.budget.memory.take(64 * KIB)


def test_more_bytes_than_announced_are_refused(bench: Bench) -> None:
    shelf = Shelf()
    bench.begin(Book(b"x" * 100, 50), shelf)
    assert isinstance(bench.end().error, IntegrityError)
    assert shelf.objects == {}
    assert bench.budget.memory.take(64 * KIB)


def test_fewer_bytes_than_promised_are_refused(bench: Bench) -> None:
    shelf = Shelf()
    bench.begin(Book(b"x" * 100, 200), shelf, promised=200)
    assert isinstance(bench.end().error, IntegrityError)
    assert shelf.objects == {}


def test_work_stops_at_the_next_part_when_it_is_halted(bench: Bench) -> None:
    shelf = Shelf(lambda kind: bench.halt.set() if kind == "send" else None)
    bench.begin(Book(os.urandom(100 * PART), 100 * PART), shelf)
    result = bench.end()
    assert result.halted
    assert result.error is None
    assert not result.failed
    assert len(shelf.requests) < 10
    assert shelf.objects == {}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_destination_is_handed_to_the_lane(bench: Bench) -> None:
    def before(_: str) -> None:
        raise RuntimeError("a bug")

    made = bench.begin(Book(b"x", 1), Shelf(before), Shelf())
    result = bench.end()
    assert isinstance(made.fault, RuntimeError)
    assert list(result.stored) == [1]


def test_parked_spools_are_given_up_under_pressure(bench: Bench) -> None:
    outage = down()
    parked = bench.begin(Book(os.urandom(250 * KIB), 250 * KIB), failing(while_=outage))
    bench.end()
    assert parked.spool.spill()

    def pressure() -> bool:
        parked.close()
        return True

    bench.budget.on_pressure = pressure
    other = threading.Event()
    data = os.urandom(200 * KIB)
    slow, fast = Shelf(lambda _: other.wait(30) and None), Shelf()
    bench.begin(Book(data, len(data)), slow, fast)
    deadline = time.monotonic() + 10
    while fast.requests.count("send") < 6 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert fast.requests.count("send") >= 6
    other.set()
    assert len(bench.end().stored) == 2


def test_two_processes_share_one_budget(tmp_path: Path) -> None:
    ours = Disk(tmp_path, 100)
    assert ours.take(60)
    script = (
        "import sys; from pathlib import Path; from syncapp.engine.budget import Disk\n"
        f"d = Disk(Path({str(tmp_path)!r}), 100); print(d.take(50), d.take(40), flush=True)\n"
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline().split() == ["False", "True"]
    assert ours.used() == 100
    assert not ours.take(1)
    other.kill()
    other.wait()
    budget.sweep(tmp_path)
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1, "what it left is swept"
    assert ours.take(40), "and its claim is free"
    ours.close()
    budget.sweep(tmp_path / "never used")


def test_part_sizes_keep_to_every_store_s_limits() -> None:
    scaleway = Limits(max_parts=1000)
    aws = Limits()
    for size in (None, 1, 10**9, 10**10, 10**12, 5 * 10**12):
        part = part_size(size, [aws, scaleway])
        assert part >= aws.min_part
        assert part % (1024**2) == 0
        assert size is None or -(-size // part) <= 1000
