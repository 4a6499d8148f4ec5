"""How long to wait before trying again, and how fast to go. Pure: time and chance are arguments.

The in-call formula is Google's own: min(2^n + rand ≤ 1 s, 64 s)
(developers.google.com/workspace/drive/api/guides/handle-errors).

A `Bucket` is a token bucket whose rate gives way to refusals (AIMD). Whoever keeps it (a row that
all workers share) applies one of its answers at a time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Protocol

from syncapp.errors import (
    BackupError,
    Deferred,
    IntegrityError,
    PermanentError,
    RateLimited,
    TransientError,
)

MAX_ATTEMPTS = 5

# Seconds before the next attempt, by error class: (first, factor, most).
_SCHEDULES: dict[type[BackupError], tuple[float, float, float]] = {
    Deferred: (3600.0, 2.0, 6 * 3600.0),
    RateLimited: (5.0, 2.0, 300.0),
    IntegrityError: (1.0, 4.0, 60.0),
    TransientError: (4.0, 4.0, 900.0),
}


def call_delay_s(failures: int, chance: random.Random) -> float:
    """Wait inside one attempt, after `failures` ≥ 1 refused calls."""
    return float(min(2 ** (failures - 1) + chance.random(), 64.0))


def attempt_delay_s(error: BackupError, attempt: int, chance: random.Random) -> float:
    """Wait before attempt `attempt` + 1, jittered by ±25 %; at least what the service asked for.

    `attempt` is the number of the one that failed, from 1.
    """
    first, factor, most = next(
        (s for kind, s in _SCHEDULES.items() if isinstance(error, kind)),
        _SCHEDULES[TransientError],
    )
    delay = min(first * factor ** (attempt - 1), most) * chance.uniform(0.75, 1.25)
    asked = error.retry_after_s if isinstance(error, TransientError) else None
    return max(delay, asked or 0.0)


def is_final(error: BackupError, attempt: int) -> bool:
    """Whether a file is given up after this failure, until a person retries it.

    A ConfigurationError never is the file's own: it stops its source or destination instead.
    """
    if isinstance(error, TransientError):
        # A slower pace or a day's quota is never the file's fault.
        return attempt >= MAX_ATTEMPTS and not isinstance(error, RateLimited | Deferred)
    if isinstance(error, IntegrityError):
        return attempt >= MAX_ATTEMPTS
    return isinstance(error, PermanentError)


class Pace(Protocol):
    """What a source asks before each request, and tells when it was refused."""

    def take(self, units: float) -> None:
        """Return once so many units may be spent. Raises Interrupted if the work is to stop."""

    def refused(self, retry_after_s: float | None) -> None:
        """The service asked for a slower pace, and perhaps for silence."""


class Unpaced:
    """No limit: for single requests of people."""

    def take(self, units: float) -> None:
        """At once."""

    def refused(self, retry_after_s: float | None) -> None:
        """Nothing to slow down."""


BURST_S = 2.0  # what an idle time may save up; beyond it tokens are lost
SLOWER = 0.7  # the rate after a refusal …
SLOWED_S = 1.0  # … once in this time, however many refusals come
RECOVERY = 0.02  # of the ceiling, for each second without a refusal
LEAST = 0.02  # of the ceiling: never slower
SKEW_S = 5.0  # clocks of hosts may differ by this; beyond it a clock has jumped


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens and how they flow in. Rates in units a second, times in seconds since the epoch."""

    rate: float
    ceiling: float
    tokens: float
    filled_at: float
    slowed_at: float | None = None
    not_before: float | None = None

    @classmethod
    def new(cls, ceiling: float, now: float) -> Bucket:
        """One that nobody has drawn from; it begins empty."""
        return cls(ceiling, ceiling, 0.0, now)

    def at(self, now: float) -> Bucket:
        """The same, later: tokens flowed in, and the rate recovered from refusals."""
        if self.filled_at > now + SKEW_S:
            return replace(self, filled_at=now, slowed_at=None, not_before=None)
        since = max(self.filled_at, self.not_before or 0.0)
        quiet_s = max(now - max(self.filled_at, (self.slowed_at or 0.0) + SLOWED_S), 0.0)
        rate = min(self.rate + RECOVERY * self.ceiling * quiet_s, self.ceiling)
        tokens = self.tokens + self.rate * max(now - since, 0.0)
        return replace(
            self,
            rate=rate,
            tokens=min(tokens, rate * BURST_S),
            filled_at=max(self.filled_at, now),
            not_before=self.not_before if (self.not_before or 0.0) > now else None,
        )

    def with_ceiling(self, ceiling: float) -> Bucket:
        """Under another limit; slowed down as far as it was."""
        if ceiling == self.ceiling:
            return self
        rate = ceiling * self.rate / self.ceiling if self.ceiling else ceiling
        return replace(self, rate=rate, ceiling=ceiling, tokens=min(self.tokens, rate * BURST_S))

    def draw(self, wanted: float, least: float, now: float) -> tuple[Bucket, float]:
        """What is left, and the tokens drawn: at most `wanted`, or none if `least` are not there.

        Nothing can save up more than BURST_S, so `least` never means more than most of that.
        """
        filled = self.at(now)
        enough = filled.tokens >= min(least, filled.rate * BURST_S * 0.9)
        if filled.not_before or not enough:
            return filled, 0.0
        granted = min(wanted, filled.tokens)
        return replace(filled, tokens=filled.tokens - granted), granted

    def wait_s(self, units: float, now: float) -> float:
        """How long until so many tokens are there, if nobody else draws."""
        silence_s = max((self.not_before or now) - now, 0.0)
        return silence_s + max(units - self.tokens, 0.0) / self.rate

    def slowed(self, now: float, retry_after_s: float | None) -> Bucket:
        """After a refusal: a lower rate, nothing saved up, silence as long as was asked for."""
        filled = self.at(now)
        if filled.slowed_at is None or abs(now - filled.slowed_at) >= SLOWED_S:
            rate = max(filled.rate * SLOWER, filled.ceiling * LEAST)
            filled = replace(filled, rate=rate, tokens=0.0, slowed_at=now)
        if retry_after_s:
            until = max(filled.not_before or 0.0, now + retry_after_s)
            filled = replace(filled, tokens=0.0, not_before=until)
        return filled
