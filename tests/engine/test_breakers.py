"""Circuit breakers: opened by failures in a row, tried once after each pause, closed by success."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import GoogleAccount, User
from syncapp.engine import breakers
from syncapp.engine.breakers import Breakers, End, destination_key, pause_s
from syncapp.errors import BackupError, ConfigurationError, IntegrityError, Unavailable
from syncapp.models import Breaker, Destination, Event, File, Run, Source, Version

pytestmark = pytest.mark.django_db
DOWN = Unavailable("The bucket does not answer.")


@pytest.fixture
def run() -> Run:
    owner = User.objects.create_user("o", "o@example.org", "a long passphrase")
    account = GoogleAccount.objects.create(user=owner, uid="1", email="o@example.org")
    source = Source.objects.create(owner=owner, account=account, name="Drive", slug="drive")
    source.destinations.add(Destination.objects.create(owner=owner, name="Bucket", kind="local"))
    return Run.objects.create(source=source)


@pytest.fixture
def key(run: Run) -> str:
    return destination_key(run.source.destinations.get().pk)


@pytest.fixture
def lane(run: Run, monkeypatch: pytest.MonkeyPatch) -> Breakers:
    monkeypatch.setattr(breakers, "LOOK_S", 0.0)
    monkeypatch.setattr(breakers, "FIRST_PAUSE_S", 15.0)
    return a_lane(run)


def a_lane(run: Run) -> Breakers:
    return Breakers(run, run.source.destinations.values_list("pk", flat=True))


def ended(*errors: BackupError | None, first: int = 1) -> list[End]:
    return [End(first + n, 1, error) for n, error in enumerate(errors)]


def pause_is_over(key: str) -> None:
    Breaker.objects.filter(key=key).update(retry_at=timezone.now())


def test_it_opens_after_five_failures_in_a_row_and_says_when_it_tries_again(
    lane: Breakers, key: str
) -> None:
    lane.count(key, ended(DOWN, DOWN, DOWN, DOWN))
    assert not lane.is_open(key)
    lane.count(key, ended(DOWN, first=9))
    assert lane.is_open(key)
    row = Breaker.objects.get(key=key)
    assert (row.state, row.opened, row.error_code) == ("open", 1, "unavailable")
    event = Event.objects.get(code="destination_down")
    assert event.destination is not None
    assert f"the next try is at {timezone.localtime(row.retry_at):%H:%M:%S}" in event.message
    assert "The bucket does not answer." in event.message


def test_failures_are_counted_across_workers(run: Run, lane: Breakers, key: str) -> None:
    other = a_lane(run)
    lane.count(key, ended(DOWN, DOWN, DOWN))
    other.count(key, ended(DOWN, DOWN, first=4))
    lane.look()
    assert lane.is_open(key)
    assert Event.objects.filter(code="destination_down").count() == 1


def test_a_success_in_between_starts_the_count_anew(lane: Breakers, key: str) -> None:
    lane.count(key, ended(DOWN, DOWN, DOWN, DOWN))
    lane.count(key, ended(None, DOWN, DOWN, DOWN, DOWN, first=5))
    assert not lane.is_open(key)
    assert Breaker.objects.get(key=key).failures == 4


def test_one_file_that_fails_again_and_again_opens_nothing(lane: Breakers, key: str) -> None:
    for attempt in range(1, 20):
        lane.count(key, [End(1, attempt, DOWN)])
    assert not lane.is_open(key)


def test_errors_of_files_are_no_outage(lane: Breakers, key: str) -> None:
    wrong = IntegrityError("other bytes")
    lane.count(key, ended(*[wrong] * 20))
    assert not Breaker.objects.exists()


def test_a_full_destination_opens_at_once(lane: Breakers, key: str) -> None:
    lane.count(key, ended(ConfigurationError("It is full.", code="destination_full")))
    assert lane.is_open(key)


def test_successes_alone_cost_no_query(
    lane: Breakers, key: str, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        for n in range(100):
            lane.count(key, ended(None, None, first=2 * n))


def test_of_many_lanes_one_makes_the_try(run: Run, lane: Breakers, key: str) -> None:
    lane.count(key, ended(*[DOWN] * 5))
    lanes = [lane, *(a_lane(run) for _ in range(4))]
    for each in lanes:
        each.look()
    assert not any(each.claim_try(key) for each in lanes), "too early"
    pause_is_over(key)
    for each in lanes:
        each.look()
    assert [each.claim_try(key) for each in lanes].count(True) == 1
    assert Event.objects.filter(code="destination_tried").count() == 1


def test_a_try_that_fails_doubles_the_pause_and_one_that_succeeds_closes(
    lane: Breakers, key: str
) -> None:
    lane.count(key, ended(*[DOWN] * 5))
    for opened in (2, 3):
        pause_is_over(key)
        lane.look()
        assert lane.claim_try(key)
        lane.count(key, ended(DOWN))
        row = Breaker.objects.get(key=key)
        assert (row.state, row.opened) == ("open", opened)
        left = (row.retry_at - timezone.now()).total_seconds()
        assert pause_s(opened) - 5 < left <= pause_s(opened)
    pause_is_over(key)
    lane.look()
    assert lane.claim_try(key)
    lane.count(key, ended(None))
    row = Breaker.objects.get(key=key)
    assert (row.state, row.opened, row.failures, row.retry_at) == ("closed", 0, 0, None)
    assert Event.objects.filter(code="destination_up").count() == 1


def test_a_try_whose_worker_died_is_made_by_another(run: Run, lane: Breakers, key: str) -> None:
    lane.count(key, ended(*[DOWN] * 5))
    pause_is_over(key)
    lane.look()
    assert lane.claim_try(key)
    other = a_lane(run)
    other.look()
    assert not other.claim_try(key)
    pause_is_over(key)  # TRY_S has passed
    other.look()
    assert other.claim_try(key)


def test_a_straggler_that_succeeds_closes_it(lane: Breakers, key: str) -> None:
    lane.count(key, ended(*[DOWN] * 5))
    lane.count(key, ended(None, first=7))
    assert not lane.is_open(key)


def test_a_failed_scan_opens_the_accounts_at_once_and_doubles_when_it_fails_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers, "FIRST_PAUSE_S", 15.0)
    key = breakers.account_key(run.source.account_id)
    first = breakers.outage(key, DOWN, run)
    assert breakers.outage(key, DOWN, run) == first, "too early to count as a try"
    pause_is_over(key)
    second = breakers.outage(key, DOWN, run)
    assert second - timezone.now() > timedelta(seconds=25)
    assert Event.objects.filter(code="account_down").count() == 2
    assert breakers.close(key, run)
    assert not breakers.close(key, run)
    assert Event.objects.get(code="account_up").source == run.source


def test_pauses_double_up_to_10_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "FIRST_PAUSE_S", 15.0)
    assert [pause_s(n) for n in range(1, 9)] == [15, 30, 60, 120, 240, 480, 600, 600]
    assert pause_s(2000) == 600


def test_a_file_set_to_wait_after_the_destination_was_found_well_does_not_wait_for_an_hour(
    run: Run, lane: Breakers, key: str
) -> None:
    lane.count(key, ended(DOWN, DOWN, DOWN, DOWN, DOWN))
    later = timezone.now() + timedelta(hours=1)
    file = File.objects.create(source=run.source, remote_id="1", name="a")
    version = Version.objects.create(
        source=run.source, file=file, due_at=later, error_code="destination_down"
    )
    assert breakers.free_stranded(run.source) == 0  # it is down indeed
    Breaker.objects.filter(key=key).update(state="closed")

    assert breakers.free_stranded(run.source) == 1
    version.refresh_from_db()
    assert version.due_at <= timezone.now()
    assert version.error_code == ""
