"""Who may go on when memory is short, and when the disk is used instead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncapp.engine import budget as budgets
from syncapp.engine.budget import Budget, Disk, Memory

PATIENCE_S = 10
FEW = [1] * 7  # bytes, one less than two pieces for each hand


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[Budget]:
    """100 bytes of memory for destinations with four hands each."""
    made = Budget(Memory(100), Disk(tmp_path, 100), at_once=4)
    yield made
    made.disk.close()


@pytest.fixture
def only_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks again who is not woken."""
    monkeypatch.setattr(budgets, "OTHERS_S", PATIENCE_S * 2)


def test_a_destination_is_idle_with_few_bytes_in_few_pieces(budget: Budget) -> None:
    assert budget.is_idle([0, 1])
    budget.owe([0, 1], [*FEW, 1])
    assert not budget.is_idle([0, 1]), "few bytes, but enough to do"
    assert budget.is_idle([0, 1], wanted=26), "a large part never finds room among small ones"
    budget.paid(1, [1])
    assert budget.is_idle([0, 1])
    budget.owe([1], [50])
    budget.paid(1, FEW)
    assert not budget.is_idle([1], wanted=26), "one piece, but a large one"


def test_only_destinations_that_the_file_is_for_count_as_idle(budget: Budget) -> None:
    budget.owe([0], [50])
    assert not budget.is_idle([0])
    assert budget.is_idle([0, 1])
    assert budget.is_idle([]), "where all have failed, nobody is waited for"


def reading(budget: Budget, count: int, may_go: Callable[[], bool]) -> threading.Semaphore:
    """So many readers, who wait until they may go; tells each that goes. All have tried once."""
    tried, gone = threading.Semaphore(0), threading.Semaphore(0)

    def read() -> None:
        freed = budget.times_freed
        while not may_go():
            tried.release()
            budget.wait(freed)
            freed = budget.times_freed
        gone.release()

    for _ in range(count):
        threading.Thread(target=read, daemon=True).start()
    for _ in range(count):
        assert tried.acquire(timeout=PATIENCE_S)
    return gone


@pytest.mark.usefixtures("only_woken")
def test_memory_that_comes_free_at_once_wakes_all_who_find_room(budget: Budget) -> None:
    assert budget.take_memory(100)
    gone = reading(budget, 3, lambda: budget.take_memory(30))
    budget.give_memory(100)
    for _ in range(3):
        assert gone.acquire(timeout=PATIENCE_S)


@pytest.mark.usefixtures("only_woken")
def test_a_destination_that_runs_short_of_work_wakes_a_reader_though_nothing_was_freed(
    budget: Budget,
) -> None:
    budget.owe([0, 1], [*FEW, 1])
    gone = reading(budget, 1, lambda: budget.is_idle([0, 1]))
    budget.paid(1, [1])
    assert gone.acquire(timeout=PATIENCE_S)
