"""Access tokens for the workers: one refresh for all threads of all processes.

The row decides. Who finds its token too old claims the row (`refreshing_until`, by
compare-and-set), asks Google, stores, releases; everybody else waits for the row to change. Rows
are written by compare-and-set on `token_version`, so that a slow refresh never overwrites a newer
consent or brings back an unlinked one. Must not log or return a refresh token.

Don't call it inside a transaction: it talks to Google, and others must see the claim.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from google.auth.credentials import Credentials, TokenState

from accounts import google
from accounts.causes import Lapse, likely_cause
from accounts.models import GoogleAccount
from accounts.scopes import DRIVE_FILE, granted, may_write, missing_scopes
from syncapp.connections import own_connection
from syncapp.errors import BackupError, ConfigurationError, ReconnectRequired, Unavailable

__all__ = [
    "AccessToken",
    "credentials",
    "fresh_access_token",
    "granted",
    "may_write",
    "missing_scopes",
    "not_allowed",
    "require_reconnect",
    "withdraw_writing",
    "writing_credentials",
]

logger = logging.getLogger(__name__)

_EARLY = timedelta(seconds=60)
# Longer than the endpoint's time-outs; a claimant that died is replaced after it.
_CLAIM = timedelta(seconds=google.CONNECT_TIMEOUT_S + google.READ_TIMEOUT_S + 10)
_POLL_S = 0.05  # the claimant is another process: there is no event to wait for


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token, when it ends, and when it should be replaced."""

    value: str = field(repr=False)
    expires_at: datetime
    renew_at: datetime


def credentials(account_id: int) -> Credentials:
    """Google credentials that refresh themselves; threads may share them.

    Raises ReconnectRequired at once if the account needs its owner; `refresh` may raise it later,
    or Unavailable, RateLimited, ConfigurationError.
    """
    return _AccountCredentials(account_id)


def writing_credentials(account_id: int) -> Credentials:
    """As `credentials`, to restore files into the account's Drive; nothing else may use it.

    ConfigurationError `write_not_granted` if nobody has allowed that: reading is not affected.
    """
    account = _linked(account_id)
    if not may_write(account):
        raise not_allowed(account)
    return _AccountCredentials(account_id)


def not_allowed(account: GoogleAccount) -> ConfigurationError:
    """What to say where nobody has allowed restoring to the account's Drive."""
    return ConfigurationError(
        f"Restoring to the Drive of {account.email} is not allowed yet. Press “Allow restoring "
        "to Drive” on the page Google accounts.",
        code="write_not_granted",
    )


def withdraw_writing(account_id: int) -> None:
    """Google no longer lets us write there: the page asks for that consent anew."""
    with transaction.atomic():
        account = GoogleAccount.objects.select_for_update().filter(pk=account_id).first()
        if account is not None and may_write(account):
            left = sorted(granted(account) - {DRIVE_FILE})
            GoogleAccount.objects.filter(pk=account_id).update(scopes=left)


class _AccountCredentials(Credentials):  # type: ignore[misc]
    """google.auth's contract over `fresh_access_token`."""

    def __init__(self, account_id: int) -> None:
        super().__init__()
        self._account_id = account_id
        # What each thread sent last: with shared credentials `self.token` may already be a newer
        # one than the one that Google has just rejected.
        self._sent = threading.local()
        self._take(_token_of(_linked(account_id)))

    def __repr__(self) -> str:
        return f"<credentials of Google account {self._account_id}>"

    @property
    def expired(self) -> bool:
        """Whether it is time for a new one: a minute ahead, not google.auth's four."""
        return timezone.now() >= self._renew_at

    @property
    def token_state(self) -> TokenState:
        """google.auth's newer spelling of `valid`."""
        return TokenState.FRESH if self.valid else TokenState.INVALID

    def apply(self, headers: Any, token: str | None = None) -> None:
        """Set the Authorization header and remember what this thread sent."""
        sent = token or self.token
        super().apply(headers, sent)
        self._sent.token = sent

    def refresh(self, request: Any) -> None:
        """Take a newer token: another worker's, or one made now."""
        rejected = getattr(self._sent, "token", None) or self.token or ""
        with own_connection():  # a thread that only reads from Google has none
            self._take(fresh_access_token(self._account_id, rejected=rejected))

    def _take(self, token: AccessToken) -> None:
        self._renew_at = token.renew_at
        self.expiry = token.expires_at.replace(tzinfo=None)  # google.auth counts in naive UTC
        self.token = token.value or None


def fresh_access_token(account_id: int, *, rejected: str = "") -> AccessToken:
    """A token that is not `rejected` (what Google answered 401 to) and not about to end.

    Raises ReconnectRequired (a person must act), ConfigurationError (an administrator must),
    Unavailable or RateLimited (wait).
    """
    while True:
        account = _linked(account_id)
        current = _token_of(account)
        if account.access_token not in ("", rejected) and timezone.now() < current.renew_at:
            return current
        if _claim(account):
            return _refresh(account)
        _await_change(account)


