"""Wanted − present: which copies to make, and what a version's copies say of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

PENDING, STORED, VERIFIED, FAILED, DAMAGED = "pending", "stored", "verified", "failed", "damaged"
REFUSED = "refused"


def copies_to_make(
    versions: Iterable[int], destinations: Collection[int], present: Collection[tuple[int, int]]
) -> list[tuple[int, int]]:
    """(version, destination) pairs that are wanted and have no copy yet, in order."""
    return [
        (version, destination)
        for version in versions
        for destination in destinations
        if (version, destination) not in present
    ]


def version_state(copies: Collection[str]) -> str:
    """What the states of a version's wanted copies make of it; no copy at all is waiting."""
    if not copies or any(state in (PENDING, DAMAGED) for state in copies):
        return PENDING
    return FAILED if FAILED in copies else STORED
