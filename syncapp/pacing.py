"""How long to wait before trying again. Pure: time and chance come in as arguments.

The in-call formula is Google's own: min(2^n + rand ≤ 1 s, 64 s)
(developers.google.com/workspace/drive/api/guides/handle-errors).
"""

from __future__ import annotations

import random

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
