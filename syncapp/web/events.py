"""One stream of live messages per person (Server-Sent Events, HTML Living Standard § 9.2).

The channel is chosen here from the session, never from the address, so nobody reads another's.
Messages come from other processes: a thread of each web process watches the library's small table
of counters and wakes the listeners whose channel moved; they then read the storage from where they
stand. Order, resumption and absence of doubles stay the library's business. This reaches into
django-eventstream (5.3.4, pinned; tests/web/test_live_delivery.py holds it). Needs ASGI: under
WSGI the library sends nothing. Must not write.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_GET
from django_eventstream import views as library
from django_eventstream.channelmanager import ChannelManagerBase
from django_eventstream.models import EventCounter
from redis import RedisError
from redis.client import PubSub

from accounts.models import User
from syncapp.engine import live

logger = logging.getLogger(__name__)

_PLACE = re.compile(r"user-\d+:\d+")


class OwnerChannels(ChannelManagerBase):  # type: ignore[misc]
    """Everybody reads their own channel and no other."""

    def get_channels_for_request(self, request: HttpRequest, view_kwargs: Any) -> set[str]:
        """The channel of who is logged in."""
        return {live.channel_of(request.user.pk)} if request.user.pk else set()

    def can_read_channel(self, user: User | None, channel: str) -> bool:
        """Asked again whenever something arrives, so a deactivated person's stream ends."""
        return (
            user is not None
            and channel == live.channel_of(user.pk)
            and get_user_model().objects.filter(pk=user.pk, is_active=True).exists()
        )

    def is_channel_reliable(self, channel: str) -> bool:
        """Yes: messages are stored, a listener that comes back gets what it missed."""
        return True


class Bridge:
    """Wakes this process's listeners for messages that other processes stored."""

    def __init__(self, poll_s: float = 0.4) -> None:
        self._poll_s = poll_s
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pause = threading.Event()
        self._seen: dict[str, int] = {}

    def start(self) -> None:
        """Start the thread at the first listener; a forked process starts its own."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="live-bridge", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        subscription = self._subscribe()
        while True:
            subscription = self._wait(subscription)
            try:
                self.deliver()
            except DatabaseError:
                logger.exception("live bridge lost the database, trying again")
                connection.close()
                self._pause.wait(2)

    def _subscribe(self) -> PubSub | None:
        if not settings.REDIS_URL:
            return None
        try:
            pool = live.bell(settings.REDIS_URL).connection_pool
            subscription = PubSub(pool, ignore_subscribe_messages=True)
            subscription.subscribe(live.BELL)
        except RedisError as error:
            logger.warning("live bell unreachable, polling instead error=%s", error)
            return None
        return subscription

    def _wait(self, subscription: PubSub | None) -> PubSub | None:
        """Until the bell rings or the poll is due, whichever is first."""
        if subscription is None:
            self._pause.wait(self._poll_s)
            return None
        try:
            subscription.get_message(timeout=self._poll_s)
        except RedisError as error:
            logger.warning("live bell lost, polling instead error=%s", error)
            return None
        return subscription

    def deliver(self) -> None:
        """Wake the listeners of every channel whose counter moved."""
        listeners = library.get_listener_manager()
        with listeners.lock:
            names = list(listeners.listeners_by_channel)
        if not names:
            self._seen.clear()
            connection.close()
            return
        counters = EventCounter.objects.filter(name__in=names).values_list("name", "value")
        now = dict(counters)
        moved = [name for name, value in now.items() if self._seen.get(name) != value]
        self._seen = now
        with listeners.lock:
            for name in moved:
                for listener in listeners.listeners_by_channel.get(name, ()):
                    # "Overflow" makes the listener read the storage from its own last id.
                    listener.overflow = True
                    listener.wake_threadsafe()


BRIDGE = Bridge()


@require_GET
def stream(request: HttpRequest) -> HttpResponseBase:
    """The person's stream. 401 without a session: the browser then stops asking."""
    if not request.user.is_authenticated:
        return HttpResponse("Log in first.", status=401, content_type="text/plain")
    # The library trusts more parameters than a browser ever sends (`es-meta`, `recover`).
    place = request.headers.get("Last-Event-ID") or request.GET.get("lastEventId", "")
    if set(request.GET) - {"lastEventId"} or (place and not _PLACE.fullmatch(place)):
        return HttpResponse("Not a place in the stream.", status=400, content_type="text/plain")
    BRIDGE.start()
    response: HttpResponseBase = library.events(request)
    return response
