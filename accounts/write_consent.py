"""The second consent: to put restored files into a Drive, and to touch nothing else there.

Asked for only when a person wants to restore to Google Drive, on an account that is linked for
reading. The scope is drive.file: Google lets an app reach only what it has created itself
(developers.google.com/workspace/drive/api/guides/api-specific-auth). A consent that lacks anything
is not kept at all, so that reading goes on as it was.
"""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.http import HttpRequest, HttpResponse

from accounts.models import GoogleAccount
from accounts.scopes import DRIVE_FILE, WRITING, unticked_reason

_STATE = "write"  # in allauth's state: id of the account that was asked
_NOTHING_CHANGED = "Nothing was changed: this account is read as before."


def ask(request: HttpRequest, provider: Any, account: GoogleAccount, after: str) -> HttpResponse:
    """Off to Google's consent page for this account; afterwards to the path `after`."""
    auth_params = provider.get_auth_params() | {"login_hint": account.email, "prompt": "consent"}
    answer: HttpResponse = provider.redirect(
        request,
        process=AuthProcess.CONNECT,
        next_url=after,
        auth_params=auth_params,
        scope=["openid", "email", "profile", DRIVE_FILE],
        **{_STATE: account.pk},
    )
    return answer


def asked(login: SocialLogin) -> bool:
    """Whether this answer of Google's is to a question of `ask`."""
    return _STATE in login.state


def problem(login: SocialLogin) -> str:
    """Why a consent for writing can't be kept, for the person who gave it; "" if it can."""
    account = GoogleAccount.objects.filter(pk=login.state.get(_STATE) or 0).first()
    if account is None:
        return "This Google account is no longer linked. Link it again first."
    if account.uid != login.account.uid:
        return (
            f"You chose another account on Google's page than {account.email}. Press the button "
            f"again and choose {account.email}. {_NOTHING_CHANGED}"
        )
    scopes = frozenset(getattr(login.token, "granted_scopes", ()))
    if DRIVE_FILE not in scopes:
        return (
            f"You unticked “{WRITING.words}” on Google's page: nothing can be restored to Drive "
            f"without it. {_NOTHING_CHANGED}"
        )
    if not login.token.token_secret or unticked_reason(scopes):
        return (
            "Google's answer left out what this account had allowed before. Press Reconnect, and "
            f"then this button again. {_NOTHING_CHANGED}"
        )
    return ""
