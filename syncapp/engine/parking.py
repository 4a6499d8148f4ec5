"""Transfers whose spool is kept for another try at the destinations that failed.

Used by the lane's thread, and by a reader's thread that needs the room of the longest-kept one.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

from syncapp.engine.transfer import Transfer


@dataclass
class Parked:
    """A transfer, the number of its next attempt, when (monotonic) that is due, and for whom."""

    transfer: Transfer
    attempt: int
    due: float
    destinations: Collection[int]


class Parking:
    """Parked transfers by version, in the order of their parking."""

    def __init__(self) -> None:
        self._parked: dict[int, Parked] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._parked)

    def add(self, parked: Parked) -> None:
        """Keep it."""
        with self._lock:
            self._parked[parked.transfer.job.version_id] = parked

    def take_due(self, now: float, most: int, down: Collection[int] = ()) -> list[Parked]:
        """Those whose next try is due, at most `most`; they are parked no more.

        None that is only for destinations that are `down`.
        """
        with self._lock:
            due = [
                pk
                for pk, parked in self._parked.items()
                if parked.due <= now and not all(d in down for d in parked.destinations)
            ]
            return [self._parked.pop(pk) for pk in due[: max(most, 0)]]

    def take_for(self, destination_id: int) -> Parked | None:
        """One that is for this destination."""
        with self._lock:
            found = (pk for pk, p in self._parked.items() if destination_id in p.destinations)
            pk = next(found, None)
            return self._parked.pop(pk) if pk is not None else None

    def take_oldest(self) -> Parked | None:
        """The one that was parked first."""
        with self._lock:
            oldest = next(iter(self._parked), None)
            return self._parked.pop(oldest) if oldest is not None else None

    def take_all(self) -> list[Parked]:
        """All of them."""
        with self._lock:
            parked = list(self._parked.values())
            self._parked.clear()
            return parked

    def ids(self) -> set[int]:
        """Versions that are parked now."""
        with self._lock:
            return set(self._parked)
