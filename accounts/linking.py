"""Linking and unlinking: what happens to the row of a Google account and to its tokens.

Called by allauth's signals (its only hook between "Google answered" and "linked") and by the
unlink page. Must not touch a row of anybody but the person who is logged in.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.signals import social_account_added, social_account_updated
from django.db import transaction
from django.db.models import F, ProtectedError
from django.dispatch import Signal, receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import google, write_consent
from accounts.models import GoogleAccount, User
from accounts.scopes import unticked_reason
from syncapp.errors import BackupError

logger = logging.getLogger(__name__)

# Sent with `account` while its consent still lasts: what was asked of Google can be called off.
unlinking = Signal()

_NOTHING_LASTING = (
    "Google gave no lasting permission. Press Reconnect; if it comes back, remove this app at "
    "myaccount.google.com, Security, Your connections, and then press Reconnect."
)


@dataclass(frozen=True)
class Consent:
    """What Google answered to a code: who, what was granted, and the tokens."""

    uid: str
    email: str
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@receiver([social_account_added, social_account_updated])
def copy_tokens(request: HttpRequest, sociallogin: SocialLogin, **_: Any) -> None:
    """Keep the tokens of a Google account that is the logged-in person's own.

    `social_account_updated` comes before allauth has checked whose account it is: without the
    guard, anybody's attempt to link it would replace its owner's tokens.
    """
    if sociallogin.account.provider != "google" or request.user != sociallogin.account.user:
        return
    if write_consent.asked(sociallogin) and write_consent.problem(sociallogin):
        return  # `pre_social_login` tells it
    keep_consent(sociallogin.account.user, _consent_of(sociallogin))


def _consent_of(sociallogin: SocialLogin) -> Consent:
    profile, token = sociallogin.account.extra_data, sociallogin.token
    return Consent(
        uid=sociallogin.account.uid,
        email=profile.get("email", ""),
        name=profile.get("name", "")[:200],
        scopes=tuple(getattr(token, "granted_scopes", ())),
        expires_at=token.expires_at,
        access_token=token.token,
        refresh_token=token.token_secret,
    )


def keep_consent(user: User, consent: Consent) -> GoogleAccount:
    """Store a consent as the account's newest; a refresh under way finds it and gives way."""
    with transaction.atomic():
        account, _ = GoogleAccount.objects.get_or_create(
            user=user, uid=consent.uid, defaults={"email": consent.email}
        )
        lasting = bool(consent.refresh_token or account.refresh_token)
        reason = unticked_reason(consent.scopes) or ("" if lasting else _NOTHING_LASTING)
        state = GoogleAccount.State.RECONNECT if reason else GoogleAccount.State.CONNECTED
        GoogleAccount.objects.filter(pk=account.pk).update(
            email=consent.email,
            name=consent.name,
            scopes=sorted(consent.scopes),
            access_token=consent.access_token,
            expires_at=consent.expires_at,
            refreshed_at=timezone.now(),
            refreshing_until=None,
            token_version=F("token_version") + 1,
            state=state,
            state_reason=reason,
            **_lasting(consent),
        )
    logger.info("google account linked account=%s state=%s", account.pk, state)
    account.refresh_from_db()
    return account


def _lasting(consent: Consent) -> dict[str, Any]:
    """The refresh token and its age, only where one came: Google does not always send it."""
    if not consent.refresh_token:
        return {}
    return {"refresh_token": consent.refresh_token, "linked_at": timezone.now()}


@dataclass(frozen=True)
class Unlinked:
    """What became of an account: whether its row stays, and why Google may still trust us."""

    kept: bool
    problem: str


def unlink(account: GoogleAccount) -> Unlinked:
    """Revoke at Google and erase the tokens; they are erased even if Google can't be told."""
    unlinking.send(GoogleAccount, account=account)
    problem = _revoke(account)
    social = SocialAccount.objects.filter(user=account.user, provider="google", uid=account.uid)
    with transaction.atomic():
        social.delete()
        kept = not _delete(account)
    logger.info("google account unlinked account=%s revoked=%s", account.uid, not problem)
    return Unlinked(kept, problem)


def _revoke(account: GoogleAccount) -> str:
    token = account.refresh_token or account.access_token
    if not token:
        return ""
    try:
        google.revoke(token)
    except BackupError as error:
        logger.warning("google permission not revoked account=%s code=%s", account.pk, error.code)
        return error.message
    return ""


def _delete(account: GoogleAccount) -> bool:
    """Delete the row, or empty it if sources need it: their backups stay."""
    try:
        GoogleAccount.objects.get(pk=account.pk).delete()
    except ProtectedError:
        GoogleAccount.objects.filter(pk=account.pk).update(
            access_token="",
            refresh_token="",
            expires_at=None,
            refreshing_until=None,
            token_version=F("token_version") + 1,
            scopes=[],
            state=GoogleAccount.State.RECONNECT,
            state_reason="You unlinked this account. Its backups stay; press Reconnect to go on.",
        )
        return False
    return True
