"""What an attempt means for its version: tried again and when, given up, refused, or waiting.

Decided without the database; `settle` writes it down. Pure but for the jitter.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field

from syncapp import pacing
from syncapp.engine.breakers import is_outage, passes
from syncapp.engine.transfer import Result
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    NotFound,
    PermanentError,
    RateLimited,
)

_chance = random.Random()


@dataclass(frozen=True)
class Down:
    """What is let alone just now: destinations, and whether the source is; who takes something."""

    destinations: Collection[int] = ()
    source: bool = False
    up: Collection[int] = ()


ALL_UP = Down()


@dataclass
class Outcome:
    """What becomes of one version."""

    version_id: int
    attempts: int
    error: BackupError | None = None
    destination_id: int | None = None
    wait_s: float = 0.0
    refused: bool = False
    given_up: set[int] = field(default_factory=set)  # destinations, or all of them
    blocked: dict[int, ConfigurationError] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)  # destinations that failed as all files do there

    @property
    def hopeless(self) -> bool:
        """Whether another try from the spool is of no use."""
        return bool(self.blocked or self.given_up)


def decide(result: Result, down: Down = ALL_UP) -> Outcome:
    """How the attempt is counted and when the next is due. An outage burns no attempt."""
    attempt = result.job.attempt
    outcome = Outcome(result.job.version_id, attempts=attempt, error=result.error)
    if result.halted:
        outcome.attempts = attempt - 1
    elif result.error is not None:
        if down.source and is_outage(result.error):
            outcome.attempts = attempt - 1
        else:
            _decide_source(outcome, result.error, attempt, result)
    else:
        for destination_id, error in result.failed.items():
            _decide_destination(outcome, destination_id, error, down)
        blameless = len(outcome.blocked) + len(outcome.down) + _slowed(result)
        if blameless and blameless == len(result.failed):
            outcome.attempts = attempt - 1
    return outcome


def _decide_source(outcome: Outcome, error: BackupError, attempt: int, result: Result) -> None:
    if isinstance(error, ConfigurationError | RateLimited):
        outcome.attempts = attempt - 1
    if isinstance(error, PermanentError):
        outcome.refused = True
    elif pacing.is_final(error, attempt):
        outcome.given_up = {target.destination_id for target in result.job.targets}
    else:
        outcome.wait_s = pacing.attempt_delay_s(error, max(outcome.attempts, 1), _chance)


def _decide_destination(
    outcome: Outcome, destination_id: int, error: BackupError, down: Down
) -> None:
    outcome.error, outcome.destination_id = error, destination_id
    if destination_id in down.destinations and is_outage(error):
        outcome.down.add(destination_id)
    elif isinstance(error, ConfigurationError) and not passes(error):
        outcome.blocked[destination_id] = error
    elif _is_final(error, outcome.attempts):
        outcome.given_up.add(destination_id)
    else:
        wait_s = pacing.attempt_delay_s(error, outcome.attempts, _chance)
        outcome.wait_s = max(outcome.wait_s, wait_s)


def _slowed(result: Result) -> int:
    """How many destinations asked for a slower pace: never the file's fault."""
    return sum(isinstance(error, RateLimited) for error in result.failed.values())


def _is_final(error: BackupError, attempt: int) -> bool:
    """At a destination: an upload may have been swept, a disk have room for all but this file."""
    if isinstance(error, NotFound) or passes(error):
        return attempt >= pacing.MAX_ATTEMPTS
    return pacing.is_final(error, attempt)
