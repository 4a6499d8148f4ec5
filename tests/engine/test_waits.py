"""What a version waits for that could not be sent everywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from model_bakery import baker

from syncapp.engine import settle
from syncapp.engine.outcome import Down
from syncapp.engine.planning import DESTINATION_BLOCKED, DESTINATION_DOWN
from syncapp.models import Copy, Version

pytestmark = pytest.mark.django_db


@pytest.fixture
def lacking() -> Copy:
    """The copy that a leased version lacks; it has another one."""
    version = baker.make(Version, state="pending", lease_owner="me", leases=1)
    baker.make(Copy, version=version, state="stored", object_key="k", stored_at=timezone.now())
    lacking: Copy = baker.make(Copy, version=version, state="pending")
    return lacking


def waits(lacking: Copy, down: Down) -> tuple[str, bool]:
    """For what, and whether for long."""
    settle.unserved("me", [lacking.version_id], down)
    version = Version.objects.get(pk=lacking.version_id)
    assert (version.state, version.lease_owner, version.leases) == ("pending", "", 0)
    return version.error_code, version.due_at > timezone.now() + timedelta(minutes=30)


def test_a_version_waits_for_a_destination_that_is_down(lacking: Copy) -> None:
    down = Down(destinations=[lacking.destination_id])
    assert waits(lacking, down) == (DESTINATION_DOWN, True)


def test_a_version_waits_for_a_destination_that_a_person_must_mend(lacking: Copy) -> None:
    assert waits(lacking, Down()) == (DESTINATION_BLOCKED, True)


def test_a_version_is_due_if_its_destination_was_found_well_meanwhile(lacking: Copy) -> None:
    assert waits(lacking, Down(up=[lacking.destination_id])) == ("", False)
