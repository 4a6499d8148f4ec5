"""Each source is looked at when its mode says, once, and for a reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from model_bakery import baker

from accounts.models import GoogleAccount
from syncapp.engine import schedule
from syncapp.models import Channel, Destination, Event, Run, Source, Version
from tests.engine.pruning import Killed
from tests.web import baked

NOW = datetime(2026, 6, 3, 12, 0, tzinfo=UTC)
Make = Callable[..., Source]


@pytest.fixture(autouse=True)
def queued(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was put into the queue."""
    tasks: list[tuple[str, int]] = []
    monkeypatch.setattr(schedule, "async_task", lambda *task, **_: tasks.append(task))
    return tasks


@pytest.fixture
def make(db: None) -> Make:
    """A source whose last backup was complete an hour before NOW."""

    def made(mode: str, *, ran: bool = True, **fields: Any) -> Source:
        source = baked.owned(f"person{Source.objects.count()}").source
        source.runs.all().delete()
        known = {"scanned_at": NOW - timedelta(hours=1), "cursor": {"user": "1", "drives": {}}}
        source.planned_for = sorted(source.destinations.values_list("pk", flat=True))
        for name, value in {**(known if ran else {}), "mode": mode, **fields}.items():
            setattr(source, name, value)
        source.save()
        if ran:
            ended(source, Run.Outcome.OK, NOW - timedelta(hours=1))
        return source

    return made


def ended(source: Source, outcome: str, at: datetime, **fields: Any) -> Run:
    run: Run = baker.make(
        Run, source=source, stage=Run.Stage.DONE, outcome=outcome, ended_at=at, **fields
    )
    return run


def began(source: Source) -> list[tuple[str, str]]:
    active = source.runs.filter(ended_at=None)
    return list(active.values_list("trigger", "scan"))


def test_a_real_time_source_is_polled_every_so_many_seconds(
    make: Make, queued: list[tuple[str, int]], settings: Any
) -> None:
    settings.POLL_SECONDS = 45
    source = make("realtime", next_at=NOW)
    assert schedule.look(NOW - timedelta(seconds=1)) == 0
    assert schedule.look(NOW) == 1
    assert queued == [("syncapp.tasks.poll", source.pk)]
    assert began(source) == []
    source.refresh_from_db()
    assert source.next_at == NOW + timedelta(seconds=45)
    assert schedule.look(NOW) == 0


def test_polls_are_rarer_while_every_log_is_pushed(make: Make, settings: Any) -> None:
    settings.POLL_SECONDS = 60
    cursor = {"user": "1", "drives": {"d": "2"}}
    source = make("realtime", next_at=NOW, cursor=cursor)
    later = timezone.now() + timedelta(days=1)
    for scope, slow in (("user", 60), ("d", 600)):
        Channel.objects.create(
            source=source,
            scope=scope,
            channel_id=scope,
            token="secret",
            expires_at=later,
            last_message_at=timezone.now(),
        )
        assert schedule.next_time(source, NOW) == NOW + timedelta(seconds=slow)


def test_a_schedule_begins_a_backup_once_however_many_times_were_missed(make: Make) -> None:
    source = make("scheduled", cron="0 * * * *", next_at=NOW - timedelta(days=2))
    assert schedule.look(NOW) == 1
    assert began(source) == [(Run.Trigger.SCHEDULE, "")]
    source.refresh_from_db()
    assert source.next_at == NOW + timedelta(hours=1)
    Run.objects.filter(ended_at=None).update(ended_at=NOW, outcome="ok")
    assert schedule.look(NOW + timedelta(minutes=59)) == 0


def test_what_a_killed_supervisor_was_about_to_begin_comes_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("scheduled", cron="0 * * * *", next_at=NOW - timedelta(days=2))

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("syncapp.engine.runs._request", killed)
        with pytest.raises(Killed):
            schedule.look(NOW)
    assert schedule.look(NOW) == 1
    assert len(began(source)) == 1


def test_a_manual_source_is_left_alone(make: Make, queued: list[Any]) -> None:
    source = make("manual", ran=False)
    schedule.look(NOW)
    schedule.care(NOW)
    assert (began(source), queued) == ([], [])


@pytest.mark.parametrize("mode", ["realtime", "scheduled"])
def test_a_source_that_was_never_backed_up_is_at_once(make: Make, mode: str) -> None:
    source = make(mode, ran=False)
    schedule.look(NOW)
    assert began(source) == [(Run.Trigger.SCHEDULE, "")]


@pytest.mark.parametrize("why", ["paused", "blocked", "nowhere", "switched off", "at work"])
def test_a_source_that_can_not_run_is_looked_at_when_it_can(
    make: Make, queued: list[Any], why: str
) -> None:
    source = make("realtime", next_at=NOW)
    places = list(source.destinations.all())
    if why == "paused":
        Source.objects.update(paused=True)
    elif why == "blocked":
        Source.objects.update(blocked_code="configuration")
    elif why == "nowhere":
        source.destinations.clear()
    elif why == "switched off":
        Destination.objects.update(enabled=False)
    else:
        baker.make(Run, source=source)
    schedule.look(NOW)
    assert queued == []
    source.destinations.set(places)
    Source.objects.update(paused=False, blocked_code="")
    Destination.objects.update(enabled=True)
    Run.objects.filter(ended_at=None).update(ended_at=NOW, outcome="ok")
    schedule.look(NOW + timedelta(seconds=1))
    assert queued == [("syncapp.tasks.poll", source.pk)]


