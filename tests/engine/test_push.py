"""Google calls when something changes: channels are kept, calls proved, and only a hint."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import linking
from syncapp.engine import poll, push, schedule
from syncapp.engine.adapters import source_for
from syncapp.models import Channel, Event, Source
from syncapp.sources.google_drive import GoogleDriveSource
from tests.engine.conftest import Setting, make_setting
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info
from tests.servers.workers import wait_until

HOOK = "/hooks/google-drive/"


@pytest.fixture
def watched(few: Setting, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """Backed up once, in real time, and reachable for the stand-in."""
    few.back_up()
    Source.objects.update(mode="realtime", polled_at=None)
    monkeypatch.setattr(push, "address", lambda: live_server.url + HOOK)
    few.source.refresh_from_db()
    yield few
    # No call may come when the test's tables are gone.
    push.stop_all(few.source)


def look(setting: Setting) -> None:
    Source.objects.update(polled_at=None)
    poll.poll(setting.source.pk)
    setting.source.refresh_from_db()


def at_google(setting: Setting) -> set[str]:
    return {channel["id"] for channel in setting.control.channels()}


def here(setting: Setting) -> set[str]:
    return set(Channel.objects.filter(source=setting.source).values_list("channel_id", flat=True))


@pytest.fixture
def with_drives(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    """An account with shared drives."""
    with running_emulator("sample") as google:
        yield make_setting(google, s3_server, tmp_path, settings)


@pytest.mark.parametrize(
    ("url", "mode", "public"),
    [
        ("https://backup.example.org", "auto", True),
        ("https://backup.example.org/under/here", "auto", True),
        ("https://backup.example.org", "off", False),
        ("http://127.0.0.1:8000", "on", True),
        ("http://backup.example.org", "auto", False),
        ("https://localhost:8443", "auto", False),
        ("https://127.0.0.1", "auto", False),
        ("https://[::1]", "auto", False),
        ("https://192.168.1.4", "auto", False),
        ("https://10.1.2.3:8000", "auto", False),
    ],
)
def test_google_is_given_a_public_https_address_or_what_a_person_insists_on(
    settings: Any, url: str, mode: str, public: bool
) -> None:
    settings.PUBLIC_URL, settings.PUSH = url, mode
    assert push.address() == (url + HOOK if public else None)


def test_without_a_public_address_there_is_no_channel(watched: Setting, monkeypatch: Any) -> None:
    monkeypatch.setattr(push, "address", lambda: None)
    look(watched)
    assert at_google(watched) == here(watched) == set()


def test_a_change_brings_the_next_look_forward(watched: Setting) -> None:
    look(watched)
    assert at_google(watched) == here(watched) != set()
    wait_until(lambda: push.alive(watched.source), 5, "Google's first call")
    assert schedule.next_time(watched.source, timezone.now()) > timezone.now() + timedelta(
        seconds=500
    )
    later = timezone.now() + timedelta(seconds=600)
    Source.objects.update(next_at=later, polled_at=None)
    watched.control.create("new.txt", b"new")

    def is_due() -> bool:
        watched.source.refresh_from_db()
        return bool(watched.source.next_at <= timezone.now())

    wait_until(is_due, 5, "the push")
    channel = Channel.objects.get()
    assert channel.messages > 1
    assert channel.last_message_at is not None


def test_a_channel_that_ends_soon_gets_a_successor_before_it_is_closed(
    watched: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(watched)
    look(watched)
    [old] = here(watched)
    now = timezone.now()
    Channel.objects.update(
        created_at=now - timedelta(days=6), expires_at=now + timedelta(minutes=15)
    )
    order: list[str] = []
    for name in ("watch", "stop_watching"):
        real = getattr(GoogleDriveSource, name)

        def noted(self: Any, *args: Any, _real: Any = real, **more: Any) -> Any:
            order.append(_real.__name__)
            return _real(self, *args, **more)

        monkeypatch.setattr(GoogleDriveSource, name, noted)
    look(watched)
    [new] = here(watched)
    assert new != old
    assert at_google(watched) == {new}
    assert order == ["watch", "stop_watching"]


def test_the_old_channel_stays_when_no_new_one_can_be_opened(watched: Setting) -> None:
    look(watched)
    [old] = here(watched)
    now = timezone.now()
    Channel.objects.update(
        created_at=now - timedelta(days=6), expires_at=now + timedelta(minutes=15)
    )
    watched.control.add_fault("/changes/watch", status=503)
    look(watched)
    assert here(watched) == {old}
    assert at_google(watched) == {old}


def test_a_refusal_is_told_once_and_polling_goes_on(watched: Setting) -> None:
    fault = watched.control.add_fault("/changes/watch", status=400, reason="push.webhookUrlInvalid")
    look(watched)
    look(watched)
    Channel.objects.update(expires_at=timezone.now())  # an hour later
    look(watched)
    told = Event.objects.get(code="push_refused")
    assert told.level == "warning"
    assert watched.source.blocked_code == ""
    assert watched.source.polled_at is not None
    assert not push.alive(watched.source)
    watched.control.clear_faults(fault)
    Channel.objects.update(expires_at=timezone.now())
    look(watched)
    assert at_google(watched) == here(watched) != set()


@pytest.mark.parametrize("change", [{"mode": "manual"}, {"mode": "scheduled"}, {"paused": True}])
def test_channels_are_closed_when_nobody_reads_by_push_any_more(
    watched: Setting, change: dict[str, Any], monkeypatch: Any
) -> None:
    look(watched)
    tasks: list[tuple[str, int]] = []
    monkeypatch.setattr(schedule, "async_task", lambda *task, **_: tasks.append(task))
    schedule.care(timezone.now())
    assert tasks == []
    Source.objects.update(**change)
    schedule.care(timezone.now())
    assert tasks == [("syncapp.tasks.stop_push", watched.source.pk)]
    push.stop(watched.source.pk)
    assert at_google(watched) == here(watched) == set()


def test_channels_are_closed_before_an_account_is_unlinked(watched: Setting) -> None:
    look(watched)
    assert at_google(watched)
    linking.unlink(watched.source.account)
    assert at_google(watched) == here(watched) == set()


def test_shared_drives_that_come_and_go_get_and_lose_a_channel(
    with_drives: Setting, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "address", lambda: live_server.url + HOOK)
    reader, source = source_for(with_drives.source), with_drives.source
    source.cursor = reader.start_cursor()
    drives = set(source.cursor["drives"])
    assert drives
    push.keep(source, reader)
    assert set(Channel.objects.values_list("scope", flat=True)) == {"user", *drives}
    assert at_google(with_drives) == here(with_drives)
    left = drives.pop()
    with_drives.control.mutate("leave_drive", drive_id=left)
    source.cursor = reader.start_cursor()
    push.keep(source, reader)
    assert set(Channel.objects.values_list("scope", flat=True)) == {"user", *drives}
    assert at_google(with_drives) == here(with_drives)
    push.stop_all(source)


@pytest.fixture
def channel(watched: Setting) -> Channel:
    later = timezone.now() + timedelta(hours=1)
    Source.objects.update(next_at=later, polled_at=None)
    return Channel.objects.create(
        source=watched.source, scope="user", channel_id="c-1", token="t0ken", expires_at=later
    )


def call(**headers: str) -> int:
    said = {f"X-Goog-{name.replace('_', '-')}": value for name, value in headers.items()}
    return (
        Client(enforce_csrf_checks=True)
        .post(reverse("google_drive_push"), headers=said)
        .status_code
    )


def seconds_to_next() -> float:
    return (Source.objects.get().next_at - timezone.now()).total_seconds()


@pytest.mark.parametrize("state", ["change", "changed"])
def test_a_call_with_the_right_token_is_heard(channel: Channel, state: str) -> None:
    answer = call(
        Channel_ID="c-1", Channel_Token="t0ken", Resource_State=state, Message_Number="17"
    )
    assert answer == 204
    assert seconds_to_next() <= 0
    channel.refresh_from_db()
    assert channel.messages == 17


def test_the_first_call_only_tells_that_the_way_is_open(channel: Channel) -> None:
    assert call(Channel_ID="c-1", Channel_Token="t0ken", Resource_State="sync") == 204
    assert seconds_to_next() > 3000
    channel.refresh_from_db()
    assert channel.last_message_at


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Channel_ID": "c-1"},
        {"Channel_ID": "c-1", "Channel_Token": "other", "Resource_State": "change"},
        {"Channel_ID": "c-1", "Channel_Token": "", "Resource_State": "change"},
        {"Channel_ID": "c-1", "Channel_Token": "tökën", "Resource_State": "change"},
        {"Channel_ID": "c-2", "Channel_Token": "t0ken", "Resource_State": "change"},
    ],
)
def test_any_other_call_changes_nothing_and_learns_nothing(
    channel: Channel, headers: dict[str, str]
) -> None:
    answer = Client().post(
        reverse("google_drive_push"),
        headers={f"X-Goog-{k.replace('_', '-')}": v for k, v in headers.items()},
    )
    assert (answer.status_code, answer.content) == (404, b"")
    assert seconds_to_next() > 3000
    channel.refresh_from_db()
    assert channel.last_message_at is None


def test_only_a_post_is_a_call(channel: Channel) -> None:
    assert Client().get(reverse("google_drive_push")).status_code == 405


def test_calls_in_a_row_bring_one_look_two_seconds_after_the_last(channel: Channel) -> None:
    looked = timezone.now()
    Source.objects.update(polled_at=looked)
    for number in range(5):
        call(
            Channel_ID="c-1",
            Channel_Token="t0ken",
            Resource_State="change",
            Message_Number=str(number),
        )
    assert Source.objects.get().next_at == looked + timedelta(seconds=2)


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 30, "²"])
def test_a_strange_message_number_is_no_fault(channel: Channel, number: str) -> None:
    answer = call(
        Channel_ID="c-1", Channel_Token="t0ken", Resource_State="change", Message_Number=number
    )
    assert answer == 204


def test_a_call_costs_few_queries(channel: Channel, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(3):
        call(Channel_ID="c-1", Channel_Token="t0ken", Resource_State="change")
    with django_assert_max_num_queries(1):
        call(Channel_ID="nobody", Channel_Token="t0ken", Resource_State="change")


def test_a_paused_source_is_not_woken(channel: Channel) -> None:
    Source.objects.update(paused=True)
    assert call(Channel_ID="c-1", Channel_Token="t0ken", Resource_State="change") == 204
    assert seconds_to_next() > 3000
