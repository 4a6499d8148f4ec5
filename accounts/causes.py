"""Why Google took a consent back, as far as it can be told: one sentence, and what to do.

Pure. Google answers `invalid_grant` for nearly everything; the ages of the consent and of its
last success tell the rest (developers.google.com/identity/protocols/oauth2#expiration).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

TESTING_LIFE = timedelta(days=7)
IDLE_LIFE = timedelta(days=180)
_SLACK = timedelta(hours=2)  # a refresh happens about once an hour

_POLICY_ERRORS = frozenset({"admin_policy_enforced", "org_internal", "access_denied"})
_TESTING = (
    "the consent is 7 days old, and Google ends consents after 7 days while the app's publishing "
    "status is “Testing”. In Google Cloud, under Google Auth Platform, Audience, publish the app "
    "or make it Internal: otherwise this comes back every week"
)
_IDLE = "the account was not used for 6 months, after which Google ends a consent"
_POLICY = (
    "a policy of the account's organisation: its Google Workspace administrator must allow this "
    "app under Security, API controls"
)
_SESSION = (
    "the organisation's session control asks for a new sign-in; its administrator can exempt "
    "this app as a trusted one"
)
_OTHER_CLIENT = "GOOGLE_CLIENT_ID was changed since the account was linked"
_GONE = "the Google account was deleted or suspended"
_SCOPE = "the permissions that this server asks for have changed"
_UNKNOWN = (
    "the permission was removed at myaccount.google.com, the password was changed, or the account "
    "was linked over 100 times with this client"
)


@dataclass(frozen=True)
class Lapse:
    """A refused refresh: Google's words, and the consent's age and last success."""

    error: str
    subtype: str
    description: str
    linked_at: datetime
    worked_at: datetime | None
    now: datetime


def likely_cause(lapse: Lapse) -> str:
    """The likely cause, as the end of a sentence that began with “likely cause:”."""
    named = _named_cause(lapse)
    if named:
        return named
    worked_at = lapse.worked_at or lapse.linked_at
    if lapse.now - worked_at >= IDLE_LIFE:
        return _IDLE
    if _ended_after_seven_days(lapse, worked_at):
        return _TESTING
    return _UNKNOWN


def _named_cause(lapse: Lapse) -> str:
    """What Google said itself."""
    description = lapse.description.lower()
    if lapse.subtype == "invalid_rapt":
        return _SESSION
    if lapse.error in _POLICY_ERRORS or "policy" in description or "polic" in lapse.subtype:
        return _POLICY
    if lapse.error == "unauthorized_client":
        return _OTHER_CLIENT
    if lapse.error == "invalid_scope":
        return _SCOPE
    if any(word in description for word in ("deleted", "disabled", "suspended")):
        return _GONE
    return ""


def _ended_after_seven_days(lapse: Lapse, worked_at: datetime) -> bool:
    """It is past its 7th day, and nothing worked after that day."""
    end = lapse.linked_at + TESTING_LIFE
    return lapse.now >= end - _SLACK and worked_at <= end + _SLACK
