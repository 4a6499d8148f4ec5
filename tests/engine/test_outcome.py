"""What becomes of a version whose attempt has failed: of a store that is full, for example."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from syncapp import pacing
from syncapp.engine.breakers import SELF_MENDING
from syncapp.engine.outcome import Down, Outcome, decide
from syncapp.engine.transfer import Job, Result
from syncapp.errors import ConfigurationError

STORE = 7


def outcome(error: ConfigurationError, *, attempt: int = 1, down: bool = False) -> Outcome:
    """Of a version that this one store refused so."""
    job: Any = SimpleNamespace(version_id=1, attempt=attempt, targets=[])
    result = Result(cast("Job", job), datetime.now(UTC), failed={STORE: error})
    return decide(result, Down(destinations=[STORE] if down else []))


@pytest.mark.parametrize("code", sorted(SELF_MENDING))
def test_what_passes_by_itself_stops_no_destination_though_it_takes_other_files(code: str) -> None:
    """A disk may have room for small files and not for this one."""
    found = outcome(ConfigurationError("No room.", code=code))
    assert not found.blocked
    assert not found.given_up
    assert found.wait_s > 0


def test_a_file_for_which_there_is_never_room_is_given_up_there() -> None:
    full = ConfigurationError("No room.", code="destination_full")
    assert outcome(full, attempt=pacing.MAX_ATTEMPTS).given_up == {STORE}


def test_a_store_that_is_full_for_everything_burns_no_attempt() -> None:
    full = ConfigurationError("No room.", code="destination_full")
    found = outcome(full, attempt=pacing.MAX_ATTEMPTS, down=True)
    assert (found.down, found.given_up, found.attempts) == ({STORE}, set(), pacing.MAX_ATTEMPTS - 1)


def test_what_a_person_has_to_mend_stops_the_destination() -> None:
    found = outcome(ConfigurationError("The key is refused.", code="access_denied"))
    assert set(found.blocked) == {STORE}
    assert found.attempts == 0
