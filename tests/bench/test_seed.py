"""A seeded catalog is one that a backup could have left."""

from __future__ import annotations

import pytest
from model_bakery import baker

from accounts.models import User
from bench.seed import seed
from syncapp.engine import planning
from syncapp.engine.folders import Folders
from syncapp.models import Copy, Destination, File, Source, Version


@pytest.mark.django_db
def test_a_seeded_catalog_has_a_stored_copy_of_each_file_in_each_destination() -> None:
    owner = baker.make(User)
    source = baker.make(Source, owner=owner, account__user=owner, slug="ada")
    source.destinations.add(*baker.make(Destination, 2, owner=owner, kind="local"))
    seed(source, 450, failed_every=100, trashed_every=90)
    assert File.objects.filter(content="blob").count() == 450
    assert File.objects.filter(problem="in_trash").count() == 5
    failed = Version.objects.filter(state="failed").count()
    assert failed in (4, 5)
    assert Version.objects.count() == 445
    assert Copy.objects.filter(state="stored").count() == 2 * (445 - failed)
    assert source.planned_for == planning.wanted_destinations(source)
    last = File.objects.filter(content="blob").latest("pk")
    path = Folders(source.pk).path(last.parent_id, last.name)
    assert path == "My Drive/folder 00000/folder 00002/file 0000449.txt"
