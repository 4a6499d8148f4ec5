"""One source whose row can't be worked with: it is stopped and told, and the others go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import schedule, upkeep
from syncapp.engine.unusable import UNUSABLE
from syncapp.models import Event, Policy, Run, Source, Upkeep
from tests.web import baked

NOW = timezone.now()
DAY = timedelta(days=1)
BROKEN = ["no position in any log"]  # where a mapping belongs


@pytest.fixture(autouse=True)
def queued(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was put into the queue."""
    tasks: list[tuple[str, int]] = []
    monkeypatch.setattr(schedule, "async_task", lambda *task, **_: tasks.append(task))
    return tasks


@pytest.fixture
def sources(db: None) -> list[Source]:
    """Three that are due, of three people; the first can't be worked with."""
    made = [baked.owned(name).source for name in ("ana", "ben", "eve")]
    Run.objects.update(ended_at=NOW, outcome="ok", kind=Run.Kind.BACKUP)
    Event.objects.all().delete()
    Source.objects.update(mode="realtime", next_at=NOW - DAY, scanned_at=NOW, cursor={"user": "1"})
    for source in made:
        source.planned_for = sorted(source.destinations.values_list("pk", flat=True))
        source.save(update_fields=["planned_for"])
    Source.objects.filter(pk=made[0].pk).update(cursor=BROKEN)
    return made


def test_one_source_that_can_not_be_handled_is_told_once_and_the_others_go_on(
    sources: list[Source], queued: list[tuple[str, int]]
) -> None:
    broken, *others = sources
    assert schedule.look(NOW) == 2
    assert sorted(queued) == sorted(("syncapp.tasks.poll", source.pk) for source in others)
    schedule.look(NOW + DAY)
    alert = Event.objects.get(code="source_blocked")
    assert (alert.source, alert.owner, alert.level) == (broken, broken.owner, "alert")
    assert "AttributeError" in alert.message
    broken.refresh_from_db()
    assert broken.blocked_code == UNUSABLE


def test_clocks_and_what_was_left_are_cared_for_all_the_same(sources: list[Source]) -> None:
    Source.objects.update(next_at=NOW + 99 * DAY)
    schedule.care(NOW)
    times = Source.objects.exclude(pk=sources[0].pk).values_list("next_at", flat=True)
    assert max(times) < NOW + DAY
    assert Event.objects.get(code="source_blocked").source == sources[0]


def test_upkeep_of_the_others_goes_on(
    sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    def effective(source: Source) -> Any:
        if source == sources[0]:
            raise OverflowError("date value out of range")
        return known(source)

    known: Callable[[Source], Any] = upkeep.effective
    monkeypatch.setattr(upkeep, "effective", effective)
    upkeep.look(NOW)
    Upkeep.objects.update(next_at=NOW - DAY)
    assert upkeep.look(NOW) == 6
    Upkeep.objects.update(next_at=NOW + 99 * DAY)
    upkeep.look(NOW)
    assert Upkeep.objects.filter(next_at__gt=NOW + 31 * DAY).count() == 3
    assert Event.objects.get(code="source_blocked").source == sources[0]


def test_it_goes_on_once_its_settings_are_changed_and_is_tried_again_after_a_day(
    sources: list[Source],
) -> None:
    broken = sources[0]
    schedule.look(NOW)
    schedule.care(NOW + DAY / 2)
    broken.refresh_from_db()
    assert broken.blocked_code == UNUSABLE
    schedule.care(NOW + 2 * DAY)
    broken.refresh_from_db()
    assert broken.blocked_code == ""
    schedule.look(NOW + 2 * DAY)
    broken.refresh_from_db()
    assert broken.blocked_code == UNUSABLE
    broken.mode = Source.Mode.MANUAL
    broken.save()
    schedule.begin_anew(broken)
    broken.refresh_from_db()
    assert broken.blocked_code == ""
    assert not Event.objects.filter(code="source_blocked", acknowledged_at=None).exists()


@pytest.mark.parametrize("mode", ["realtime", "scheduled"])
def test_a_number_from_before_there_were_bounds_is_read_as_the_nearest(
    sources: list[Source], mode: str
) -> None:
    long_ago = NOW - 366 * DAY
    Source.objects.update(
        cursor={"user": "1"}, mode=mode, reconcile_days=2_000_000_000, scanned_at=long_ago
    )
    assert schedule.look(NOW) == 3
    assert set(Run.objects.filter(ended_at=None).values_list("trigger", flat=True)) == {"reconcile"}
    assert not Event.objects.filter(code="source_blocked").exists()
    Policy.objects.create(owner=sources[0].owner, trash_days=2_000_000_000, verify_days=0)
    policy = Policy.objects.get()
    assert (policy.trash_days, policy.verify_days, policy.drill_days) == (36_500, 1, None)
