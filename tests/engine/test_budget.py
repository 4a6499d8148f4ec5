"""Who may go on when memory is short, and when the disk is used instead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncapp.engine import budget as budgets
from syncapp.engine.budget import Budget, Disk, Memory

PATIENCE_S = 10


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[Budget]:
    """100 bytes of memory for two destinations with four hands each."""
    made = Budget(Memory(100), Disk(tmp_path, 100), at_once=4)
    made.expect([0, 1])
    yield made
    made.disk.close()


def test_the_disk_is_used_only_while_a_destination_lacks_a_piece_for_each_of_its_hands(
    budget: Budget,
) -> None:
    assert budget.may_use_disk()
    budget.owe([0, 1], [1, 1, 1, 1])
    assert not budget.may_use_disk(), "few bytes, but enough to do"
    budget.paid(1, [1])
    assert budget.may_use_disk()
    budget.owe([1], [50])
    budget.paid(1, [1, 1, 1])
    assert not budget.may_use_disk(), "one piece, but a large one"


def test_memory_that_comes_free_at_once_wakes_all_who_find_room(
    budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "OTHERS_S", PATIENCE_S * 2)
    budget.owe([0, 1], [50])
    assert budget.take_memory(100)
    about_to_wait, got = threading.Semaphore(0), threading.Semaphore(0)

    def read() -> None:
        freed = budget.times_freed
        while not budget.take_memory(30):
            about_to_wait.release()
            budget.wait(freed)
            freed = budget.times_freed
        got.release()

    readers = [threading.Thread(target=read, daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in readers:
        assert about_to_wait.acquire(timeout=PATIENCE_S)
    budget.give_memory(100)
    for _ in readers:
        assert got.acquire(timeout=PATIENCE_S)
