"""What the sink does wrong when asked to, by seeded dice. Counted, so that a test can tell.

`corrupt_put`: other bytes are stored than were sent, and the ETag says so. `rot`: other bytes are
stored, and the ETag hides it. `corrupt_get`: one byte of an answer is flipped. `errors`: 503
SlowDown or 500 InternalError. `cut`: the connection ends without an answer. `delay_s`: at most so
long before an answer. All but the last are chances from 0 to 1, for single requests.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from random import Random
from typing import Any

CHANCES = ("corrupt_put", "rot", "corrupt_get", "errors", "cut")


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._chances: dict[str, float] = {}
        self._delay_s = 0.0
        self._dice = Random(0)
        self.fired: Counter[str] = Counter()
        self.rotted: list[str] = []  # SHA-256 of what was sent, where `rot` struck

    def set(self, wanted: dict[str, Any]) -> None:
        """Put these in force and no others; raises ValueError on an unknown name."""
        unknown = set(wanted) - {*CHANCES, "delay_s", "seed"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        self._chances = {name: float(wanted.get(name, 0)) for name in CHANCES}
        self._delay_s = float(wanted.get("delay_s", 0))
        self._dice = Random(wanted.get("seed", 0))

    def fires(self, name: str) -> bool:
        """Throw the dice for one request."""
        chance = self._chances.get(name, 0.0)
        hit = bool(chance) and self._dice.random() < chance
        self.fired[name] += hit
        return hit

    def rot(self, data: bytes) -> bytes:
        """The bytes with one of them changed; noted."""
        self.rotted.append(hashlib.sha256(data).hexdigest())
        return self.flip(data)

    def delay_s(self) -> float:
        """How long this answer is held back."""
        return self._dice.uniform(0, self._delay_s) if self._delay_s else 0.0

    def flip(self, data: bytes) -> bytes:
        """The bytes with one of them changed."""
        if not data:
            return data
        spoiled = bytearray(data)
        spoiled[self._dice.randrange(len(data))] ^= 0xFF
        return bytes(spoiled)
