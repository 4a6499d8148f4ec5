"""The likely cause of a lapsed consent, from what Google says and from its age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.causes import Lapse, likely_cause

LINKED = datetime(2026, 3, 1, tzinfo=UTC)
DEAD = "Token has been expired or revoked."


def _cause(age: timedelta, worked: timedelta, **google: str) -> str:
    said = {"error": "invalid_grant", "subtype": "", "description": DEAD} | google
    return likely_cause(
        Lapse(**said, linked_at=LINKED, worked_at=LINKED + worked, now=LINKED + age)
    )


@pytest.mark.parametrize(
    ("age", "worked"),
    [
        (timedelta(days=7, minutes=1), timedelta(days=6, hours=23)),
        (timedelta(days=7), timedelta(days=7)),
        (timedelta(days=12), timedelta(days=5)),
    ],
)
def test_a_consent_that_ended_with_its_seventh_day_points_to_testing(age, worked):
    assert "“Testing”" in _cause(age, worked)


@pytest.mark.parametrize(
    ("age", "worked"),
    [
        (timedelta(days=3), timedelta(days=3)),
        (timedelta(days=30), timedelta(days=29)),
        (timedelta(days=6, hours=20), timedelta(days=6, hours=19)),
    ],
)
def test_a_consent_that_ended_on_another_day_names_the_usual_causes(age, worked):
    cause = _cause(age, worked)
    assert "myaccount.google.com" in cause
    assert "password" in cause
    assert "100 times" in cause


def test_half_a_year_without_use_is_named():
    assert "6 months" in _cause(timedelta(days=300), timedelta(days=100))


@pytest.mark.parametrize(
    ("google", "words"),
    [
        ({"error": "admin_policy_enforced"}, "administrator must allow"),
        ({"error": "access_denied"}, "administrator must allow"),
        ({"description": "Blocked by domain policy"}, "administrator must allow"),
        ({"subtype": "invalid_rapt"}, "session control"),
        ({"error": "unauthorized_client"}, "GOOGLE_CLIENT_ID was changed"),
        ({"description": "Account has been deleted"}, "deleted or suspended"),
        ({"error": "invalid_scope"}, "permissions"),
    ],
)
def test_what_google_names_itself_comes_before_any_guess(google, words):
    assert words in _cause(timedelta(days=8), timedelta(days=7), **google)