def test_of_two_hosts_one_acts(make: Make, queued: list[Any], monkeypatch: Any) -> None:
    source = make("realtime", next_at=NOW)
    other = Source.objects.get(pk=source.pk)
    assert schedule.look(NOW) == 1
    assert not schedule._act(other, NOW)
    assert len(queued) == 1


@pytest.mark.django_db(transaction=True)
def test_a_schedule_fires_once_with_many_hosts_at_the_same_moment(make: Make) -> None:
    source = make("scheduled", cron="0 3 * * *", next_at=NOW)
    ready = threading.Barrier(6)
    acted: list[int] = []

    def host() -> None:
        ready.wait()
        acted.append(schedule.look(NOW))
        connection.close()

    hosts = [threading.Thread(target=host) for _ in range(6)]
    for each in hosts:
        each.start()
    for each in hosts:
        each.join()
    assert sorted(acted) == [0, 0, 0, 0, 0, 1]
    assert source.runs.filter(ended_at=None).count() == 1


def test_a_clock_that_was_set_back_does_not_silence_a_source(make: Make) -> None:
    polled = make("realtime", next_at=NOW + timedelta(days=900))
    planned = make("scheduled", cron="0 3 * * *", next_at=NOW + timedelta(days=900))
    soon = make("scheduled", cron="0 3 * * *", next_at=NOW + timedelta(hours=15))
    schedule.care(NOW)
    for source in (polled, planned, soon):
        source.refresh_from_db()
    assert polled.next_at == NOW + timedelta(seconds=60)
    assert planned.next_at == soon.next_at == datetime(2026, 6, 4, 3, tzinfo=UTC)


def test_a_clock_that_was_set_back_a_little_is_noticed_by_the_last_look(make: Make) -> None:
    ahead = NOW + timedelta(minutes=50)
    source = make("realtime", next_at=ahead + timedelta(seconds=60), polled_at=ahead)
    schedule.care(NOW)
    source.refresh_from_db()
    assert source.next_at == NOW + timedelta(seconds=60)


def test_a_rest_that_google_has_asked_for_is_kept(make: Make) -> None:
    until = NOW + timedelta(hours=1)
    source = make("realtime", next_at=until, polled_at=NOW - timedelta(minutes=1))
    schedule.care(NOW)
    source.refresh_from_db()
    assert source.next_at == until


@pytest.mark.parametrize(
    ("mode", "days_ago", "reconcile_days", "expected"),
    [
        ("realtime", 6.9, 7, []),
        ("realtime", 7, 7, [("reconcile", "full")]),
        ("realtime", 700, 0, []),
        ("realtime", -900, 7, [("reconcile", "full")]),  # scanned before the clock was set back
        ("scheduled", 5.9, 7, [("schedule", "")]),
        ("scheduled", 6.99, 7, [("reconcile", "full")]),  # tomorrow's would be too late
        ("scheduled", 700, 0, [("schedule", "")]),
        ("manual", 700, 7, []),
    ],
)
def test_the_whole_listing_is_read_again_every_so_many_days(
    make: Make, mode: str, days_ago: float, reconcile_days: int, expected: list[Any]
) -> None:
    source = make(
        mode,
        next_at=NOW,
        cron="0 12 * * *",
        scanned_at=NOW - timedelta(days=days_ago),
        reconcile_days=reconcile_days,
    )
    schedule.look(NOW)
    assert began(source) == expected


def test_a_backup_that_failed_is_begun_again_later_each_time(make: Make) -> None:
    source = make("realtime", next_at=NOW)
    for failures, minutes in ((1, 1), (2, 2), (3, 4), (7, 60), (20, 60)):
        source.runs.all().delete()
        for _ in range(failures):
            ended(source, Run.Outcome.FAILED, NOW, error_code="unavailable")
        for seconds, expected in ((-1, []), (0, [("deferred", "")])):
            at = NOW + timedelta(minutes=minutes, seconds=seconds)
            Source.objects.update(next_at=at, scanned_at=at)
            schedule.look(at)
            assert began(source) == expected, (failures, at)


def test_one_broken_file_is_not_tried_all_day(make: Make) -> None:
    source = make("realtime", next_at=NOW)
    for _ in range(12):
        ended(source, Run.Outcome.FAILED, NOW, error_code="files_failed")
    at = NOW + timedelta(hours=23)
    Source.objects.update(next_at=at, scanned_at=at)
    schedule.look(at)
    assert began(source) == []


def test_a_cancelled_backup_does_not_begin_again_by_itself_the_same_day(make: Make) -> None:
    source = make("realtime", next_at=NOW)
    ended(source, Run.Outcome.CANCELLED, NOW)
    schedule.look(NOW)
    assert began(source) == []


