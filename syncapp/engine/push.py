"""Push: Google calls when a change log grows, so that changes are found within a second.

A push is only a hint: it brings the next look at the log forward. Nothing else in a call is
believed, and polling goes on at a slower pace, since pushes get lost. A channel can't be renewed:
a new one is opened before the old one ends, and only then the old one is closed
(developers.google.com/workspace/drive/api/guides/push).
"""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import GoogleAccount
from syncapp.destinations.endpoint import check_endpoint
from syncapp.engine import record
from syncapp.engine.adapters import source_for
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    CursorRejected,
    ReconnectRequired,
    TransientError,
)
from syncapp.models import Channel, Source
from syncapp.sources.base import Source as Reader
from syncapp.types import JsonObject

log = logging.getLogger(__name__)
USER = "user"
LIFETIME_S = 7 * 24 * 3600  # the most that Google gives for change logs
FAILED_PAUSE = timedelta(hours=1)  # before another try to open what could not be opened
SLOWER = 10  # polls are so many times rarer while pushes come
LEAST_GAP = timedelta(seconds=2)  # between two looks, however many pushes come


def address() -> str | None:
    """Where Google is to call; None if it could not, or shall not."""
    if settings.PUSH == "off" or (settings.PUSH == "auto" and not _is_public(settings.PUBLIC_URL)):
        return None
    return settings.PUBLIC_URL + reverse("google_drive_push")


def _is_public(url: str) -> bool:
    try:
        check_endpoint(url, allow_private=False)
    except ConfigurationError:
        return False
    return True


def scopes(cursor: JsonObject) -> set[str]:
    """The change logs that a position stands in."""
    return {USER, *cursor.get("drives", {})} if cursor else set()


def alive(source: Source) -> bool:
    """Whether a push has come through for every log: only then is polling a mere precaution."""
    open_ones = source.channels.filter(
        expires_at__gt=timezone.now(), last_message_at__isnull=False
    ).values_list("scope", flat=True)
    logs = scopes(source.cursor)
    return bool(logs) and logs <= set(open_ones)


def slowest() -> timedelta:
    """From one look at the log to the next, at most."""
    return timedelta(seconds=settings.POLL_SECONDS * SLOWER)


def pace(source: Source) -> timedelta:
    """From one look at the log to the next."""
    return slowest() if alive(source) else timedelta(seconds=settings.POLL_SECONDS)


def standing(source: Source) -> str:
    """In words: whether Google tells of changes by itself."""
    if address() is None:
        return "off: Google can only call a public https address"
    if alive(source):
        return "on: Google reports changes within seconds"
    if source.channels.filter(resource_id="").exists():
        return "refused by Google; the log has why"
    if source.channels.exists():
        return f"waiting for Google's first call to {settings.PUBLIC_URL}"
    return "being set up"


def keep(source: Source, reader: Reader) -> None:
    """Open what is lacking, renew what ends soon, close what is too much. Asks Google."""
    now, url = timezone.now(), address()
    held: dict[str, list[Channel]] = {}
    for channel in source.channels.order_by("-pk"):
        held.setdefault(channel.scope, []).append(channel)
    if url is not None:
        for scope in sorted(scopes(source.cursor)):
            _keep_one(source, reader, scope, url, held.pop(scope, []))
    _close(reader, [channel for channels in held.values() for channel in channels], now)


def _keep_one(
    source: Source, reader: Reader, scope: str, url: str, channels: list[Channel]
) -> None:
    """One log's channels, the newest first. The old one goes on until a new one is open."""
    now = timezone.now()
    failed = [channel for channel in channels if not channel.resource_id]
    good = [channel for channel in channels if channel.resource_id]
    resting = any(channel.expires_at and channel.expires_at > now for channel in failed)
    if resting or (good and not _is_ending(good[0], now)):
        _close(reader, good[1:], now)
    elif _open(source, reader, scope, url, told=bool(failed)):
        _close(reader, [*good, *failed], now)
    else:
        _close(reader, failed, now)


def _is_ending(channel: Channel, now: datetime) -> bool:
    if channel.expires_at is None:
        return False
    life = channel.expires_at - channel.created_at
    return channel.expires_at - now < min(max(life / 5, 2 * slowest()), life / 2)


