"""Setting a source up, and telling it what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker

from accounts.models import GoogleAccount, User
from syncapp.models import Copy, Destination, Run, Source, Version
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]


@pytest.fixture
def account(outsider: User) -> GoogleAccount:
    made: GoogleAccount = baker.make(
        GoogleAccount, user=outsider, uid="1", email="eve@gmail.example"
    )
    return made


def attic(owner: User) -> Destination:
    made: Destination = baker.make(Destination, owner=owner, name="Attic", kind="local")
    return made


def active(source: Source) -> list[str]:
    return list(Run.objects.filter(source=source, ended_at=None).values_list("kind", flat=True))


def test_setup_makes_the_source_and_starts_its_first_backup(
    account: GoogleAccount, log_in: LogIn
) -> None:
    place, client = attic(account.user), log_in(account.user)
    address = reverse("source_setup", args=[account.pk])
    page = client.get(address).content.decode()
    assert "Start the first backup" in page
    assert 'value="Drive of eve@gmail.example"' in page
    answer = client.post(address, {"name": "Papers", "destinations": [place.pk]})
    assert answer["Location"] == reverse("dashboard")
    source = Source.objects.get(account=account)
    assert (source.owner, source.name, list(source.destinations.all())) == (
        account.user,
        "Papers",
        [place],
    )
    assert source.slug
    assert active(source) == [Run.Kind.BACKUP]
    assert Run.objects.get().requested_by == account.user


def test_a_name_that_would_turn_what_is_beside_it_is_refused(
    account: GoogleAccount, owner: Owned, log_in: LogIn
) -> None:
    wish = {"name": "Papers \u202egnp", "destinations": [attic(account.user).pk]}
    setup = log_in(account.user).post(reverse("source_setup", args=[account.pk]), wish)
    edit = log_in(owner.user).post(reverse("source_edit", args=[owner.source.pk]), wish)
    for page in (setup, edit):
        assert "not seen: Papers [U+202E]gnp." in page.content.decode()
    assert not Source.objects.filter(name__startswith="Papers").exists()


def test_setup_without_a_destination_leads_to_one(account: GoogleAccount, log_in: LogIn) -> None:
    page = log_in(account.user).get(reverse("source_setup", args=[account.pk])).content.decode()
    assert "Start the first backup" not in page
    assert reverse("destination_kinds") in page


def test_setup_refuses_anothers_destination(
    account: GoogleAccount, owner: Owned, log_in: LogIn
) -> None:
    attic(account.user)
    address = reverse("source_setup", args=[account.pk])
    data = {"name": "Papers", "destinations": [owner.destinations[0].pk]}
    answer = log_in(account.user).post(address, data)
    assert answer.status_code == 200
    assert "is not one of the available choices" in answer.content.decode()
    assert not Source.objects.filter(account=account).exists()


def test_an_account_that_is_set_up_leads_to_its_settings(owner: Owned, log_in: LogIn) -> None:
    answer = log_in(owner.user).get(reverse("source_setup", args=[owner.account.pk]))
    assert answer["Location"] == reverse("source_edit", args=[owner.source.pk])


def test_settings_change_name_and_destinations_but_never_the_slug(
    owner: Owned, log_in: LogIn
) -> None:
    address = reverse("source_edit", args=[owner.source.pk])
    data = {"name": "Other", "destinations": [owner.destinations[1].pk], "slug": "other"}
    log_in(owner.user).post(address, data)
    source = Source.objects.get(pk=owner.source.pk)
    assert (source.name, source.slug) == ("Other", "ana")
    assert list(source.destinations.all()) == [owner.destinations[1]]
    answer = log_in(owner.user).post(address, {"name": "Other"})
    assert "Choose at least one destination." in answer.content.decode()


def settings_of(owner: Owned, **changes: str) -> dict[str, Any]:
    kept = {"name": "Same", "destinations": [owner.destinations[0].pk]}
    return {**kept, "mode": "realtime", "cron": "0 3 * * *", "time_zone": "", **changes}


def test_a_schedule_is_set_in_a_zone_and_said_in_words(owner: Owned, log_in: LogIn) -> None:
    client, address = log_in(owner.user), reverse("source_edit", args=[owner.source.pk])
    data = settings_of(owner, mode="scheduled", cron="0 9 * * 1-5", time_zone="Asia/Tokyo")
    page = client.post(address, data, follow=True).content.decode()
    assert "09:00 Asia/Tokyo, in " in page
    source = Source.objects.get(pk=owner.source.pk)
    assert source.next_at is not None
    assert source.next_at.astimezone(UTC).hour == 0
    page = client.get(address).content.decode()
    assert "“0 9 * * 1-5” means: At 09:00 on Monday through Friday." in page
    assert "09:00 Asia/Tokyo, in " in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mode": "scheduled", "cron": "61 * * * *"}, "bad minute"),
        ({"mode": "scheduled", "cron": "daily"}, "A schedule has 5 fields"),
        ({"mode": "scheduled", "cron": ""}, "A schedule has 5 fields"),
        ({"mode": "sometimes"}, "Select a valid choice"),
        ({"time_zone": "Europe/Atlantis"}, "There is no time zone"),
        ({"reconcile_days": "9999999"}, "less than or equal to 365"),
    ],
)
def test_settings_that_can_not_be_kept_are_refused_with_the_reason(
    owner: Owned, log_in: LogIn, changes: dict[str, str], said: str
) -> None:
    address = reverse("source_edit", args=[owner.source.pk])
    answer = log_in(owner.user).post(address, settings_of(owner, **changes))
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert Source.objects.get(pk=owner.source.pk).name == owner.source.name


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("realtime", "within 60 s of a change"),
        ("manual", "only when asked"),
    ],
)
def test_a_mode_acts_at_once_and_is_told(owner: Owned, log_in: LogIn, mode: str, said: str) -> None:
    Source.objects.update(mode="scheduled", next_at=timezone.now() + timedelta(days=1))
    client, address = log_in(owner.user), reverse("source_edit", args=[owner.source.pk])
    page = client.post(address, settings_of(owner, mode=mode), follow=True).content.decode()
    assert page.count(said) == 2, "in the message and on the source's card"
    source = Source.objects.get(pk=owner.source.pk)
    assert source.mode == mode
    assert (source.next_at is None) == (mode == "manual")


def test_settings_without_a_new_mode_leave_the_next_time_alone(owner: Owned, log_in: LogIn) -> None:
    due = timezone.now() + timedelta(hours=3)
    Source.objects.update(mode="realtime", next_at=due)
    address = reverse("source_edit", args=[owner.source.pk])
    log_in(owner.user).post(address, settings_of(owner, name="New name"))
    assert Source.objects.get(pk=owner.source.pk).next_at == due


def test_setup_takes_mode_and_bandwidth_too(account: GoogleAccount, log_in: LogIn) -> None:
    place, client = attic(account.user), log_in(account.user)
    address = reverse("source_setup", args=[account.pk])
    page = client.get(address).content.decode()
    assert re.search(r'value="realtime"[^>]*checked', page)
    data = {"name": "Papers", "destinations": [place.pk], "mode": "manual", "bwlimit": "10M"}
    client.post(address, data)
    source = Source.objects.get(account=account)
    assert (source.mode, source.bwlimit) == ("manual", "10M")


def test_settings_tell_when_changes_were_last_looked_for(owner: Owned, log_in: LogIn) -> None:
    Source.objects.update(polled_at=timezone.now() - timedelta(seconds=20), mode="realtime")
    address = reverse("source_edit", args=[owner.source.pk])
    page = log_in(owner.user).get(address).content.decode()
    assert re.search(r"\b[2-5]\d seconds ago", page), "however long the page took"
    assert "off: Google can only call a public https address" in page


def test_sync_now_starts_one_backup_however_often_it_is_pressed(
    owner: Owned, log_in: LogIn
) -> None:
    client, address = log_in(owner.user), reverse("source_backup", args=[owner.source.pk])
    client.post(address)
    answer = client.post(address, follow=True).content.decode()
    assert "is under way already" in answer
    assert active(owner.source) == [Run.Kind.BACKUP]


def test_verify_starts_a_verification(owner: Owned, log_in: LogIn) -> None:
    log_in(owner.user).post(reverse("source_verify", args=[owner.source.pk]))
    assert active(owner.source) == [Run.Kind.VERIFY]


def test_pause_and_resume(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    client.post(reverse("source_pause", args=[owner.source.pk]))
    assert Source.objects.get(pk=owner.source.pk).paused
    assert reverse("source_resume", args=[owner.source.pk]) in (
        client.get(reverse("dashboard")).content.decode()
    )
    client.post(reverse("source_resume", args=[owner.source.pk]))
    assert not Source.objects.get(pk=owner.source.pk).paused


@pytest.mark.parametrize("name", ["backup", "verify", "drill", "prune", "approve"])
def test_what_is_asked_of_a_paused_source_is_refused_and_begins_nothing(
    owner: Owned, log_in: LogIn, name: str
) -> None:
    Source.objects.update(paused=True, blocked_code="mass_change" if name == "approve" else "")
    client = log_in(owner.user)
    address = reverse(f"source_{name}", args=[owner.source.pk])
    page = client.post(address, follow=True).content.decode()
    assert f"{owner.source.name} is paused: resume it first." in page
    assert active(owner.source) == []
    assert reverse("source_backup", args=[owner.source.pk]) not in page


def test_what_failed_of_a_paused_source_waits_until_it_goes_on(owner: Owned, log_in: LogIn) -> None:
    Source.objects.update(paused=True)
    page = log_in(owner.user).post(reverse("retry_all"), follow=True).content.decode()
    assert f"{owner.source.name} is paused: its files wait until it goes on." in page
    assert active(owner.source) == []
    assert not Version.objects.filter(state=Version.State.FAILED).exists()


def test_one_failed_file_is_tried_again_and_the_others_are_left(
    owner: Owned, log_in: LogIn
) -> None:
    other = baked.failed(
        baked.file(owner.source, "other", "", "other"), owner.destinations, owner.run
    )
    first = Version.objects.get(file__remote_id="broken")
    address = reverse("source_retry", args=[owner.source.pk])
    log_in(owner.user).post(address, {"version": first.pk, "next": reverse("failures")})
    first.refresh_from_db()
    other.refresh_from_db()
    assert (first.state, first.attempts) == (Version.State.PENDING, 0)
    assert other.state == Version.State.FAILED
    assert not first.copies.filter(state=Copy.State.FAILED).exists()
    assert active(owner.source) == [Run.Kind.BACKUP]


def test_anothers_failed_file_is_not_tried_again(
    owner: Owned, teammate: Owned, log_in: LogIn
) -> None:
    theirs = Version.objects.get(file__remote_id="broken", source=teammate.source)
    address = reverse("source_retry", args=[owner.source.pk])
    log_in(owner.user).post(address, {"version": theirs.pk})
    theirs.refresh_from_db()
    assert theirs.state == Version.State.FAILED


def test_retry_all_tries_failed_files_and_refused_ones_only_if_asked(
    owner: Owned, log_in: LogIn
) -> None:
    late = baked.file(owner.source, "late", "", "late")
    refused = baked.stored(late, [], state=Version.State.REFUSED)
    client = log_in(owner.user)
    page = client.post(reverse("retry_all"), follow=True).content.decode()
    assert "1 file will be tried again." in page
    refused.refresh_from_db()
    assert refused.state == Version.State.REFUSED
    client.post(reverse("retry_all"), {"refused": "1"})
    refused.refresh_from_db()
    assert refused.state == Version.State.PENDING
    assert "There is nothing to try again." in (
        client.post(reverse("retry_all"), follow=True).content.decode()
    )
