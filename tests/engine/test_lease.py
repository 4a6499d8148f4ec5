"""What a lane may take."""

from __future__ import annotations

import pytest
from django.utils import timezone
from model_bakery import baker

from syncapp.engine import lease
from syncapp.models import Copy, Run, Version

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> Version:
    """Due, of a source whose last run has ended and whose next one has found it."""
    found: Version = baker.make(Version, state="pending", lease_owner="", due_at=timezone.now())
    baker.make(Copy, version=found, state="pending")
    return found


def runs_of(version: Version) -> tuple[Run, Run]:
    """The one that has ended, and the next."""
    ended = baker.make(Run, source=version.source, ended_at=timezone.now(), stage="done")
    return ended, baker.make(Run, source=version.source, ended_at=None)


def test_a_lane_takes_nothing_once_its_run_has_ended(version: Version) -> None:
    """What the next run found may lie in folders that bear other names by now."""
    ended, following = runs_of(version)
    assert lease.lease(ended, "old", 10, 60) == []
    assert lease.lease(following, "new", 10, 60) == [version.pk]


def test_a_lane_tries_a_destination_with_nothing_once_its_run_has_ended(version: Version) -> None:
    ended, following = runs_of(version)
    destination = version.copies.get().destination_id
    assert lease.lease_for(ended, destination, "old", 60) == []
    assert lease.lease_for(following, destination, "new", 60) == [version.pk]
