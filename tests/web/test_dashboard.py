"""The first page: what it says in each state, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker

from accounts.models import GoogleAccount, User
from syncapp.models import Copy, Destination, Event, Run, Source, Version
from syncapp.web import totals
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]


def shown(client: Client, name: str = "dashboard") -> str:
    cache.clear()
    return client.get(reverse(name)).content.decode()


def sentence(page: str) -> str:
    return page.split("<h1>")[1].split("</h1>", maxsplit=1)[0]


def settle(owner: Owned) -> None:
    """Leave the person with one file, stored and verified everywhere."""
    Version.objects.filter(source=owner.source, state=Version.State.FAILED).delete()
    Event.objects.all().update(acknowledged_at=timezone.now())


def test_a_complete_backup_is_green(owner: Owned, log_in: LogIn) -> None:
    settle(owner)
    baked.worker()
    page = shown(log_in(owner.user))
    assert sentence(page) == "Everything is stored and verified in 2 destinations"
    assert "hero-ok" in page
    assert "1 file" in page


def test_a_missing_worker_is_the_first_thing_said(owner: Owned, log_in: LogIn) -> None:
    page = shown(log_in(owner.user))
    assert sentence(page) == "No worker is running"
    assert "manage.py runworkers" in page


def test_a_worker_that_fell_silent_is_missing(owner: Owned, log_in: LogIn) -> None:
    worker = baked.worker()
    type(worker).objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert sentence(shown(log_in(owner.user))) == "No worker is running"


def test_failed_files_are_listed_with_path_reason_and_destination(
    owner: Owned, log_in: LogIn
) -> None:
    baked.worker()
    page = shown(log_in(owner.user))
    assert sentence(page) == "1 file failed"
    for text in ("My Drive", "Letters", "broken.bin", "Cellar refuses the key"):
        assert text in page


def test_an_account_to_reconnect_is_named(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    GoogleAccount.objects.update(
        state=GoogleAccount.State.RECONNECT, state_reason="The password was changed."
    )
    page = shown(log_in(owner.user))
    assert sentence(page) == "Reconnect ana@gmail.example"
    assert "The password was changed." in page


def test_a_new_person_is_led_step_by_step(outsider: User, log_in: LogIn) -> None:
    client = log_in(outsider)
    page = shown(client)
    assert sentence(page) == "Nothing is backed up yet"
    assert reverse("google_accounts") in page
    assert "hero-ok" not in page
    account = baker.make(GoogleAccount, user=outsider, uid="1", email="eve@gmail.example")
    baker.make(Destination, owner=outsider, name="Attic", kind="local")
    page = shown(client)
    assert page.count("· done") == 2
    assert reverse("source_setup", args=[account.pk]) in page


def test_the_steps_are_shown_until_a_backup_has_succeeded(owner: Owned, log_in: LogIn) -> None:
    owner.source.files.all().delete()
    Run.objects.update(outcome=Run.Outcome.FAILED)
    assert "Your first backup" in shown(log_in(owner.user))
    Run.objects.update(outcome=Run.Outcome.WARNINGS)
    assert "Your first backup" not in shown(log_in(owner.user))


def test_a_destination_that_is_switched_off_is_told_where_a_source_is_kept(
    owner: Owned, log_in: LogIn
) -> None:
    off = owner.source.destinations.order_by("pk").first()
    assert off
    assert "(switched off)" not in shown(log_in(owner.user))
    Destination.objects.filter(pk=off.pk).update(enabled=False)
    assert f"{off.name} (switched off)" in shown(log_in(owner.user))


def test_a_backup_whose_listing_saw_no_file_is_not_green(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    owner.source.files.all().delete()
    Run.objects.update(scan=Run.Scan.FULL, files_seen=0, files_failed=0)
    page = shown(log_in(owner.user))
    assert sentence(page) == "The last backup found no files in Drive of ana"
    assert "hero-warning" in page
    unchanged(owner)
    page = shown(log_in(owner.user))
    assert sentence(page) == "The last backup found no files in Drive of ana"


def test_a_backup_without_a_change_says_what_the_one_before_said(
    owner: Owned, log_in: LogIn
) -> None:
    baked.worker()
    settle(owner)
    unchanged(owner)
    page = shown(log_in(owner.user))
    assert sentence(page) == "Everything is stored and verified in 2 destinations"
    assert "Your first backup" not in page


def test_a_backup_that_failed_is_a_try_and_not_the_last_backup(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    settle(owner)
    client = log_in(owner.user)
    assert "the last try" not in told(shown(client))
    failed = unchanged(owner, outcome=Run.Outcome.FAILED, error_message="The token was revoked.")
    unchanged(owner, outcome=Run.Outcome.CANCELLED)
    page = told(shown(client))
    assert "Last backup 5 minutes ago ; the last try failed 2 minutes ago" in page
    assert "The last backup of Drive of ana failed The token was revoked." in page
    assert "Last backup 5 minutes ago Last try failed 2 minutes ago" in page
    Run.objects.filter(pk=owner.run.pk).delete()
    assert "No backup has succeeded so far; the last try failed 2 minutes ago" in told(
        shown(client)
    )
    assert "Last backup never Last try failed 2 minutes ago" in told(shown(client))
    failed.delete()
    assert "Last backup never Next" in told(shown(client))


def test_what_the_headline_says_is_not_said_again(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    settle(owner)
    reason = "Of 676 files 401 would go to the trash: more than the guard allows."
    Source.objects.update(blocked_code="mass_change", blocked_reason=reason)
    run = unchanged(owner, outcome=Run.Outcome.FAILED, error_message=reason)
    for message in (f"Backup of Drive of ana: {reason}", "Something else."):
        baker.make(
            Event, owner=owner.user, source=owner.source, run=run, level="alert", message=message
        )
    page = shown(log_in(owner.user))
    assert sentence(page).endswith("be backed up at the moment")
    assert page.count(reason) == 1
    assert "Something else." in page
    assert "Approve the changes" in page


def told(page: str) -> str:
    """What a person reads, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def unchanged(owner: Owned, **fields: object) -> Run:
    """Leave the person with a later backup, whose change log named no file."""
    run: Run = baker.make(
        Run,
        source=owner.source,
        stage=Run.Stage.DONE,
        scan=Run.Scan.CHANGES,
        ended_at=timezone.now() - timedelta(minutes=2),
        **{"outcome": Run.Outcome.OK, **fields},
    )
    return run


