"""A small catalog for searches, and all that a search finds, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from model_bakery import baker

from accounts.models import User
from syncapp.engine.search import Wanted, search
from syncapp.models import File, Place, Source, Version
from syncapp.types import Content

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def a_source() -> Source:
    """With nothing but its top folder."""
    owner = baker.make(User)
    made: Source = baker.make(Source, owner=owner, account__user=owner, slug="ada")
    file(made, "My Drive", "", remote_id="root", content=Content.FOLDER)
    return made


def file(source: Source, name: str, parent: str = "root", **fields: Any) -> File:
    content = fields.get("content", Content.BLOB)
    mime = "application/vnd.google-apps.folder" if content == Content.FOLDER else "text/plain"
    known = {"mime_type": mime, "first_seen_at": NOON, "placed_at": NOON, "content": content}
    about: dict[str, Any] = known | fields
    made: File = baker.make(File, source=source, name=name, parent_id=parent, key_fold="", **about)
    return made


def version(of: File, size: int | None, modified: datetime = NOON, **fields: Any) -> Version:
    known: dict[str, Any] = {"first_seen_at": modified, "revision": str(of.versions.count())}
    known["current"] = not of.versions.filter(current=True).exists()
    known |= fields
    made: Version = baker.make(
        Version, source=of.source, file=of, size=size, modified_at=modified, **known
    )
    return made


def left(file: File, at: datetime, **now: object) -> None:
    """Of a file, that it was elsewhere until then, and what is so now."""
    baker.make(
        Place,
        source=file.source,
        file=file,
        parent_id=file.parent_id,
        name=file.name,
        from_at=file.placed_at,
        until_at=at,
    )
    File.objects.filter(pk=file.pk).update(placed_at=at, **now)


def renamed(of: File, name: str, at: datetime) -> None:
    left(of, at, name=name)
    of.refresh_from_db()


def names(source: Source, *, limit: int = 50, **wanted: Any) -> list[str]:
    """Of all pages; each page is as long as asked."""
    found, after = [], ""
    while True:
        page = search(Wanted([source.pk], **wanted), after, limit)
        assert len(page.hits) <= limit
        found += [hit.name for hit in page.hits]
        after = page.after
        if not after:
            return found
