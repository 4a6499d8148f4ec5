"""A whole listing of a source into the catalog: a page at a time, constant memory.

A listing that ends early raises; only one that was read to its end may say that something has
vanished. Everything is idempotent: a scan that died is simply made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.utils import timezone

from syncapp.engine import orphans, vanish
from syncapp.engine.absorb import Absorber, Counts
from syncapp.engine.sets import chunks
from syncapp.models import Source
from syncapp.sources.base import Source as Reader

OnPage = Callable[[Counts], None]


def scan(
    source: Source, reader: Reader, on_page: OnPage, destinations: Sequence[int] = ()
) -> Counts:
    """List the whole source into the catalog. `on_page` is called after each page.

    Raises what the reader raises; then nothing is marked as vanished and the cursor stays.
    """
    cursor = reader.start_cursor()
    absorber = Absorber(source, destinations)
    counts = absorber.counts
    for page in reader.scan(source.cursor):
        absorber.absorb(page)
        on_page(counts)
    orphans.adopt(source)
    for gone in chunks(vanish.unseen(source, absorber.seen), 500):
        counts.vanished += vanish.mark([(pk, content) for _, pk, content in gone])
        counts.telling += [remote_id for remote_id, _, _ in gone]
    source.cursor, source.scanned_at = cursor, timezone.now()
    source.save(update_fields=["cursor", "scanned_at"])
    return counts
