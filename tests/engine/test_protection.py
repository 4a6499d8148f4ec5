"""The protection score: what it is made of, and that nothing stands in for a proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from syncapp.engine.protection import Band, Facts, Place, judge
from syncapp.engine.protection_facts import facts_of, in_eu, protections, spot_of
from syncapp.models import Copy, Destination, Finding, Run, Source
from tests.engine.vault import Vault

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BEST = Facts(
    places=(Place("A", "here"), Place("B", "aws eu-west-1", in_eu=True)),
    current_at=NOW - timedelta(hours=1),
    since=NOW - 200 * DAY,
    copies=1000,
    read=1000,
    proven_at=NOW - DAY,
)


def codes(facts: Facts) -> list[str]:
    return [reason.code for reason in judge(facts, NOW).reasons]


def test_all_that_can_be_asked_for_is_a_hundred_and_green() -> None:
    best = judge(BEST, NOW)
    assert (best.score, best.band, list(best.reasons)) == (100, Band.GREEN, [])


WORSE: list[tuple[dict[str, Any], str, Band]] = [
    ({"places": ()}, "no_destination", Band.RED),
    ({"places": BEST.places[:1]}, "one_copy", Band.AMBER),
    ({"places": (Place("A", "here"), Place("B", "here"))}, "one_place", Band.GREEN),
    ({"places": (Place("A", "x", in_eu=False), Place("B", "y", in_eu=False))}, "outside_eu",
     Band.GREEN),
    ({"places": (Place("A", "here", trouble="full"), Place("B", "y"))}, "destination_stopped",
     Band.GREEN),
    ({"places": (Place("A", "here", catalog=False), Place("B", "y"))}, "no_catalog", Band.GREEN),
    ({"blocked": "reconnect"}, "blocked", Band.RED),
    ({"current_at": None}, "no_backup", Band.RED),
    ({"current_at": NOW - 3 * DAY}, "stale_backup", Band.GREEN),
    ({"current_at": NOW - 8 * DAY}, "old_backup", Band.RED),
    ({"failed": 1}, "files_failed", Band.GREEN),
    ({"damaged": 1}, "damaged", Band.AMBER),
    ({"lost": 1, "damaged": 1}, "lost", Band.RED),
    ({"covered": 1}, "covered", Band.GREEN),
    ({"foreign": 1}, "foreign", Band.GREEN),
    ({"read": 0}, "nothing_read", Band.AMBER),
    ({"read": 500}, "little_read", Band.GREEN),
    ({"proven_at": None}, "never_proven", Band.AMBER),
    ({"proven_at": NOW - 61 * DAY}, "old_proof", Band.AMBER),
    ({"drill_failed": "a file"}, "drill_failed", Band.RED),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "band"), WORSE, ids=[code for _, code, _ in WORSE])
def test_what_lacks_costs_points_and_says_what_to_do(
    change: dict[str, Any], code: str, band: Band
) -> None:
    found = judge(replace(BEST, **change), NOW)
    assert code in [reason.code for reason in found.reasons]
    assert all(reason.message and reason.todo and reason.points for reason in found.reasons)
    assert (found.score < 100, found.band) == (True, band)


def test_a_source_that_is_new_need_not_have_been_read_whole() -> None:
    new = replace(BEST, since=NOW - 9 * DAY, read=60)
    assert "little_read" not in codes(new)
    assert "little_read" in codes(replace(new, since=NOW - 45 * DAY))


def test_what_is_backed_up_only_by_hand_may_be_older() -> None:
    old = replace(BEST, current_at=NOW - 9 * DAY)
    assert "old_backup" in codes(old)
    assert codes(replace(old, by_hand=True)) == []


@given(
    st.builds(
        Facts,
        places=st.lists(st.builds(Place, st.just("A"), st.sampled_from("ab")), max_size=3),
        blocked=st.sampled_from(["", "why"]),
        paused=st.booleans(),
        current_at=st.one_of(st.none(), st.integers(0, 20).map(lambda d: NOW - d * DAY)),
        waiting=st.integers(0, 1000),
        failed=st.integers(0, 3),
        copies=st.integers(0, 1000),
        read=st.integers(0, 1000),
        archived=st.integers(0, 1000),
        damaged=st.integers(0, 3),
        lost=st.integers(0, 3),
        drill_days=st.integers(0, 40),
        proven_at=st.one_of(st.none(), st.integers(0, 100).map(lambda d: NOW - d * DAY)),
        drill_failed=st.sampled_from(["", "why"]),
    )
)
def test_green_is_never_without_a_proof(facts: Facts) -> None:
    found = judge(facts, NOW)
    assert 0 <= found.score <= 100
    if found.band is Band.GREEN:
        assert facts.proven_at is not None
        assert NOW - facts.proven_at <= max(2 * facts.drill_days, 60) * DAY
        assert facts.read or facts.copies <= facts.archived
        assert not facts.drill_failed
        assert facts.places
    if found.score < 100:
        assert found.reasons or found.band is Band.AMBER


def test_facts_come_from_the_catalog_in_a_fixed_number_of_queries(db: None, tmp_path: Path) -> None:
    vault = Vault.make(tmp_path, "one", "two")
    version = vault.file("a.txt")
    Copy.objects.filter(destination=vault.destinations[0]).update(
        state=Copy.State.VERIFIED, verified_at=timezone.now()
    )
    Run.objects.create(
        source=vault.source, outcome=Run.Outcome.OK, ended_at=timezone.now(), stage="done"
    )
    gone = version.copies.get(destination=vault.destinations[1])
    Copy.objects.filter(pk=gone.pk).update(state=Copy.State.DAMAGED)
    Finding.objects.create(
        source=vault.source, destination=gone.destination, copy=gone, kind="missing",
        object_key=gone.object_key, message="gone",
    )  # fmt: skip
    with CaptureQueriesContext(connection) as once:
        facts = facts_of([vault.source], timezone.now())[vault.source.pk]
    assert (facts.copies, facts.read, facts.damaged, facts.lost) == (1, 1, 1, 0)
    assert [place.spot for place in facts.places] == ["here", "here"]
    other = Vault.make(tmp_path, "three", owner="other")
    other.file("b.txt")
    with CaptureQueriesContext(connection) as twice:
        found = protections([vault.source, other.source], timezone.now())
    assert len(once) == len(twice)
    assert found[other.source.pk].band is Band.RED
    Source.objects.filter(pk=vault.source.pk).update(proven_at=timezone.now())
    version.copies.all().update(state=Copy.State.DAMAGED)
    version.file.vanished_at = timezone.now()
    version.file.save()
    Finding.objects.all().delete()
    for copy in version.copies.all():
        Finding.objects.create(
            source=vault.source, destination=copy.destination, copy=copy, kind="missing",
            object_key=copy.object_key, message="gone",
        )  # fmt: skip
    assert facts_of([vault.source], timezone.now())[vault.source.pk].lost == 1


def test_where_a_bucket_lies_is_told_by_its_region() -> None:
    frankfurt = Destination(kind="s3", options={"provider": "aws", "region": "eu-central-1"})
    london = Destination(kind="s3", options={"provider": "aws", "region": "eu-west-2"})
    own = Destination(kind="s3", options={"provider": "other", "endpoint": "https://s3.example"})
    assert [in_eu(row) for row in (frankfurt, london, own)] == [True, False, None]
    assert len({spot_of(row) for row in (frankfurt, london, own)}) == 3


def test_a_destination_that_holds_nothing_yet_is_no_second_copy(db: None, tmp_path: Path) -> None:
    """Chosen yesterday, with no backup since: nothing waits, nothing failed, all else is proven."""
    vault, now = Vault.make(tmp_path, "one"), timezone.now()
    for number in range(30):
        vault.file(f"{number}.txt")
    Copy.objects.update(state=Copy.State.VERIFIED, verified_at=now, stored_at=now - 200 * DAY)
    Run.objects.create(source=vault.source, outcome=Run.Outcome.OK, ended_at=now, stage="done")
    Source.objects.filter(pk=vault.source.pk).update(proven_at=now)
    vault.source.refresh_from_db()
    vault.add_folder(tmp_path / "two", "two")
    facts = facts_of([vault.source], now)[vault.source.pk]
    assert [(place.present, place.readable, place.read) for place in facts.places] == [
        (30, 30, 30), (0, 0, 0),
    ]  # fmt: skip
    apart = [replace(p, spot=p.name, catalog=True) for p in facts.places]
    found = judge(replace(facts, places=apart), now)
    assert [reason.code for reason in found.reasons] == ["place_lacks"]
    assert found.band is Band.AMBER
    # Nor does a destination count that the source is not kept at any more.
    vault.source.destinations.remove(vault.destinations[0])
    assert facts_of([vault.source], now)[vault.source.pk].copies == 0


def test_each_destination_is_to_be_read_back() -> None:
    """The other one's readings do not stand in for it, once there was time enough."""
    places = [
        Place("A", "a", present=500, readable=500, read=500, since=NOW - 100 * DAY),
        Place("B", "b", present=500, readable=500, read=0, since=NOW - 100 * DAY),
    ]
    facts = replace(BEST, places=places, read=1000)
    assert judge(facts, NOW).band is Band.AMBER
    assert codes(facts) == ["place_unread"]
    new = replace(places[1], since=NOW - 80 * DAY)
    assert codes(replace(facts, places=[places[0], new])) == []


def test_green_is_nothing_of_which_much_has_failed() -> None:
    assert judge(replace(BEST, failed=51), NOW).band is Band.AMBER


def test_a_drill_that_tried_nothing_hides_no_failed_one(db: None, tmp_path: Path) -> None:
    vault, now = Vault.make(tmp_path, "one"), timezone.now()
    for outcome, why in (("failed", "a file"), ("warnings", "")):
        Run.objects.create(
            source=vault.source, kind="drill", outcome=outcome, error_message=why, ended_at=now,
            stage="done",
        )  # fmt: skip
    assert facts_of([vault.source], now)[vault.source.pk].drill_failed == "a file"
