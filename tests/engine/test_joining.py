"""A destination that is attached to a source that was backed up before."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from syncapp.engine import destination_setup, schedule, source_setup
from syncapp.models import Destination, Run, Source
from tests.engine.conftest import Setting


def attached(few: Setting, folder: Path) -> Destination:
    new = Destination.objects.create(
        owner=few.source.owner, name="New", kind="local", options={"path": str(folder)}
    )
    destination_setup.probe(new)
    source_setup.attach(few.source, new)
    return new


def rest(few: Setting, mode: str) -> None:
    """The source is not to be looked at before an hour has passed."""
    later = timezone.now() + timedelta(hours=1)
    rows = Source.objects.filter(pk=few.source.pk)
    rows.update(mode=mode, next_at=later, cron="0 3 * * *")


@pytest.mark.parametrize("mode", ["scheduled", "manual"])
def test_where_a_person_or_a_schedule_says_when_a_new_destination_waits_for_it(
    few: Setting, tmp_path: Path, mode: str
) -> None:
    few.back_up()
    rest(few, mode)
    attached(few, tmp_path / "new")
    schedule.look(timezone.now())
    assert not few.source.runs.filter(ended_at=None).exists()


def test_in_real_time_a_new_destination_is_filled_at_once_by_one_backup(
    few: Setting, tmp_path: Path
) -> None:
    """No change in Google would begin any."""
    few.back_up()
    rest(few, "realtime")
    new = attached(few, tmp_path / "new")
    assert schedule.look(timezone.now()) == 1
    run = few.source.runs.get(trigger=Run.Trigger.DESTINATION)
    assert few.work(run).outcome == Run.Outcome.OK
    assert new.copies.filter(state="stored").count() == few.folder.copies.count() > 0
    Source.objects.filter(pk=few.source.pk).update(next_at=timezone.now())
    schedule.look(timezone.now())
    assert not few.source.runs.filter(ended_at=None).exists()
