"""A look at the change logs: what is new begins a backup, nothing new leaves no trace."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import GoogleAccount
from syncapp.engine import breakers, poll, runs
from syncapp.errors import Unavailable
from syncapp.models import Event, File, Run, Source
from tests.engine.conftest import Setting


@pytest.fixture
def watched(few: Setting) -> Setting:
    """Backed up once, and from then on in real time."""
    few.back_up()
    Source.objects.update(mode="realtime", polled_at=None)
    few.source.refresh_from_db()
    assert few.source.cursor
    few.control.reset_counters()
    return few


def look(setting: Setting) -> list[str]:
    """What a poll begins."""
    Source.objects.update(polled_at=None)
    poll.poll(setting.source.pk)
    return list(setting.source.runs.filter(ended_at=None).values_list("trigger", flat=True))


def requests(setting: Setting) -> dict[str, int]:
    """Of ours to Google, by kind."""
    made = setting.control.counters()["requests"]
    return {kind: number for kind, number in made.items() if kind != "control"}


def test_nothing_new_costs_one_request_and_makes_no_run(watched: Setting) -> None:
    before = watched.source.runs.count()
    assert look(watched) == []
    assert requests(watched) == {"changes.list": 1}
    watched.source.refresh_from_db()
    assert watched.source.polled_at is not None
    assert watched.source.runs.count() == before


def test_a_change_begins_a_backup_that_stores_it(watched: Setting) -> None:
    file = File.objects.filter(content="blob")[0]
    watched.control.edit(file.remote_id, b"newer")
    assert look(watched) == [Run.Trigger.CHANGE]
    run = watched.work(Run.objects.get(ended_at=None))
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 1)
    assert look(watched) == []


def test_what_came_and_went_between_two_looks_is_nothing(watched: Setting) -> None:
    made = watched.control.create("short-lived.txt", b"x")
    watched.control.delete(made["id"])
    assert look(watched) == []


def test_a_deleted_file_is_something(watched: Setting) -> None:
    watched.control.delete(File.objects.filter(content="blob")[0].remote_id)
    assert look(watched) == [Run.Trigger.CHANGE]


def test_a_position_that_google_no_longer_knows_begins_a_backup(watched: Setting) -> None:
    Source.objects.update(cursor={"user": "999999999", "drives": {}})
    assert look(watched) == [Run.Trigger.CHANGE]


@pytest.mark.parametrize(
    "change",
    [
        {"paused": True},
        {"blocked_code": "configuration"},
        {"mode": "manual"},
        {"mode": "scheduled"},
        {"cursor": {}},
    ],
)
def test_google_is_not_asked_where_nobody_wishes(watched: Setting, change: dict[str, Any]) -> None:
    Source.objects.update(**change)
    assert look(watched) == []
    assert requests(watched) == {}


def test_google_is_not_asked_while_a_backup_runs(watched: Setting) -> None:
    runs.request_backup(watched.source)
    assert look(watched) == [Run.Trigger.PERSON]
    assert requests(watched) == {}


def test_a_source_that_is_gone_is_no_fault(db: None) -> None:
    poll.poll(4711)


def test_two_looks_are_at_least_two_seconds_apart(watched: Setting) -> None:
    polled = timezone.now()
    Source.objects.update(polled_at=polled, next_at=polled + timedelta(seconds=60))
    poll.poll(watched.source.pk)
    assert requests(watched) == {}
    watched.source.refresh_from_db()
    assert watched.source.next_at == polled + timedelta(seconds=2)


def test_an_account_without_consent_stops_its_source_with_one_alert(watched: Setting) -> None:
    watched.control.revoke_tokens()
    GoogleAccount.objects.update(expires_at=timezone.now())
    assert look(watched) == []
    assert look(watched) == []
    watched.source.refresh_from_db()
    assert watched.source.blocked_code == "reconnect_required"
    assert GoogleAccount.objects.get().state == GoogleAccount.State.RECONNECT
    alert = Event.objects.get(source=watched.source, code="source_blocked")
    assert alert.level == "alert"


def test_a_fault_of_google_is_no_alarm_and_the_next_look_finds_the_change(
    watched: Setting,
) -> None:
    watched.control.edit(File.objects.filter(content="blob")[0].remote_id, b"newer")
    fault = watched.control.add_fault("/drive/v3/changes", status=503)
    assert look(watched) == []
    watched.source.refresh_from_db()
    assert watched.source.blocked_code == ""
    assert not Event.objects.filter(level__in=["alert", "error"]).exists()
    watched.control.clear_faults(fault)
    assert look(watched) == [Run.Trigger.CHANGE]


def test_a_wish_of_google_to_wait_is_obeyed(watched: Setting) -> None:
    watched.control.add_fault(
        "/drive/v3/changes", status=429, reason="rateLimitExceeded", retry_after="300"
    )
    Source.objects.update(next_at=timezone.now() + timedelta(seconds=60))
    look(watched)
    watched.source.refresh_from_db()
    assert watched.source.next_at > timezone.now() + timedelta(seconds=200)


def test_a_position_that_a_backup_has_moved_is_not_set_back(
    watched: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = poll._nothing_new

    def overtaken(source: Source, reader: Any) -> Any:
        found = real(source, reader)
        Source.objects.update(cursor={"user": "moved on", "drives": {}})
        return found

    monkeypatch.setattr(poll, "_nothing_new", overtaken)
    look(watched)
    watched.source.refresh_from_db()
    assert watched.source.cursor["user"] == "moved on"


def test_the_longer_google_does_not_answer_the_rarer_it_is_asked(watched: Setting) -> None:
    watched.control.add_fault("/drive/v3/changes", status=503)
    for unread_s, wait_s in ((100, 100), (250, 250), (90_000, 600)):
        now = timezone.now()
        Source.objects.update(
            polled_at=now - timedelta(seconds=unread_s),
            scanned_at=now - timedelta(days=2),
            next_at=now + timedelta(seconds=60),
        )
        poll.poll(watched.source.pk)
        watched.source.refresh_from_db()
        assert watched.source.next_at - now == pytest.approx(
            timedelta(seconds=wait_s), abs=timedelta(seconds=5)
        )


def test_google_that_answers_again_is_told(watched: Setting) -> None:
    key = breakers.account_key(watched.source.account_id)
    run = watched.source.runs.get()
    breakers.outage(key, Unavailable("Google did not answer."), run)
    assert breakers.open_of([], [watched.source.account_id])
    assert look(watched) == []
    assert not breakers.open_of([], [watched.source.account_id])
    assert Event.objects.filter(code="account_up").exists()
