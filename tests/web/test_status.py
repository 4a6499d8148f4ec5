"""The status sentence: the worst state wins, and nothing that stored nothing is good."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncapp.web.status import Named, Situation, judge

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
GOOD = Situation(
    now=NOW,
    accounts=1,
    sources=1,
    destinations=2,
    used_destinations=2,
    damaged=0,
    waiting=0,
    stored=600,
    verified=600,
    last_backup_at=NOW - timedelta(hours=1),
)
ONE = [Named("Drive", "the reason")]
# From the worst to the least; each must hide all that follow.
STATES: list[tuple[dict[str, object], str, str]] = [
    ({"worker_alive": False}, "danger", "No worker is running"),
    ({"to_reconnect": [Named("me@x.example")]}, "danger", "Reconnect me@x.example"),
    ({"blocked_destinations": ONE}, "danger", "Drive takes no files at the moment"),
    ({"blocked_sources": ONE}, "danger", "Drive can't be backed up at the moment"),
    ({"damaged": 2}, "danger", "2 stored copies are damaged"),
    ({"failed_files": 12}, "danger", "12 files failed"),
    (
        {"stopped_erasures": [Named("Erasure 3 of Drive")]},
        "warning",
        "Erasure 3 of Drive waits for you",
    ),
    ({"unreachable": ONE}, "warning", "Drive is not reachable; the backup goes on by itself"),
    ({"running": ONE}, "info", "Backing up Drive"),
    ({"failed_runs": ONE}, "danger", "The last backup of Drive failed"),
    ({"without_destination": ONE}, "warning", "Drive has no destination to go to"),
    ({"never_backed_up": ONE}, "warning", "Drive was never backed up"),
    ({"found_nothing": ONE}, "warning", "The last backup found no files in Drive"),
    ({"waits_for_person": ONE}, "warning", "Drive waits for you"),
    ({"waiting": 1}, "warning", "1 copy is still to be made"),
    ({"stored": 0}, "warning", "No file is stored"),
    ({"paused": ONE}, "warning", "Drive is paused"),
    ({"last_backup_at": NOW - timedelta(days=9)}, "warning", "The last backup was 9 days ago"),
]


@pytest.mark.parametrize(("change", "level", "sentence"), STATES)
def test_each_state_has_its_sentence(change: dict[str, object], level: str, sentence: str) -> None:
    status = judge(replace(GOOD, **change))  # type: ignore[arg-type]
    assert (status.level, status.sentence) == (level, sentence)


def test_the_worst_state_wins_over_all_that_are_less_bad() -> None:
    together = GOOD
    for change, level, sentence in reversed(STATES):
        together = replace(together, **change)  # type: ignore[arg-type]
        status = judge(together)
        assert (status.level, status.sentence) == (level, sentence)


def test_all_verified_is_said_to_be_verified() -> None:
    status = judge(GOOD)
    assert status.level == "ok"
    assert status.sentence == "Everything is stored and verified in 2 destinations"


def test_stored_but_not_all_read_back_says_how_much_is() -> None:
    status = judge(replace(GOOD, verified=150))
    assert status.sentence == "Everything is stored in 2 destinations"
    assert status.detail.startswith("25 % of the copies were read back")


def test_refused_files_are_named_and_don_t_alarm() -> None:
    status = judge(replace(GOOD, refused_files=1))
    assert status.level == "ok"
    assert "1 file" in status.detail


def test_zero_stored_files_are_never_good() -> None:
    assert judge(replace(GOOD, stored=0, verified=0)).level == "warning"


def test_while_totals_are_counted_nothing_is_claimed_to_be_verified() -> None:
    counting = replace(GOOD, stored=None, verified=None, damaged=None, waiting=None)
    assert judge(counting).sentence == "The last backup to 2 destinations is complete"


@pytest.mark.parametrize(
    ("accounts", "destinations", "detail"),
    [(0, 0, "Link a Google account"), (1, 0, "Add a destination"), (1, 1, "Choose what goes")],
)
def test_before_the_first_backup_the_next_step_is_named(
    accounts: int, destinations: int, detail: str
) -> None:
    status = judge(Situation(now=NOW, accounts=accounts, destinations=destinations))
    assert status.level == "info"
    assert status.sentence == "Nothing is backed up yet"
    assert status.detail.startswith(detail)


def test_without_any_source_a_missing_worker_is_no_trouble() -> None:
    assert judge(Situation(now=NOW, worker_alive=False)).level == "info"


def test_many_names_are_cut() -> None:
    status = judge(replace(GOOD, paused=[Named(str(n)) for n in range(5)]))
    assert status.sentence == "0, 1, 2 and 2 more are paused"
