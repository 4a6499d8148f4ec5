"""Random histories of an account, with kills: whatever happens, what is promised comes back."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.histories.machine import History
from tests.engine.histories.world import World

HISTORIES = int(os.environ.get("HISTORIES") or 200)
SHARD = 25
FIRST_SEED = int(os.environ.get("SEED") or 0)


# Threads that a kill takes along.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def run(world: World, number: int, *, steps: int, seeded: int | None) -> None:
    """So many histories; a failing one is made small and told step by step."""
    begin: Any = partial(History, world)
    if seeded is not None:
        begin = seed(seeded)(begin)
    told = settings(
        max_examples=number,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=seeded is None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(begin, settings=told)


def test_a_few_histories_keep_every_promise(world: World) -> None:
    run(world, 6, steps=12, seeded=None)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(-(-HISTORIES // SHARD)))
def test_histories_keep_every_promise(world: World, shard: int) -> None:
    run(world, SHARD, steps=14, seeded=FIRST_SEED + shard)