def test_a_failing_comparison_does_not_stop_polling(make: Make, queued: list[Any]) -> None:
    source = make("realtime", next_at=NOW, scanned_at=NOW - timedelta(days=30))
    ended(source, Run.Outcome.FAILED, NOW, error_code="unavailable")
    schedule.look(NOW)
    assert began(source) == []
    assert queued == [("syncapp.tasks.poll", source.pk)]


@pytest.mark.parametrize("mode", ["realtime", "scheduled", "manual"])
def test_deferred_files_get_a_backup_when_they_are_due(make: Make, mode: str) -> None:
    source = make(mode, next_at=NOW + timedelta(days=1))
    ended(source, Run.Outcome.WARNINGS, NOW - timedelta(minutes=5), files_deferred=1)
    version = Version.objects.filter(source=source).first()
    assert version is not None
    Version.objects.filter(pk=version.pk).update(
        state="pending", error_code="download_quota_exceeded", due_at=NOW
    )
    schedule.care(NOW - timedelta(seconds=1))
    assert began(source) == []
    schedule.care(NOW)
    assert began(source) == [(Run.Trigger.DEFERRED, "")]


def test_what_came_to_wait_after_a_good_backup_gets_another_one(make: Make) -> None:
    """A file that came back while its copies were being removed is stored anew."""
    source = make("realtime", next_at=NOW + timedelta(days=1))
    Version.objects.filter(source=source).update(state="pending", due_at=NOW)
    ended(source, Run.Outcome.OK, NOW)
    schedule.care(NOW)
    assert began(source) == [(Run.Trigger.DEFERRED, "")]


def test_what_a_cancelled_run_left_is_not_taken_for_deferred(make: Make) -> None:
    source = make("manual")
    Version.objects.filter(source=source).update(state="pending", due_at=NOW)
    ended(source, Run.Outcome.CANCELLED, NOW)
    schedule.care(NOW)
    assert began(source) == []


def test_a_source_goes_on_when_its_account_is_connected_again(make: Make) -> None:
    source = make("realtime", blocked_code="reconnect_required", next_at=NOW)
    alert = baker.make(
        Event, owner=source.owner, source=source, level="alert", code="source_blocked"
    )
    GoogleAccount.objects.update(state="reconnect")
    schedule.care(NOW)
    source.refresh_from_db()
    assert source.blocked_code
    GoogleAccount.objects.update(state="connected")
    schedule.care(NOW)
    source.refresh_from_db()
    alert.refresh_from_db()
    assert source.blocked_code == ""
    assert alert.acknowledged_at


def test_a_spent_daily_quota_is_tried_again_after_an_hour(make: Make) -> None:
    source = make("realtime", blocked_code="daily_limit_exceeded", next_at=NOW)
    ended(source, Run.Outcome.FAILED, NOW, error_code="daily_limit_exceeded")
    for minutes, still in ((59, "daily_limit_exceeded"), (61, "")):
        schedule.care(NOW + timedelta(minutes=minutes))
        source.refresh_from_db()
        assert source.blocked_code == still


def test_a_source_that_was_kept_nowhere_goes_on_once_it_is(make: Make) -> None:
    source = make("realtime", blocked_code="no_destination", next_at=NOW)
    places = list(source.destinations.all())
    source.destinations.clear()
    schedule.care(NOW)
    source.refresh_from_db()
    assert source.blocked_code
    source.destinations.set(places)
    schedule.care(NOW)
    source.refresh_from_db()
    assert source.blocked_code == ""


def test_what_a_person_must_mend_stays_stopped(make: Make) -> None:
    source = make("realtime", blocked_code="access_denied", next_at=NOW)
    schedule.care(NOW)
    source.refresh_from_db()
    assert source.blocked_code == "access_denied"


def test_a_zone_that_is_gone_stops_its_source_and_no_other(make: Make, queued: list[Any]) -> None:
    lost = make("scheduled", time_zone="Europe/Atlantis", next_at=NOW)
    well = make("realtime", next_at=NOW)
    schedule.look(NOW)
    lost.refresh_from_db()
    assert lost.blocked_code == "bad_time_zone"
    assert Event.objects.filter(source=lost, code="source_blocked", level="alert").count() == 1
    assert queued == [("syncapp.tasks.poll", well.pk)]


def test_a_zone_that_goes_while_its_source_waits_stops_no_supervisor(make: Make) -> None:
    lost = make("scheduled", time_zone="Europe/Atlantis", next_at=NOW + timedelta(hours=9))
    schedule.care(NOW)
    lost.refresh_from_db()
    assert lost.blocked_code == "bad_time_zone"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("manual", None), ("realtime", "now"), ("scheduled", "next")],
)
def test_a_new_mode_sets_the_next_time(make: Make, mode: str, expected: str | None) -> None:
    source = make(mode, next_at=NOW)
    before = timezone.now()
    schedule.begin_anew(source)
    source.refresh_from_db()
    if expected is None:
        assert source.next_at is None
    elif expected == "now":
        assert before <= source.next_at <= timezone.now()
    else:
        assert source.next_at > before
        assert (source.next_at.hour, source.next_at.minute) == (3, 0)
