"""Change logs into the catalog: what happened since the cursor, and nothing else.

The cursor is saved with each page, in its transaction: a replay that died goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from syncapp.engine import orphans, vanish
from syncapp.engine.absorb import Absorber, Counts
from syncapp.engine.scan import OnPage
from syncapp.models import File, Source
from syncapp.sources.base import Source as Reader
from syncapp.types import ChangePage, ItemPage


def replay(
    source: Source, reader: Reader, on_page: OnPage, destinations: Sequence[int] = ()
) -> Counts:
    """Read every change log from the source's cursor to its end. `on_page` follows each page.

    Raises what the reader raises, CursorRejected among it: then a whole listing is needed.
    """
    absorber = Absorber(source, destinations)
    for page in reader.changes(source.cursor):
        _absorb(source, absorber, page)
        on_page(absorber.counts)
    source.polled_at = timezone.now()
    source.save(update_fields=["polled_at"])
    return absorber.counts


def _absorb(source: Source, absorber: Absorber, page: ChangePage) -> None:
    counts = absorber.counts

    def then() -> None:
        """Before the page's transaction ends."""
        if page.removed:
            counts.vanished += vanish.removed(source, page.scope, page.removed)
            counts.telling += page.removed
        if page.left:
            counts.vanished += vanish.left(source, page.left)
        if page.items.ids:
            orphans.adopt(source, _parents(source, page.items))
        if page.cursor != source.cursor:
            Source.objects.filter(pk=source.pk).update(cursor=page.cursor)

    absorber.absorb(page.items, then)
    source.cursor = page.cursor


def _parents(source: Source, items: ItemPage) -> set[str]:
    rows = File.objects.filter(source=source, remote_id__in=set(items.ids))
    return set(rows.values_list("parent_id", flat=True))
