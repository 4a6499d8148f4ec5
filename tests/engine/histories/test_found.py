"""What histories have found wrong, each as small as it could be made."""

from __future__ import annotations

import pytest
from django.utils import timezone

from syncapp.engine import segment_store
from syncapp.engine.segment_turns import LEASE
from syncapp.models import SegmentTurn
from tests.engine.histories.machine import History
from tests.engine.histories.promises import Rules
from tests.engine.histories.world import World


def begun(world: World) -> History:
    history = History(world)
    history.begin(sizes=[1])
    return history


def test_an_erasure_outlives_the_claim_of_a_writer_that_died(world: World) -> None:
    history = begun(world)
    world.write_segments()
    SegmentTurn.objects.update(owner="dead", leased_until=timezone.now() + LEASE)

    history.erase(pick=0, kill=None)


@pytest.mark.parametrize("pick", [0, 1])
def test_nothing_goes_after_a_recovery_before_a_good_backup(world: World, pick: int) -> None:
    history = begun(world)
    history.edit(0, 0, "", 0)
    history.set_policy(rules=Rules(everything=False, last=0, days=0, trash=0))
    history.back_up(full=False, kill=None, pick=0, edits=False, doings=[])
    history.recover(pick=pick)
    former = {
        revision for known in history.promises.files.values() for revision in known.contents()
    }

    history.prune(kill=None)
    assert history.promises.pruned == set()
    assert history.bytes_of(former) == world.readable(world.destinations()[pick])

    history.back_up(full=False, kill=None, pick=0, edits=False, doings=[])
    history.prune(kill=None)
    assert len(history.promises.pruned) == 1


def test_a_part_of_a_segment_reads_right_in_one_go(world: World) -> None:
    with segment_store.scratch() as file:
        file.write(b"0123456789")
        file.flush()
        part = segment_store._part(file.fileno(), 1, 2, 7)
        with part.open() as reader:
            assert reader.read() == b"23456"
