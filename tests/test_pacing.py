"""How fast to go: the bucket keeps its promise whatever is drawn, and gives way to refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncapp.pacing import BURST_S, LEAST, RECOVERY, SLOWER, Bucket

NOW = 1_800_000_000.0
CEILING = 1000.0
steps = st.lists(
    st.tuples(
        st.sampled_from(["draw", "refuse", "silence"]),
        st.floats(0, 30),  # seconds since the step before
        st.floats(1, 5000),  # wanted
    ),
    max_size=60,
)


@given(steps)
def test_what_is_drawn_never_exceeds_the_ceiling_and_one_burst(
    steps: list[tuple[str, float, float]],
) -> None:
    bucket, now, drawn = Bucket.new(CEILING, NOW), NOW, 0.0
    for what, seconds, wanted in steps:
        now += seconds
        if what == "draw":
            bucket, granted = bucket.draw(wanted, 1.0, now)
            assert 0 <= granted <= wanted
            drawn += granted
        else:
            bucket = bucket.slowed(now, 5.0 if what == "silence" else None)
        assert CEILING * LEAST <= bucket.rate <= CEILING
        assert 0 <= bucket.tokens <= bucket.rate * BURST_S + 1e-6
    assert drawn <= CEILING * (now - NOW) + 1e-3


def test_a_refusal_slows_down_once_a_second_and_quiet_seconds_mend_it() -> None:
    bucket = Bucket.new(CEILING, NOW).slowed(NOW, None)
    assert bucket.rate == CEILING * SLOWER
    assert bucket.slowed(NOW + 0.5, None).rate == bucket.rate
    assert bucket.slowed(NOW + 1.0, None).rate == bucket.rate * SLOWER
    later = bucket.at(NOW + 6.0)
    assert later.rate == pytest.approx(CEILING * (SLOWER + 5 * RECOVERY))
    assert bucket.at(NOW + 60).rate == CEILING


def test_nothing_flows_in_while_the_service_wants_silence() -> None:
    bucket = Bucket.new(CEILING, NOW).slowed(NOW, 10.0)
    for seconds in (1.0, 9.9):
        bucket, granted = bucket.draw(1.0, 1.0, NOW + seconds)
        assert granted == 0.0
    assert bucket.wait_s(1.0, NOW + 9.0) > 1.0
    bucket, granted = bucket.draw(CEILING, 1.0, NOW + 10.5)
    assert 0 < granted <= CEILING * 0.5 + 1e-6


def test_a_longer_silence_is_kept_when_a_shorter_one_is_asked_for() -> None:
    bucket = Bucket.new(CEILING, NOW).slowed(NOW, 30.0).slowed(NOW + 1, 2.0)
    assert bucket.not_before == NOW + 30


def test_a_small_rest_is_left_until_it_is_worth_a_draw() -> None:
    bucket = Bucket.new(CEILING, NOW)
    bucket, granted = bucket.draw(1000.0, 500.0, NOW + 0.1)
    assert granted == 0.0
    bucket, granted = bucket.draw(1000.0, 500.0, NOW + 0.6)
    assert granted == pytest.approx(600.0, abs=0.01)


def test_a_need_beyond_what_can_be_saved_up_gets_what_is_there() -> None:
    _, granted = Bucket.new(CEILING, NOW).draw(50_000.0, 50_000.0, NOW + 60)
    assert granted == CEILING * BURST_S


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    bucket = Bucket.new(CEILING, NOW + 3600).slowed(NOW + 3600, 60.0)
    bucket, granted = bucket.draw(1.0, 1.0, NOW)
    assert granted == 0.0
    _, granted = bucket.draw(1.0, 1.0, NOW + 1)
    assert granted == 1.0


def test_another_ceiling_keeps_the_share_by_which_it_is_slowed_down() -> None:
    bucket = Bucket.new(CEILING, NOW).slowed(NOW, None).with_ceiling(100.0)
    assert (bucket.ceiling, bucket.rate) == (100.0, 70.0)