def test_a_run_under_way_shows_its_progress(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    settle(owner)
    run = baker.make(
        Run,
        source=owner.source,
        stage=Run.Stage.TRANSFER,
        started_at=timezone.now() - timedelta(seconds=20),
        transfer_started_at=timezone.now() - timedelta(seconds=10),
        files_total=100,
        files_done=25,
        bytes_total=4_000_000,
        bytes_done=1_000_000,
    )
    page = shown(log_in(owner.user))
    assert sentence(page) == "Backing up Drive of ana"
    assert f'data-run="{run.pk}"' in page
    assert 'max="100" value="25"' in page
    assert 'aria-label="Backup of Drive of ana"' in page


def test_only_a_backup_under_way_is_said_to_back_up(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    settle(owner)
    restore = baker.make(Run, source=owner.source, kind=Run.Kind.RESTORE, paused=True)
    verification = baker.make(
        Run, source=owner.source, kind=Run.Kind.VERIFY, stage=Run.Stage.VERIFY
    )
    page = shown(log_in(owner.user))
    assert sentence(page) == "Everything is stored and verified in 2 destinations"
    assert f"{restore} · Paused" in page
    assert f'{verification} · <span data-field="stage">Verifying' in page
    assert reverse("source_backup", args=[owner.source.pk]) in page
    assert reverse("source_verify", args=[owner.source.pk]) not in page
    assert reverse("run_cancel", args=[restore.pk]) not in page


def test_a_restore_that_waits_for_a_person_says_why(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    settle(owner)
    restore = baker.make(
        Run,
        source=owner.source,
        kind=Run.Kind.RESTORE,
        paused=True,
        error_code="disk_full",
        error_message="The disk is full.",
    )
    page = shown(log_in(owner.user))
    assert sentence(page) == f"{restore} of Drive of ana waits for you"
    assert "The disk is full." in page
    assert f"{restore} · Waits for you" in page


def test_a_backup_that_a_pause_holds_up_is_not_under_way(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    settle(owner)
    Source.objects.update(paused=True)
    backup = baker.make(Run, source=owner.source)
    page = shown(log_in(owner.user))
    assert sentence(page) == "Drive of ana is paused"
    assert f"{backup} · Paused" in page
    assert reverse("run_cancel", args=[backup.pk]) in page


def test_an_open_alert_is_shown_until_somebody_takes_note(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    assert owner.alert.message in shown(client)
    client.post(reverse("acknowledge", args=[owner.alert.pk]))
    owner.alert.refresh_from_db()
    assert owner.alert.acknowledged_at is not None
    assert owner.alert.message not in shown(client)
    assert owner.alert.message in shown(client, "log")


def test_refused_files_are_counted_by_reason(owner: Owned, log_in: LogIn) -> None:
    for number in range(3):
        baked.file(
            owner.source,
            f"map{number}",
            owner.folder.remote_id,
            f"map {number}",
            problem="unsupported_type",
            problem_message="Google offers no way to read a map.",
        )
    late = baked.file(owner.source, "abuse", owner.folder.remote_id, "abuse")
    baked.stored(
        late, [], state=Version.State.REFUSED, error_code="abuse", error_message="Flagged."
    )
    page = shown(log_in(owner.user))
    assert "Google offers no way to read a map." in page
    assert "Flagged." in page
    assert page.index("unsupported_type") < page.index('<code class="code">abuse')


def queries(client: Client, name: str = "dashboard") -> int:
    cache.clear()
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(reverse(name)).status_code == 200
    return len(captured)


@pytest.mark.parametrize("name", ["dashboard", "failures", "log"])
def test_the_number_of_queries_is_fixed(owner: Owned, log_in: LogIn, name: str) -> None:
    client = log_in(owner.user)
    before = queries(client, name)
    for number in range(5):
        account = baker.make(
            GoogleAccount, user=owner.user, uid=f"u{number}", email=f"{number}@x.example"
        )
        source = baker.make(
            Source, owner=owner.user, account=account, name=f"S{number}", slug=f"s{number}"
        )
        source.destinations.set(owner.destinations)
        run = baker.make(Run, source=source, ended_at=timezone.now(), outcome=Run.Outcome.OK)
        baker.make(Run, source=source)
        broken = baked.file(source, f"b{number}", "", f"broken {number}")
        baked.failed(broken, owner.destinations, run)
        baker.make(Event, owner=owner.user, source=source, run=run, level="alert", message="!")
    assert queries(client, name) == before


def test_a_large_catalog_is_counted_apart_from_the_page(
    owner: Owned, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[User] = []
    monkeypatch.setattr(totals, "COUNTED_INLINE", 0)
    monkeypatch.setattr(
        totals.threading.Thread, "start", lambda self: counted.append(self._args[0])
    )
    baked.worker()
    settle(owner)
    page = shown(log_in(owner.user))
    assert counted == [owner.user]
    assert "counting…" in page
    assert sentence(page) == "The last backup to 2 destinations is complete"
    # A second page does not start a second count; when it is done, the figures appear.
    log_in(owner.user).get(reverse("dashboard"))
    assert counted == [owner.user]
    totals._count(owner.user)
    assert "counting…" not in log_in(owner.user).get(reverse("dashboard")).content.decode()


def test_a_quiet_source_is_current_as_long_as_its_log_is_read(owner: Owned, log_in: LogIn) -> None:
    baked.worker()
    Run.objects.update(ended_at=timezone.now() - timedelta(days=30), outcome="ok")
    Version.objects.update(state=Version.State.STORED)
    Copy.objects.update(state=Copy.State.VERIFIED, stored_at=timezone.now(), object_key="k")
    client = log_in(owner.user)
    Source.objects.update(mode="realtime", polled_at=timezone.now())
    assert "verified in 2 destinations" in client.get(reverse("dashboard")).content.decode()
    Source.objects.update(polled_at=timezone.now() - timedelta(hours=2))
    assert "was not asked for changes" in client.get(reverse("dashboard")).content.decode()
    Source.objects.update(mode="manual")
    assert "The last backup was 30 days ago" in client.get(reverse("dashboard")).content.decode()
