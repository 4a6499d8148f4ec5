"""The policy that holds: a source's wishes before its owner's before the built-in ones."""

from __future__ import annotations

import pytest

from accounts.models import GoogleAccount, User
from syncapp.engine.policies import Origin, effective, effective_default
from syncapp.models import Policy, Source
from syncapp.retention import Rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def source() -> Source:
    owner = User.objects.create_user("owner", "owner@example.org", "a long passphrase")
    account = GoogleAccount.objects.create(user=owner, email="a@example.org")
    return Source.objects.create(owner=owner, account=account, name="Drive", slug="drive")


def test_without_wishes_every_version_is_kept(source: Source) -> None:
    policy = effective(source)

    assert policy.rules.everything
    assert (policy.trash_days, policy.guard_percent, policy.guard_files) == (30, 20, 500)
    assert (policy.verify_days, policy.drill_days, policy.drill_files) == (90, 30, 20)
    assert set(policy.origins.values()) == {Origin.BUILT_IN}


def test_each_value_is_inherited_by_itself_and_the_rules_together(source: Source) -> None:
    Policy.objects.create(
        owner=source.owner, keep="rules", keep_last=3, keep_daily=7, trash_days=10, drill_days=5
    )
    Policy.objects.create(
        owner=source.owner, source=source, keep="rules", keep_monthly=12, drill_days=0
    )

    policy = effective(source)

    assert policy.rules == Rules(everything=False, monthly=12)
    assert (policy.trash_days, policy.drill_days, policy.guard_files) == (10, 0, 500)
    origins = policy.origins
    assert origins["keep"] == origins["drill_days"] == Origin.SOURCE
    assert (origins["trash_days"], origins["guard_files"]) == (Origin.DEFAULT, Origin.BUILT_IN)


def test_a_source_may_keep_everything_where_the_default_does_not(source: Source) -> None:
    Policy.objects.create(owner=source.owner, keep="rules", keep_last=1)
    assert not effective(source).rules.everything
    Policy.objects.create(owner=source.owner, source=source, keep="all")

    assert effective(source).rules.everything
    assert not effective_default(source.owner_id).rules.everything


def test_the_wishes_of_another_person_do_not_count(source: Source) -> None:
    other = User.objects.create_user("other", "other@example.org", "a long passphrase")
    Policy.objects.create(owner=other, keep="rules", trash_days=1)

    assert effective(source).trash_days == 30
