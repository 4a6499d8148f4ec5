"""Times in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncapp.engine.when import current_at, is_unread, next_look, span
from syncapp.models import Run, Source

NOW = datetime(2026, 6, 3, 12, 0, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("at", "zone", "words"),
    [
        (NOW + timedelta(hours=5), "Europe/Paris", "today 19:00 Europe/Paris, in 5 h"),
        (NOW + timedelta(hours=11), "Europe/Paris", "tomorrow 01:00 Europe/Paris, in 11 h"),
        (NOW + timedelta(days=4), "UTC", "Sunday 12:00 UTC, in 4 days"),
        (NOW + timedelta(days=40), "", "2026-07-13 12:00 UTC, in 40 days"),
        (NOW, "UTC", "as soon as possible"),
        (None, "UTC", "as soon as possible"),
    ],
)
def test_a_schedules_next_time_is_said_as_a_person_would(
    at: datetime | None, zone: str, words: str
) -> None:
    source = Source(mode="scheduled", next_at=at, time_zone=zone)
    assert next_look(source, NOW) == words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source(mode="manual", paused=True), "only when asked"),
        (Source(mode="realtime"), "within 60 s of a change"),
        (Source(mode="realtime", paused=True), "when it is resumed"),
        (Source(mode="scheduled", blocked_code="x"), "when its trouble is over"),
    ],
)
def test_other_modes_and_states_are_told(source: Source, words: str) -> None:
    assert next_look(source, NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59, "59 s"), (150, "2 min"), (7200, "2 h"), (172_800, "2 days")],
)
def test_a_length_of_time_has_one_unit(seconds: int, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("source", "unread"),
    [
        (Source(mode="realtime", polled_at=NOW - timedelta(minutes=59)), False),
        (Source(mode="realtime", polled_at=NOW - timedelta(minutes=61)), True),
        (Source(mode="realtime"), True),
        (Source(mode="realtime", paused=True), False),
        (Source(mode="realtime", blocked_code="x"), False),
        (Source(mode="scheduled"), False),
        (Source(mode="manual"), False),
    ],
)
def test_a_log_that_nobody_reads_is_noticed(source: Source, unread: bool) -> None:
    last = Run(outcome="ok", ended_at=NOW - timedelta(days=2))
    assert is_unread(source, last, NOW) is unread


def test_a_schedule_that_is_kept_is_never_overdue() -> None:
    last = Run(outcome="ok", ended_at=NOW - timedelta(days=25))
    source = Source(mode="scheduled", next_at=NOW + timedelta(days=5))
    assert current_at(source, last, NOW) == NOW
    source.next_at = NOW - timedelta(days=1)
    assert current_at(source, last, NOW) == last.ended_at
