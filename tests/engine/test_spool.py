"""Parts between one reader and several writers: order, bounds, waiting, letting go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syncapp.engine.budget import Budget, Disk, Memory
from syncapp.engine.spool import Dropped, Spool
from syncapp.engine.transfer import fill, part_size
from syncapp.errors import IntegrityError, Unavailable
from syncapp.types import Limits

KIB = 1024


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[Budget]:
    made = Budget(Memory(64 * KIB), Disk(tmp_path / "spool", 256 * KIB))
    yield made
    made.disk.close()


def chunks(data: bytes, size: int = 10 * KIB) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def drain(spool: Spool, writer: int) -> bytes:
    """A writer that confirms at once; what it got."""
    got = b""
    while True:
        part, _ = spool.take(writer)
        if part is None:
            spool.leave(writer)
            return got
        with part.open() as body:
            got += body.read()
        spool.confirm(writer)


def feed(spool: Spool, budget: Budget, data: bytes, part: int, size: int | None = None) -> None:
    spool.seal(fill(spool, budget, chunks(data), size, part))


@pytest.mark.parametrize("length", [0, 1, 32 * KIB, 32 * KIB + 1, 500 * KIB])
def test_every_writer_gets_the_same_bytes(budget: Budget, length: int) -> None:
    data = os.urandom(length)
    spool = Spool(budget, [1, 2])
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(drain, spool, writer) for writer in (1, 2)]
        feed(spool, budget, data, 32 * KIB, length)
        assert [writer.result(10) for writer in writers] == [data, data]
    assert budget.disk.used() == 0
    assert not list(budget.disk.folder.glob("*.part"))


def test_a_small_file_is_told_to_be_whole_in_its_first_part(budget: Budget) -> None:
    spool = Spool(budget, [1])
    feed(spool, budget, b"small", 32 * KIB, 5)
    part, alone = spool.take(1)
    assert part is not None
    assert alone
    assert part.size == 5


def test_a_slow_writer_holds_back_a_fast_one_only_when_the_room_is_used_up(
    budget: Budget,
) -> None:
    data = os.urandom(1000 * KIB)
    spool = Spool(budget, [1, 2])
    with ThreadPoolExecutor(2) as pool:
        fast = pool.submit(drain, spool, 1)
        reader = pool.submit(feed, spool, budget, data, 32 * KIB, len(data))
        with pytest.raises(TimeoutError):
            fast.result(0.5)
        assert budget.disk.used() <= budget.disk.limit
        assert not reader.done()
        assert drain(spool, 2) == data
        assert fast.result(10) == data


def test_a_failed_writer_is_dropped_when_the_reader_needs_its_room(budget: Budget) -> None:
    data = os.urandom(1000 * KIB)
    spool = Spool(budget, [1, 2])
    spool.stall(2)
    with ThreadPoolExecutor(1) as pool:
        fast = pool.submit(drain, spool, 1)
        feed(spool, budget, data, 32 * KIB, len(data))
        assert fast.result(10) == data
    assert not spool.holds_for(2)
    with pytest.raises(Dropped):
        spool.take(2)


def test_a_failed_writer_finds_everything_again_while_there_is_room(budget: Budget) -> None:
    data = os.urandom(100 * KIB)
    spool = Spool(budget, [1, 2])
    spool.stall(2)
    feed(spool, budget, data, 32 * KIB, len(data))
    assert drain(spool, 1) == data
    assert spool.spill()
    assert spool.holds_for(2)
    assert drain(spool, 2) == data
    assert budget.disk.used() == 0


def test_writers_hear_of_a_failed_read(budget: Budget) -> None:
    spool = Spool(budget, [1])
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(drain, spool, 1)
        spool.fail(Unavailable("cut"))
        with pytest.raises(Unavailable):
            writer.result(10)


def test_more_bytes_than_announced_are_refused(budget: Budget) -> None:
    spool = Spool(budget, [1])
    with pytest.raises(IntegrityError):
        fill(spool, budget, chunks(b"x" * 100), 50, 32 * KIB)
    spool.close()
    assert budget.disk.used() == 0


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
    assert ours.take(40), "a dead process's claim is swept"
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1
    ours.close()


def test_parked_spools_are_given_up_under_pressure(budget: Budget) -> None:
    asked = threading.Event()

    def pressure() -> bool:
        asked.set()
        return False

    budget.on_pressure = pressure
    held = Spool(budget, [1])
    feed(held, budget, os.urandom(300 * KIB), 32 * KIB, 300 * KIB)
    other = Spool(budget, [2])
    with ThreadPoolExecutor(2) as pool:
        reader = pool.submit(feed, other, budget, os.urandom(64 * KIB), 32 * KIB, 64 * KIB)
        assert asked.wait(10)
        held.close()
        reader.result(10)


def test_part_sizes_keep_to_every_store_s_limits() -> None:
    scaleway = Limits(max_parts=1000)
    aws = Limits()
    for size in (None, 1, 10**9, 10**10, 10**12, 5 * 10**12):
        part = part_size(size, [aws, scaleway])
        assert part >= aws.min_part
        assert part % (1024**2) == 0
        assert size is None or -(-size // part) <= 1000
