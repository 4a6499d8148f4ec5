"""The log and the page of a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker

from accounts.models import User
from syncapp.models import Attempt, Event, Run, Version
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]


def report(owner: Owned, number: int, **fields: object) -> None:
    for n in range(number):
        baker.make(Event, owner=owner.user, **{"message": f"event {n:03}", **fields})


def all_messages(client: Client, address: str) -> list[str]:
    """Every message of a log, page after page."""
    found: list[str] = []
    link = ""
    while True:
        page = client.get(address + link).content.decode()
        found += re.findall(r"event \d{3}", page)
        following = re.search(r'rel="next" href="([^"]*)"', page)
        if not following:
            return found
        link = unescape(following[1])


def test_the_log_has_every_event_once_newest_first(owner: Owned, log_in: LogIn) -> None:
    report(owner, 120)
    found = all_messages(log_in(owner.user), reverse("log"))
    assert found == [f"event {n:03}" for n in reversed(range(120))]


def test_filters_stay_from_page_to_page(owner: Owned, log_in: LogIn) -> None:
    report(owner, 60, level="warning", source=owner.source)
    report(owner, 60, message="event 999", level="info")
    address = f"{reverse('log')}?level=warning&source={owner.source.pk}"
    client = log_in(owner.user)
    first = client.get(address).content.decode()
    link = re.search(r'rel="next" href="([^"]*)"', first)
    assert link
    second = client.get(reverse("log") + unescape(link[1])).content.decode()
    assert "event 999" not in first + second
    assert len(re.findall(r"event \d{3}", first + second)) == 60


@pytest.mark.parametrize("query", ["level=nonsense", "source=x", "before=x", "before=" + "9" * 40])
def test_a_filter_made_up_by_hand_is_no_error(owner: Owned, log_in: LogIn, query: str) -> None:
    page = log_in(owner.user).get(f"{reverse('log')}?{query}")
    assert page.status_code == 200
    assert owner.alert.message in page.content.decode()


def test_only_the_first_page_of_the_log_is_live(owner: Owned, log_in: LogIn) -> None:
    report(owner, 60)
    client = log_in(owner.user)
    assert 'id="events" data-live' in client.get(reverse("log")).content.decode()
    assert "data-live" not in client.get(reverse("log"), {"before": "50"}).content.decode()


def test_a_message_with_a_hostile_name_is_harmless(owner: Owned, log_in: LogIn) -> None:
    report(owner, 1, message="stored <img src=x onerror=alert(1)>\u202e")
    page = log_in(owner.user).get(reverse("log")).content.decode()
    assert "<img src=x" not in page
    assert "[U+202E]" in page


def test_an_empty_log_says_so(outsider: User, log_in: LogIn) -> None:
    assert "Nothing was reported so far" in log_in(outsider).get(reverse("log")).content.decode()


def test_a_run_shows_counts_failures_by_reason_and_its_own_log(owner: Owned, log_in: LogIn) -> None:
    other = baker.make(Run, source=owner.source, kind=Run.Kind.VERIFY)
    report(owner, 1, run=owner.run)
    report(owner, 1, run=other, message="of another run")
    page = log_in(owner.user).get(reverse("run", args=[owner.run.pk])).content.decode()
    assert "event 000" in page
    assert "of another run" not in page
    assert "Cellar refuses the key" in page
    assert "4 min 0 s" in page
    assert "3 files · 3.0 MB" in page


def test_a_run_names_a_file_of_each_failure_and_links_to_what_is_not_backed_up(
    owner: Owned, log_in: LogIn
) -> None:
    broken = Version.objects.get(source=owner.source, state=Version.State.FAILED).file
    page = log_in(owner.user).get(reverse("run", args=[owner.run.pk])).content.decode()
    link = reverse("file", args=[owner.source.pk, broken.pk])
    assert link in page
    assert "more</td>" not in page
    assert f'href="{reverse("refused")}"' in page
    baked.failed(baked.file(owner.source, "b2", "", "b2"), owner.destinations, owner.run)
    page = log_in(owner.user).get(reverse("run", args=[owner.run.pk])).content.decode()
    assert link in page
    assert "and 1 more</td>" in page


def test_a_run_under_way_tells_each_figure_once_and_does_not_link_to_itself(
    owner: Owned, log_in: LogIn
) -> None:
    address = reverse("run", args=[owner.run.pk])
    client = log_in(owner.user)
    assert "<dt>Done</dt>" in client.get(address).content.decode()
    Run.objects.update(ended_at=None, outcome=Run.Outcome.RUNNING, stage=Run.Stage.TRANSFER)
    page = client.get(address).content.decode()
    for name in ("Done", "To do", "Moved or trashed", "Failed", "Refused when read"):
        assert page.count(f"<dt>{name}</dt>") == (name not in ("Done", "To do")), name
    assert "Details" not in page


def test_a_verification_counts_copies_and_says_so(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    run = baker.make(Run, source=owner.source, kind=Run.Kind.VERIFY, files_total=2, files_done=1)
    page = client.get(reverse("run", args=[run.pk])).content.decode()
    assert "<dt>Copies</dt>" in page
    assert "<dt>Refused when read</dt>" not in page
    Run.objects.filter(pk=run.pk).update(ended_at=timezone.now(), outcome=Run.Outcome.OK)
    page = client.get(reverse("run", args=[run.pk])).content.decode()
    assert "1 copy" in page
    assert "1 copy" in client.get(reverse("dashboard")).content.decode()


def test_the_number_of_queries_of_a_run_is_fixed(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    address = reverse("run", args=[owner.run.pk])

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(address)
        return len(captured)

    count()  # totals are remembered from here on
    before = count()
    report(owner, 40, run=owner.run)
    for number in range(8):
        made = baked.file(owner.source, f"r{number}", "", f"r{number}")
        baked.failed(made, owner.destinations, owner.run)
    Attempt.objects.filter(version__file__remote_id="r3").update(error_code="other")
    assert count() == before


def test_a_run_under_way_can_be_cancelled(owner: Owned, log_in: LogIn) -> None:
    run = baker.make(Run, source=owner.source)
    client = log_in(owner.user)
    address = reverse("run_cancel", args=[run.pk])
    assert address in client.get(reverse("run", args=[run.pk])).content.decode()
    client.post(address)
    run.refresh_from_db()
    assert run.outcome == Run.Outcome.CANCELLED
    assert address not in client.get(reverse("run", args=[run.pk])).content.decode()


def test_a_run_tells_what_began_it_and_how_google_was_read(owner: Owned, log_in: LogIn) -> None:
    Run.objects.filter(pk=owner.run.pk).update(trigger="change", scan="changes")
    page = log_in(owner.user).get(reverse("run", args=[owner.run.pk])).content.decode()
    assert "begun by: A change in Google" in page
    assert "<dd>Change log</dd>" in page
