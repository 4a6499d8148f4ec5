"""What Google lets us do, in words: permissions wanted, granted and missing.

Pure. The names are Google's (developers.google.com/identity/protocols/oauth2/scopes); people can
untick each of them on Google's page, so what was asked for says nothing about what was granted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accounts.models import GoogleAccount

DRIVE = "https://www.googleapis.com/auth/drive.readonly"
FORMS_RESPONSES = "https://www.googleapis.com/auth/forms.responses.readonly"
DRIVE_FILE = "https://www.googleapis.com/auth/drive.file"
_IDENTITY = frozenset(
    {
        "openid",
        "email",
        "profile",
        "https://www.googleapis.com/auth/userinfo.email",
        "https://www.googleapis.com/auth/userinfo.profile",
    }
)


@dataclass(frozen=True)
class Permission:
    """One permission: Google's words on the consent page and what it is for here."""

    scope: str
    words: str
    purpose: str
    required: bool


WANTED = (
    Permission(
        DRIVE,
        "See and download all your Google Drive files",
        "Reads every file that is backed up. Nothing works without it.",
        required=True,
    ),
    Permission(
        FORMS_RESPONSES,
        "See all responses to your Google Forms forms",
        "Adds the answers to each form's backup. Without it only the questions are kept.",
        required=False,
    ),
)
# Not asked for when an account is linked: only when somebody wants to restore to Drive.
WRITING = Permission(
    DRIVE_FILE,
    "See, edit, create and delete only the specific Google Drive files you use with this app",
    "Puts restored files into new folders of this Drive. Files that are there already can't be "
    "changed with it.",
    required=False,
)
_WORDS = {permission.scope: permission.words for permission in (*WANTED, WRITING)}


def granted(account: GoogleAccount) -> frozenset[str]:
    """The scopes that the account's last consent granted."""
    return frozenset(account.scopes)


def missing_scopes(account: GoogleAccount) -> frozenset[str]:
    """The scopes that we ask for and the account did not grant, optional ones included."""
    return frozenset(permission.scope for permission in WANTED) - granted(account)


def may_write(account: GoogleAccount) -> bool:
    """Whether files may be restored into the account's Drive."""
    return DRIVE_FILE in granted(account)


def unticked_reason(scopes: Iterable[str]) -> str:
    """Why an account with these scopes can't be backed up; "" if it can."""
    held = frozenset(scopes)
    lacking = [p.words for p in WANTED if p.required and p.scope not in held]
    if not lacking:
        return ""
    named = ", ".join(f"“{words}”" for words in lacking)
    return (
        f"You unticked {named} on Google's page. Nothing can be backed up without it: "
        "press Reconnect and leave it ticked."
    )


def others(account: GoogleAccount) -> list[str]:
    """Granted scopes beyond the wanted ones and the plain identity, as Google names them."""
    return sorted(granted(account) - frozenset(_WORDS) - _IDENTITY)