def require_reconnect(account_id: int, reason: str, *, version: int | None = None) -> bool:
    """Stop an account until its owner links it again. `version`: only if still that one."""
    rows = GoogleAccount.objects.filter(pk=account_id)
    if version is not None:
        rows = rows.filter(token_version=version)
    changed = rows.update(
        state=GoogleAccount.State.RECONNECT,
        state_reason=reason,
        access_token="",
        refreshing_until=None,
        token_version=F("token_version") + 1,
    )
    if changed:
        logger.error("google account needs reconnecting account=%s", account_id)
    return changed == 1


def _linked(account_id: int) -> GoogleAccount:
    account = GoogleAccount.objects.filter(pk=account_id).first()
    if account is None:
        raise ReconnectRequired("This Google account is no longer linked. Link it again.")
    if account.state == GoogleAccount.State.RECONNECT:
        raise ReconnectRequired(account.state_reason)
    return account


def _token_of(account: GoogleAccount) -> AccessToken:
    expires_at = account.expires_at or timezone.now()
    # A token that lives for less than four minutes is renewed in its last quarter: a whole
    # minute ahead, it would never be found good.
    life = expires_at - (account.refreshed_at or account.linked_at)
    return AccessToken(account.access_token, expires_at, expires_at - min(_EARLY, life / 4))


def _claim(account: GoogleAccount) -> bool:
    """Become the one who refreshes, unless somebody is at it or has just been."""
    now = timezone.now()
    free = Q(refreshing_until__isnull=True) | Q(refreshing_until__lt=now)
    rows = GoogleAccount.objects.filter(free, pk=account.pk, token_version=account.token_version)
    return rows.update(refreshing_until=now + _CLAIM) == 1


def _await_change(account: GoogleAccount) -> None:
    """Until the claimant stored a result or its claim ran out; Unavailable if it gave up."""
    while True:
        row = GoogleAccount.objects.filter(pk=account.pk)
        seen = row.values_list("token_version", "refreshing_until").first()
        if seen is None or seen[0] != account.token_version:
            return
        if seen[1] is None:
            # It failed; so would we, and all who wait with us, one after the other.
            raise Unavailable("Google's sign-in service failed for another worker a moment ago.")
        if seen[1] < timezone.now():
            return
        time.sleep(_POLL_S)


@sensitive_variables("fresh")
def _refresh(account: GoogleAccount) -> AccessToken:
    """Ask Google, as the claimant; a claimant that is killed leaves a claim that runs out."""
    if not account.refresh_token:
        return _stop(account, "Google gave no lasting permission for it")
    try:
        fresh = google.refresh(account.refresh_token)
    except google.GrantRefused as refused:
        return _stop(account, _cause(account, refused))
    except BackupError:
        _release(account)
        raise
    if _store(account, fresh):
        logger.info("access token refreshed account=%s", account.pk)
        return _token_of(account)
    return fresh_access_token(account.pk)  # linked anew or unlinked meanwhile: the row decides


def _release(account: GoogleAccount) -> None:
    rows = GoogleAccount.objects.filter(pk=account.pk, token_version=account.token_version)
    rows.update(refreshing_until=None)


@sensitive_variables("fresh")
def _store(account: GoogleAccount, fresh: google.Refreshed) -> bool:
    """Store and release in one step; False if the row has moved on."""
    account.access_token = fresh.access_token
    account.refresh_token = fresh.refresh_token or account.refresh_token
    account.expires_at = fresh.expires_at
    account.refreshed_at = timezone.now()
    rows = GoogleAccount.objects.filter(pk=account.pk, token_version=account.token_version)
    changed = rows.update(
        access_token=account.access_token,
        refresh_token=account.refresh_token,
        expires_at=account.expires_at,
        refreshed_at=account.refreshed_at,
        refreshing_until=None,
        token_version=F("token_version") + 1,
    )
    return changed == 1


def _stop(account: GoogleAccount, cause: str) -> AccessToken:
    """Mark the account and raise ReconnectRequired, unless it was linked anew meanwhile."""
    reason = (
        f"Google no longer lets us read {account.email}. Likely cause: {cause}. "
        "Press Reconnect on the page Google accounts."
    )
    require_reconnect(account.pk, reason, version=account.token_version)
    return fresh_access_token(account.pk)


def _cause(account: GoogleAccount, refused: google.GrantRefused) -> str:
    return likely_cause(
        Lapse(
            error=refused.error,
            subtype=refused.subtype,
            description=refused.description,
            linked_at=account.linked_at,
            worked_at=account.refreshed_at,
            now=timezone.now(),
        )
    )
