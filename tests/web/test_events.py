"""The stream of live messages: whose it is, what is kept, who is woken."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_eventstream import views as library
from django_eventstream.models import Event as Stored

from accounts.models import User
from syncapp.engine import live
from syncapp.web.events import Bridge, OwnerChannels
from tests.servers.process import free_port
from tests.web import baked


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bridge, "start", lambda self: None)


@pytest.fixture
def reader(outsider: User) -> Client:
    client = Client()
    client.force_login(outsider)
    return client


def test_a_stream_is_refused_without_a_session(client: Client, db: None) -> None:
    assert client.get(reverse("events")).status_code == 401


@pytest.mark.parametrize(
    "query", ["es-meta=x", "recover=true", "channel=user-1", "lastEventId=error", "lastEventId=x:1"]
)
def test_parameters_that_the_library_would_trust_are_refused(reader: Client, query: str) -> None:
    assert reader.get(f"{reverse('events')}?{query}").status_code == 400


def test_a_place_in_the_header_must_be_a_place(reader: Client) -> None:
    for place in ("user-1:", "user-1:x", "error", "user-1:1,user-2:1"):
        assert reader.get(reverse("events"), headers={"Last-Event-ID": place}).status_code == 400


def test_a_stream_is_not_cached_on_its_way(reader: Client) -> None:
    answer = reader.get(reverse("events"))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/event-stream"
    assert answer["Cache-Control"] == "no-cache"
    assert answer["X-Accel-Buffering"] == "no"
    assert reader.post(reverse("events")).status_code == 405


def test_a_person_reads_their_own_channel_and_no_other(outsider: User, rf: Any) -> None:
    other = baked.person("fay", is_superuser=True)
    request = rf.get("/events/", {"channel": live.channel_of(outsider.pk)})
    request.user = other
    channels = OwnerChannels()
    assert channels.get_channels_for_request(request, {}) == {live.channel_of(other.pk)}
    assert channels.can_read_channel(other, live.channel_of(other.pk))
    assert not channels.can_read_channel(other, live.channel_of(outsider.pk))
    assert not channels.can_read_channel(None, live.channel_of(outsider.pk))


def test_who_is_deactivated_reads_no_more(outsider: User) -> None:
    User.objects.filter(pk=outsider.pk).update(is_active=False)
    assert not OwnerChannels().can_read_channel(outsider, live.channel_of(outsider.pk))


def test_messages_are_numbered_in_order_and_kept_apart_by_person(db: None) -> None:
    assert [live.publish(1, "event", {"n": n}) for n in range(3)] == [1, 2, 3]
    assert live.publish(2, "event", {"n": 0}) == 1


def test_only_the_newest_messages_are_kept(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEPT_PER_CHANNEL", 20)
    monkeypatch.setattr(live, "_TRIM_EVERY", 10)
    live.publish(2, "event", {"n": 0})
    for n in range(55):
        live.publish(1, "event", {"n": n})
    kept = sorted(Stored.objects.filter(channel="user-1").values_list("eid", flat=True))
    assert kept == list(range(31, 56))
    assert Stored.objects.filter(channel="user-2", eid=1).exists()


def test_a_redis_that_is_away_loses_no_message(
    db: None, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert live.publish(1, "event", {}) == 1
    assert "live bell unreachable" in caplog.text


class FakeListener:
    """What the bridge sees of a listener."""

    def __init__(self, manager: Any, channel: str) -> None:
        self.channels = {channel}
        self.overflow = False
        self.woken = 0
        manager.listeners_by_channel.setdefault(channel, set()).add(self)

    def wake_threadsafe(self) -> None:
        self.woken += 1


def test_only_listeners_whose_channel_moved_are_woken(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = library.ListenerManager()
    monkeypatch.setattr(library, "listener_manager", manager)
    first, second = FakeListener(manager, "user-1"), FakeListener(manager, "user-2")
    bridge = Bridge()
    live.publish(1, "event", {})
    bridge.deliver()
    assert (first.woken, first.overflow, second.woken) == (1, True, 0)
    bridge.deliver()
    assert first.woken == 1
    live.publish(2, "event", {})
    bridge.deliver()
    assert (first.woken, second.woken) == (1, 1)


@pytest.mark.needs("redis")
def test_the_bell_of_redis_wakes_the_bridge_long_before_its_poll(
    db: None, settings: Any, redis_url: str
) -> None:
    settings.REDIS_URL = redis_url
    bridge = Bridge(poll_s=30)
    subscription = bridge._wait(bridge._subscribe())  # Redis's word that it has subscribed
    assert subscription is not None
    began = time.monotonic()
    live.publish(1, "event", {})
    assert bridge._wait(subscription) is subscription
    assert time.monotonic() - began < 10


def test_without_redis_the_bridge_polls(settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    bridge = Bridge(poll_s=0.01)
    assert bridge._subscribe() is None
    assert bridge._wait(None) is None