def _open(source: Source, reader: Reader, scope: str, url: str, *, told: bool) -> bool:
    """A new channel; the row comes first, since Google's first call may come before its answer.

    A row without a resource id says until when not to try again what was refused.
    """
    channel = Channel.objects.create(
        source=source,
        scope=scope,
        channel_id=str(uuid.uuid4()),
        token=secrets.token_urlsafe(32),
        expires_at=timezone.now() + FAILED_PAUSE,
    )
    try:
        watch = reader.watch(
            source.cursor,
            scope,
            channel_id=channel.channel_id,
            token=channel.token,
            address=url,
            ttl_s=LIFETIME_S,
        )
    except (ReconnectRequired, CursorRejected):
        channel.delete()
        raise
    except TransientError as error:
        log.warning("push.not_opened source=%d scope=%s %s", source.pk, scope, error.message)
        channel.delete()  # the next look at the log tries again
        return False
    except BackupError as error:
        log.warning("push.refused source=%d scope=%s %s", source.pk, scope, error.message)
        if not told:
            _tell_refusal(source, error)
        return False
    Channel.objects.filter(pk=channel.pk).update(
        resource_id=watch.resource_id, expires_at=watch.expires_at
    )
    log.info("push.opened source=%d scope=%s until=%s", source.pk, scope, watch.expires_at)
    return True


def _tell_refusal(source: Source, error: BackupError) -> None:
    record.event(
        source.owner,
        "push_refused",
        f"Google does not report changes of {source.name} by push: {error.message} They are found "
        f"by asking every {settings.POLL_SECONDS} s instead.",
        level="warning",
        source=source,
    )


def _close(reader: Reader, channels: Iterable[Channel], now: datetime) -> None:
    for channel in channels:
        if channel.resource_id and channel.expires_at and channel.expires_at > now:
            try:
                reader.stop_watching(channel.channel_id, channel.resource_id)
            except TransientError as error:
                log.warning("push.not_closed channel=%d %s", channel.pk, error.message)
                continue  # the next care tries again
        channel.delete()


def to_stop(now: datetime) -> list[int]:
    """Sources that hold channels which nobody reads any more, or that have ended."""
    unwanted = (
        ~Q(source__mode=Source.Mode.REALTIME)
        | Q(source__paused=True)
        | ~Q(source__blocked_code="")
        | Q(expires_at__lte=now) & ~Q(resource_id="")
    )
    return list(Channel.objects.filter(unwanted).values_list("source_id", flat=True).distinct())


def stop(source_id: int) -> None:
    """Close a source's channels: all if it is not read by push any more, else those that ended."""
    source = Source.objects.select_related("account").filter(pk=source_id).first()
    if source is None:
        return
    now = timezone.now()
    source.channels.filter(expires_at__lte=now).exclude(resource_id="").delete()
    if source.mode != Source.Mode.REALTIME or source.paused or source.blocked_code:
        stop_all(source)


def stop_all(source: Source) -> None:
    """Close all of a source's channels; those that can't be closed end by themselves."""
    channels = list(source.channels.all())
    if not channels:
        return
    try:
        _close(source_for(source), channels, timezone.now())
    except BackupError as error:
        # Consent is gone, and with it Google's calls; a call that still comes is not known.
        log.warning("push.not_closed source=%d code=%s", source.pk, error.code)
    Channel.objects.filter(source=source).delete()


def forget_account(account: GoogleAccount) -> None:
    """Before an account is unlinked: close its channels while its consent still lasts."""
    for source in Source.objects.filter(account=account).select_related("account"):
        stop_all(source)


def hear(channel_id: str, token: str, state: str, number: int) -> bool:
    """Take a call of Google's; False if it is not one that we asked for."""
    now = timezone.now()
    channel = Channel.objects.select_related("source").filter(channel_id=channel_id).first()
    if channel is None or not constant_time_compare(channel.token, token):
        return False
    Channel.objects.filter(pk=channel.pk).update(last_message_at=now, messages=number)
    if state != "sync":
        _bring_forward(channel.source, now)
    return True


def _bring_forward(source: Source, now: datetime) -> None:
    """Look now, or as soon as the last look is long enough ago."""
    last = source.polled_at
    at = max(now, last + LEAST_GAP) if last and last <= now else now
    Source.objects.filter(
        pk=source.pk, mode=Source.Mode.REALTIME, paused=False, next_at__gt=at
    ).update(next_at=at)
