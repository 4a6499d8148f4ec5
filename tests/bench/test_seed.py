"""A seeded catalog is one that a backup could have left."""

from __future__ import annotations

import pytest
from model_bakery import baker

from accounts.models import User
from bench.seed import RENAMED_AFTER, WHEN, WIDE, Shape, seed
from syncapp.engine import moment, planning
from syncapp.engine.folders import Folders
from syncapp.models import Copy, Destination, File, Source, Version


@pytest.mark.django_db
def test_a_seeded_catalog_has_a_stored_copy_of_each_file_in_each_destination() -> None:
    owner = baker.make(User)
    source = baker.make(Source, owner=owner, account__user=owner, slug="ada")
    source.destinations.add(*baker.make(Destination, 2, owner=owner, kind="local"))
    seed(source, 450, Shape(failed_every=100, trashed_every=90))
    assert File.objects.filter(content="blob").count() == 450
    assert File.objects.filter(problem="in_trash").count() == 5
    failed = Version.objects.filter(state="failed").count()
    there = File.objects.filter(content="blob", problem="").values_list("pk", flat=True)
    assert failed == sum(pk % 100 == 0 for pk in there) > 0
    assert Version.objects.count() == 445
    assert Copy.objects.filter(state="stored").count() == 2 * (445 - failed)
    assert source.planned_for == planning.wanted_destinations(source)
    last = File.objects.filter(content="blob").latest("pk")
    path = Folders(source.pk).path(last.parent_id, last.name)
    assert path == "My Drive/folder 00000/folder 00002/file 0000449.txt"


@pytest.mark.django_db
def test_a_seeded_catalog_has_a_past() -> None:
    owner = baker.make(User)
    source = baker.make(Source, owner=owner, account__user=owner, slug="ada")
    source.destinations.add(baker.make(Destination, owner=owner, kind="local"))
    seed(source, 450, Shape(versions=3, renamed_every=10, wide=100))
    assert Version.objects.count() == Copy.objects.count() == 1350
    assert Version.objects.filter(current=True, replaced_at=None).count() == 450
    assert File.objects.filter(parent_id=WIDE).count() == 100
    early, late = WHEN + RENAMED_AFTER / 2, WHEN + RENAMED_AFTER * 2
    for at, former in ((early, 10), (late, 0)):
        names = [e.name for e in moment.children(source.pk, WIDE, at, limit=200)]
        assert len(names) == 100
        assert sum(name.startswith("former") for name in names) == former
