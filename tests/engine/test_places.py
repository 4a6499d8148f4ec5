"""What the catalog remembers reproduces the source as it was at any moment seen."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from django.db.models import Q
from django.utils import timezone

from syncapp.engine import spans
from syncapp.engine.absorb import Absorber
from syncapp.engine.replay import replay
from syncapp.models import File, Place, Source, Version
from tests.engine.paged_reader import PagedReader, blob, folder
from tests.engine.test_scan import ROOT, listed, source, store_everything

__all__ = ["source"]
Tree = dict[str, tuple[str, str, str]]  # remote id → parent, name, revision


def tree_at(source: Source, at: datetime) -> Tree:
    """As the catalog has it, by the rules of Place, Version and Span alone."""
    present = Q(placed_at__lte=at, trashed_at=None, vanished_at=None)
    rows = [
        (file.pk, file.remote_id, file.parent_id, file.name)
        for file in File.objects.filter(present, source=source)
    ]
    past = Place.objects.filter(source=source, from_at__lte=at, until_at__gt=at)
    rows += [
        (place.file_id, place.file.remote_id, place.parent_id, place.name)
        for place in past.select_related("file")
    ]
    assert len({row[0] for row in rows}) == len(rows), "nothing is at two places at once"
    versions = Version.objects.filter(spans.lasted(at), source=source)
    revisions = dict(versions.values_list("file", "revision"))
    assert len(revisions) == len(versions), "nothing has two contents at once"
    return {
        remote_id: (parent_id, name, revisions.get(pk, ""))
        for pk, remote_id, parent_id, name in rows
    }


def tree_of(reader: PagedReader) -> Tree:
    """As the source has it now."""
    return {
        file.remote_id: (file.parent_id, file.name, file.revision)
        for file in reader.items.values()
        if not file.trashed
    }


def change_something(reader: PagedReader, pick: random.Random, step: int) -> None:
    files = [i for i in reader.items if i.startswith("f")]
    folders = ["root", *(i for i in reader.items if i.startswith("d"))]
    kind = pick.choice(
        ["edit", "edit", "back", "rename", "move", "trash", "untrash", "remove", "new"]
    )
    one = pick.choice(files)
    if kind == "edit":
        reader.change(one, revision=f"r{step}")
    elif kind == "back":
        reader.change(one, revision=pick.choice(["1", "2"]))
    elif kind == "rename":
        reader.change(pick.choice([one, *folders[1:]]), name=f"name {pick.randrange(4)}")
    elif kind == "move":
        reader.change(one, parent_id=pick.choice(folders))
    elif kind in ("trash", "untrash"):
        reader.change(one, trashed=kind == "trash")
    elif kind == "remove" and len(files) > 5:
        reader.remove(one)
    elif kind == "new":
        reader.put(blob(f"f{pick.randrange(40)}", parent=pick.choice(folders)))


@pytest.mark.parametrize("seed", range(6))
def test_every_moment_seen_can_be_told_again(source: Source, seed: int) -> None:
    pick = random.Random(seed)
    reader = PagedReader.of(
        ROOT, folder("d1"), folder("d2", "d1"), *(blob(f"f{n}") for n in range(10))
    )
    moments: list[tuple[datetime, Tree]] = []
    listed(source, reader)
    for step in range(25):
        store_everything(source)
        moments.append((timezone.now(), tree_of(reader)))
        for _ in range(pick.randrange(4)):
            change_something(reader, pick, step)
        if pick.random() < 0.2:
            listed(source, reader)
        else:
            source.refresh_from_db()
            replay(Absorber(source, source.planned_for), reader, lambda: None)
    for at, tree in moments:
        assert tree_at(source, at) == tree


def test_who_changed_a_version_is_kept_with_it(source: Source) -> None:
    reader = PagedReader.of(ROOT, blob("f1", modified_by="ann@example.com"))
    listed(source, reader)
    store_everything(source)
    reader.change("f1", revision="2", modified_by="bob@example.com")
    listed(source, reader)
    people = Version.objects.order_by("pk").values_list("modified_by", flat=True)
    assert list(people) == ["ann@example.com", "bob@example.com"]
