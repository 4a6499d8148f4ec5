"""The per-user quota: units a minute, as Google has counted since 2026-05-01.

Refuses with the two answers that Google gives in turn (403 userRateLimitExceeded, 429
rateLimitExceeded), so that clients meet both. A minute is a fixed window from the first use.
"""

from __future__ import annotations

import time

from emulator.http import GoogleError

READ, LIST, DOWNLOAD, EDIT = 5, 100, 200, 50
WINDOW_S = 60.0


class Quota:
    """Units used in the current minute of each user; a limit of 0 means none."""

    def __init__(self, units_per_minute: int) -> None:
        self.units_per_minute = units_per_minute
        self._windows: dict[str, tuple[float, int]] = {}
        self._refused = 0

    def spend(self, sub: str, units: int) -> None:
        """Take units from a user's minute, or raise what Google answers beyond it."""
        started, used = self._windows.get(sub, (0.0, 0))
        now = time.monotonic()
        if not started or now - started >= WINDOW_S:
            started, used = now, 0
        if self.units_per_minute and used + units > self.units_per_minute:
            self._refused += 1
            raise self._refusal(WINDOW_S - (now - started))
        self._windows[sub] = (started, used + units)

    def _refusal(self, remaining_s: float) -> GoogleError:
        if self._refused % 2:
            message = "User Rate Limit Exceeded. Rate of requests for user exceed configured quota."
            return GoogleError(403, "userRateLimitExceeded", message, domain="usageLimits")
        return GoogleError(
            429,
            "rateLimitExceeded",
            "Rate Limit Exceeded",
            domain="usageLimits",
            retry_after=str(max(1, round(remaining_s))),
        )

    def reset(self) -> None:
        """Give every user a fresh minute."""
        self._windows.clear()
