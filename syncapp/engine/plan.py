"""What the states of a version's copies say of it. Pure."""

from __future__ import annotations

from collections.abc import Collection

PENDING, STORED, VERIFIED, FAILED, DAMAGED = "pending", "stored", "verified", "failed", "damaged"
REFUSED = "refused"


def version_state(copies: Collection[str]) -> str:
    """What the states of a version's wanted copies make of it; no copy at all is waiting."""
    if not copies or any(state in (PENDING, DAMAGED) for state in copies):
        return PENDING
    return FAILED if FAILED in copies else STORED
