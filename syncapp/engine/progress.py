"""How far a whole listing has come, kept every few seconds, so that another lane can go on.

Listing a million files takes Google many minutes; a lane may end before.
"""

from __future__ import annotations

import time

from syncapp.engine.absorb import Absorber
from syncapp.engine.seen import Seen
from syncapp.models import Run, ScanProgress
from syncapp.sources.base import Source as Reader
from syncapp.types import JsonObject

EVERY_S = 10.0


class Progress:
    """Of one run's listing. `cursor` was taken before it; `after` is where it goes on."""

    def __init__(self, row: ScanProgress) -> None:
        self._row = row
        self._next = time.monotonic() + EVERY_S

    @classmethod
    def of(cls, run: Run, reader: Reader) -> Progress:
        """What an earlier lane of the run kept, or the beginning; other runs' is dropped."""
        ScanProgress.objects.filter(run__source=run.source_id).exclude(run=run).delete()
        row = ScanProgress.objects.filter(run=run).first()
        if row is None:
            row = ScanProgress.objects.create(run=run, cursor=reader.start_cursor())
        return cls(row)

    @property
    def cursor(self) -> JsonObject:
        """Where every change log stood before the listing began."""
        return dict(self._row.cursor)

    @property
    def after(self) -> JsonObject:
        """The position behind the last page that counts as read."""
        return dict(self._row.after)

    def restore(self, absorber: Absorber) -> None:
        """Let it know what the earlier lanes have seen."""
        if self._row.after:
            absorber.seen = Seen.unpack(bytes(self._row.seen))
            absorber.counts.seen = self._row.files_seen
            absorber.differs(self._row.differing)

    def reached(self, after: JsonObject, absorber: Absorber) -> None:
        """A page was written; kept if it is time."""
        self._row.after = after
        if time.monotonic() >= self._next:
            self.save(absorber)

    def save(self, absorber: Absorber) -> None:
        """Keep it now: what was seen and the position are of one moment."""
        self._row.seen = absorber.seen.pack() if self._row.after else b""
        self._row.files_seen = absorber.counts.seen
        self._row.differing = sorted(absorber.differing or ())
        self._row.save()
        self._next = time.monotonic() + EVERY_S

    def drop(self) -> None:
        """Nothing is to be gone on with."""
        ScanProgress.objects.filter(pk=self._row.pk).delete()
