"""Live messages to a person's browser: stored here, delivered by the web processes.

Producers only store. django-eventstream's own `send_event` would also queue straight to the
listeners of its process, ahead of another process's earlier message, which would then be skipped.
With Redis configured it is rung as a bell so that delivery need not wait for the next poll; a
Redis that is away costs only that. Must not hold anything secret: messages lie in the database.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django_eventstream.models import Event
from django_eventstream.storage import DjangoModelStorage
from django_eventstream.utils import get_storage
from redis import Redis, RedisError

logger = logging.getLogger(__name__)

BELL = "backup-live"
KEPT_PER_CHANNEL = 1000
_TRIM_EVERY = 100


class BoundedStorage(DjangoModelStorage):  # type: ignore[misc]
    """Keeps the newest messages of each channel, so the table is bounded by the people.

    The library trims by age at every message: a query each time, and a listener that was idle for
    longer than that age would be told that its place is lost.
    """

    def append_event(self, channel: str, event_type: str, data: str) -> Any:
        """Store a message; every hundredth time drop those that nobody can still be behind."""
        stored = super().append_event(channel, event_type, data)
        if stored.id % _TRIM_EVERY == 0:
            Event.objects.filter(channel=channel, eid__lte=stored.id - KEPT_PER_CHANNEL).delete()
        return stored

    def trim_event_log(self) -> None:
        """Nothing: `append_event` trims."""


def channel_of(owner_id: int) -> str:
    """The only channel a person reads."""
    return f"user-{owner_id}"


def publish(owner_id: int, kind: str, payload: Mapping[str, Any]) -> int:
    """Store a message for its owner's browsers; the number it got, rising by one.

    Costs a transaction (about 5 ms on SQLite): send batches, not one message a file.
    """
    channel = channel_of(owner_id)
    data = json.dumps(payload, cls=DjangoJSONEncoder)
    number: int = get_storage().append_event(channel, kind, data).id
    _ring(channel)
    return number


def forget(owner_id: int) -> None:
    """Drop all messages to a person that are still stored; who is behind loads the page anew."""
    Event.objects.filter(channel=channel_of(owner_id)).delete()


def _ring(channel: str) -> None:
    if not settings.REDIS_URL:
        return
    try:
        bell(settings.REDIS_URL).publish(BELL, channel)
    except RedisError as error:
        logger.warning("live bell unreachable, delivery waits for the poll error=%s", error)


@lru_cache
def bell(url: str) -> Redis:
    """A client with short time-outs: a hung Redis must not hold up a transfer."""
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1)
