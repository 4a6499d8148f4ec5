"""A whole listing of a source into the catalog: a page at a time, constant memory.

A listing that breaks off goes on in another lane where it was, or is made again; only one that
was read to its end, and to the end of what changed meanwhile, may say that something has
vanished. Everything is idempotent.
"""

from __future__ import annotations

from collections.abc import Callable

from django.utils import timezone

from syncapp.engine import orphans, vanish
from syncapp.engine.absorb import Absorber
from syncapp.engine.beat import LaneLost
from syncapp.engine.progress import Progress
from syncapp.engine.replay import replay
from syncapp.engine.seen import Seen
from syncapp.engine.sets import chunks
from syncapp.errors import (
    CursorRejected,
    Interrupted,
    RateLimited,
    TransientError,
    Unavailable,
)
from syncapp.models import Run
from syncapp.sources.base import Source as Reader

OnPage = Callable[[], None]


class Stopped(LaneLost):
    """Paused, cancelled or draining: not a fault. What was read is kept."""

    code = "scan_stopped"


def scan(
    run: Run,
    absorber: Absorber,
    reader: Reader,
    on_page: OnPage,
    drift: set[str] | None = None,
    *,
    within: OnPage | None = None,
) -> None:
    """List the whole source into the catalog. `on_page` is called after each page, `within` as in
    `replay`.

    With `drift`, the change logs are read first, and what the listing then finds that no log has
    told of is added to it, by remote id. Raises what the reader and `on_page` raise; then nothing
    is marked as vanished.
    """
    progress = Progress.of(run, reader)
    source, counts = absorber.source, absorber.counts
    if drift is not None:
        replay(absorber, reader, on_page, within=within)
    counts.seen, absorber.seen, absorber.differing = 0, Seen(), drift
    _list(progress, absorber, reader, on_page)
    with absorber.writing():
        orphans.adopt(source)
    if progress.cursor:
        _catch_up(progress, absorber, reader, on_page, within)
    for gone in chunks(vanish.unseen(source, absorber.seen), 500):
        with absorber.writing():
            counts.vanished += vanish.mark([(pk, content) for _, pk, content in gone])
        absorber.differs(remote_id for remote_id, _, _ in gone)
    with absorber.writing():
        source.scanned_at = timezone.now()
        source.save(update_fields=["cursor", "scanned_at"])
        progress.drop()


def _catch_up(
    progress: Progress,
    absorber: Absorber,
    reader: Reader,
    on_page: OnPage,
    within: OnPage | None,
) -> None:
    """Replay what happened since before the listing.

    What moved within the listing while it was read may have been missed by it, or is a change
    that explains a difference. Where that can't be read any more the listing is of no use.
    """
    drift, absorber.differing = absorber.differing, None
    seen = absorber.counts.seen
    absorber.source.cursor = progress.cursor
    try:
        replay(absorber, reader, on_page, explained=drift, within=within)
    except CursorRejected:
        progress.drop()
        raise
    absorber.differing, absorber.counts.seen = drift, seen


def _list(progress: Progress, absorber: Absorber, reader: Reader, on_page: OnPage) -> None:
    progress.restore(absorber)
    try:
        for page in reader.scan(absorber.source.cursor, progress.after):
            absorber.absorb(page)
            progress.reached(page.after, absorber)
            on_page()
    except (Stopped, Interrupted, Unavailable, RateLimited):
        progress.save(absorber)
        raise
    except LaneLost:  # another lane is at work: what it keeps is its own
        raise
    except TransientError:
        # A listing that is no longer whole can't be gone on with.
        progress.drop()
        raise
