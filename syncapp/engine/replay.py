"""Change logs into the catalog: what happened since the cursor, and nothing else.

The cursor is saved with each page, in its transaction: a replay that died goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.utils import timezone

from syncapp.engine import orphans, vanish
from syncapp.engine.absorb import Absorber
from syncapp.models import File, Source
from syncapp.sources.base import Source as Reader
from syncapp.types import ChangePage, Content, ItemPage


def replay(
    absorber: Absorber,
    reader: Reader,
    on_page: Callable[[], None],
    explained: set[str] | None = None,
    within: Callable[[], None] | None = None,
) -> None:
    """Read every change log from the source's cursor to its end. `on_page` follows each page, or
    `within` where a replay that ends there would begin with the same page again.

    What a log tells of is taken out of `explained`. Raises what the reader raises, CursorRejected
    among it: then a whole listing is needed.
    """
    source, within = absorber.source, within or on_page
    for page in reader.changes(source.cursor):
        # Before the page and its cursor: a replay that dies here looks below again.
        for items in _below(source, reader, page.items):
            absorber.absorb(items)
            if explained is not None:
                explained.difference_update(items.ids)
            within()
        repeated = page.cursor == source.cursor and bool(page.items.ids)
        _absorb(absorber, page)
        if explained is not None:
            explained.difference_update(page.items.ids, page.removed)
        (within if repeated else on_page)()
    source.polled_at = timezone.now()
    source.save(update_fields=["polled_at"])


def _below(source: Source, reader: Reader, items: ItemPage) -> Iterator[ItemPage]:
    """What lies below folders that went to the trash or came back.

    All of that did the same, but a log may tell of the folder alone.
    """
    if not items.ids:
        return
    place = {remote_id: i for i, remote_id in enumerate(items.ids)}
    folders = File.objects.filter(source=source, remote_id__in=place, content=Content.FOLDER)
    for remote_id, trashed_at, vanished_at in folders.values_list(
        "remote_id", "trashed_at", "vanished_at"
    ):
        folder = items.file(place[remote_id])
        if vanished_at is not None or folder.trashed != (trashed_at is not None):
            yield from reader.below(folder)


def _absorb(absorber: Absorber, page: ChangePage) -> None:
    source, counts = absorber.source, absorber.counts
    if not (page.items.ids or page.removed or page.left) and page.cursor == source.cursor:
        return

    def then() -> None:
        """Before the page's transaction ends."""
        if page.removed:
            counts.vanished += vanish.removed(source, page.scope, page.removed)
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
