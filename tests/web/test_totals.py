"""Figures of what is stored: right, remembered, and never waited for."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from model_bakery import baker

from syncapp.engine import health
from syncapp.models import Copy, Destination
from syncapp.web import cards, totals
from tests.servers.workers import wait_until
from tests.web import baked
from tests.web.baked import Owned


def test_copies_are_counted_by_state_destination_and_source(owner: Owned, teammate: Owned) -> None:
    found = totals.totals_of(owner.user)
    assert found is not None
    attic, cellar = owner.destinations
    assert found.files() == 4
    assert found.files("verified") == 3
    assert found.files("verified", destination=attic.pk) == 2
    assert found.files("failed", destination=cellar.pk, source=owner.source.pk) == 1
    assert found.size_bytes("verified", destination=attic.pk) == 2_000_000
    assert found.files(source=teammate.source.pk) == 0


def test_files_are_counted_as_commands_do_without_old_contents_and_what_is_gone(
    owner: Owned,
) -> None:
    baked.stored(owner.file, owner.destinations, revision="0", current=False)
    gone = {"problem": "in_trash", "trashed_at": timezone.now()}
    trashed = baked.file(owner.source, "bin", owner.folder.remote_id, "bin", **gone)
    baked.stored(trashed, owner.destinations)
    found = totals.totals_of(owner.user)
    assert found is not None
    assert found.stored[owner.source.pk] == (1, 1_000_000)
    assert health.examine().sources[0].stored == 1
    card = cards.overview(owner.user, timezone.now()).sources[0]
    assert (card.stored, card.size_bytes) == (1, 1_000_000)


@pytest.mark.parametrize("lacking", ["new", "damaged", "unused"])
def test_what_one_destination_lacks_is_not_stored_in_every_one(owner: Owned, lacking: str) -> None:
    if lacking == "new":
        owner.source.destinations.add(
            baker.make(Destination, owner=owner.user, name="Shed", kind="local")
        )
    elif lacking == "damaged":
        owner.version.copies.update(state=Copy.State.DAMAGED)
    else:
        owner.source.destinations.update(enabled=False)
    state, found = health.examine().sources[0], totals.totals_of(owner.user)
    assert (state.stored, state.waiting, state.failed) == (0, 1, 1)
    assert found is not None
    assert found.stored.get(owner.source.pk) is None


def test_a_destination_that_is_not_in_use_lacks_nothing(owner: Owned) -> None:
    made = baker.make(Destination, owner=owner.user, name="Shed", kind="local", enabled=False)
    owner.source.destinations.add(made)
    state = health.examine().sources[0]
    assert (state.stored, state.waiting) == (1, 0)


def test_figures_are_remembered_for_a_moment(owner: Owned) -> None:
    totals.totals_of(owner.user)
    with CaptureQueriesContext(connection) as captured:
        totals.totals_of(owner.user)
    assert len(captured) == 0


@pytest.mark.django_db(transaction=True)
def test_a_large_catalog_is_counted_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = baked.owned("ana")
    monkeypatch.setattr(totals, "COUNTED_INLINE", 0)
    assert totals.totals_of(owner.user) is None
    counting = f"{totals._key(owner.user)}:counting"
    wait_until(lambda: cache.get(counting) is None, 20, "the end of the count")
    found = totals.totals_of(owner.user)
    assert found is not None
    assert found.files() == 4
