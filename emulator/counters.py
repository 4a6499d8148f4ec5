"""What the emulator counts for tests and benchmarks: requests, quota units, bytes, downloads."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Counters:
    """Totals since the start or the last reset."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()  # by route kind
        self.statuses: Counter[str] = Counter()
        self.units: Counter[str] = Counter()  # by account e-mail
        self.downloads: Counter[str] = Counter()  # by file id: requests for bytes that were served
        self.bytes_served = 0
        self.faults = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": dict(self.requests),
            "statuses": dict(self.statuses),
            "units": dict(self.units),
            "downloads": dict(self.downloads),
            "bytes_served": self.bytes_served,
            "faults": self.faults,
        }

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]
