"""How well a person's sources are protected, for pages: judged in a thread where that takes long.

As `totals`: a small catalog is counted at once, of a large one the figures of before are shown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.utils import timezone

from accounts.models import User
from syncapp.engine.protection import Protection
from syncapp.engine.protection_facts import protections
from syncapp.models import Source
from syncapp.web.totals import COUNTED_INLINE, FRESH_S, KEPT_S, newest_copy

logger = logging.getLogger(__name__)
_SHARE = 20  # counting may take 1/20 of a thread's time


def protections_of(user: User, sources: Sequence[Source]) -> dict[int, Protection]:
    """By source; one is lacking while a large catalog is counted for the first time."""
    known: tuple[dict[int, Protection], float] | None = cache.get(_key(user))
    if known is not None and known[1] > time.time():
        return known[0]
    if newest_copy() <= COUNTED_INLINE:
        return _judge(user, sources)
    if cache.add(_key(user) + ":counting", 1, timeout=300):
        threading.Thread(
            target=_judge_apart, args=(user, sources), name="protection", daemon=True
        ).start()
    return known[0] if known else {}


def _key(user: User) -> str:
    return f"protection:{user.pk}"


def _judge_apart(user: User, sources: Sequence[Source]) -> None:
    try:
        _judge(user, sources)
    except DatabaseError:
        logger.exception("protection failed user=%s", user.pk)
    finally:
        cache.delete(_key(user) + ":counting")
        connection.close()


def _judge(user: User, sources: Sequence[Source]) -> dict[int, Protection]:
    started = time.monotonic()
    found = protections(sources, timezone.now())
    keep_s = max(FRESH_S, _SHARE * (time.monotonic() - started))
    cache.set(_key(user), (found, time.time() + keep_s), timeout=KEPT_S)
    return found
