"""The policy pages: what holds and why, what would go, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from syncapp.engine.policies import effective
from syncapp.models import Copy, Policy, Run
from tests.engine.vault import SEEN, Vault
from tests.web.baked import Owned

LogIn = Callable[[User], Client]


def wishes(**changes: Any) -> dict[str, Any]:
    return {"keep": "", **changes}


def backed_up(vault: Vault) -> None:
    Run.objects.create(
        source=vault.source, stage=Run.Stage.DONE, outcome=Run.Outcome.OK, ended_at=timezone.now()
    )


def test_each_value_is_shown_with_where_it_comes_from(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    client.post(reverse("policy"), wishes(trash_days=60, keep="rules", keep_last=5))
    client.post(reverse("source_policy", args=[owner.source.pk]), wishes(guard_files=9))
    held = effective(owner.source)
    assert (held.trash_days, held.guard_files, held.rules.last) == (60, 9, 5)
    page = client.get(reverse("source_policy", args=[owner.source.pk]))
    told = {(line.label, line.value): line.origin for line in page.context["holding"]}
    assert told["Trash", "60 days"] == "your default"
    assert told["Asks first above this number", "9 files"] == "this source"
    assert told["Older versions", "the last 5"] == "your default"
    assert told["Restore drills", "every 30 days"] == "built in"
    assert owner.source.name in client.get(reverse("policy")).content.decode()


def test_no_two_values_of_a_policy_have_one_name(owner: Owned, log_in: LogIn) -> None:
    page = log_in(owner.user).get(reverse("policy"))
    labels = [line.label for line in page.context["holding"]]
    assert len(set(labels)) == len(labels)


def test_a_dry_run_lists_what_would_go_and_saves_nothing(vault: Vault, visitor: Client) -> None:
    file = vault.file("plan.txt", b"first").file
    vault.version(file, b"second", seen=SEEN + timedelta(days=1))
    backed_up(vault)
    address = reverse("source_policy", args=[vault.source.pk])
    page = visitor.post(address, wishes(keep="rules", keep_last=1, check="1"))
    (dry,) = page.context["dry_runs"]
    assert [(d.name, s.retention, s.bytes) for d, s in dry["destinations"]] == [
        ("one", 1, 5),
        ("two", 1, 5),
    ]
    assert "plan.txt" in page.content.decode()
    assert "No rule keeps it" in page.content.decode()
    assert not Policy.objects.exists()
    assert Copy.objects.count() == 4
    of_all = visitor.post(reverse("policy"), wishes(keep="rules", keep_last=2, check="1"))
    assert "Nothing." in of_all.content.decode()


def test_what_is_protected_is_told_as_such(vault: Vault, visitor: Client) -> None:
    first = vault.file("plan.txt", b"first")
    vault.version(first.file, b"second", seen=SEEN + timedelta(days=1))
    backed_up(vault)
    first.copies.update(locked_until=timezone.now() + timedelta(days=9))
    address = reverse("source_policy", args=[vault.source.pk])
    page = visitor.post(address, wishes(keep="rules", keep_last=1, check="1"))
    (dry,) = page.context["dry_runs"]
    assert [(s.retention, s.locked) for _, s in dry["destinations"]] == [(0, 1), (0, 1)]
    assert "Protected until" in page.content.decode()


@pytest.mark.parametrize(
    "changes",
    [{"keep": "rules"}, {"guard_percent": 101}, {"trash_days": -1}, {"keep": "some"},
     {"trash_days": 36_501}, {"verify_days": 0}, {"verify_days": 99_999_999},
     {"drill_days": 99_999_999}, {"drill_files": 0}, {"drill_files": 10**30},
     {"verify_bytes": 10**15 + 1}, {"drill_cold_cents": 10**30}, {"guard_files": 10**30},
     {"keep": "rules", "keep_yearly": 101}, {"keep": "rules", "keep_hourly": 10**30}],
)  # fmt: skip
def test_what_makes_no_sense_is_not_saved(
    owner: Owned, log_in: LogIn, changes: dict[str, Any]
) -> None:
    page = log_in(owner.user).post(reverse("policy"), wishes(**changes))
    assert page.context["form"].errors
    assert not Policy.objects.exists()


@pytest.mark.parametrize("name", ["trash_days", "verify_days", "drill_days"])
def test_pages_show_a_policy_whose_days_leave_the_calendar(
    owner: Owned, log_in: LogIn, name: str
) -> None:
    Policy.objects.create(owner=owner.user, **{name: 2_000_000_000})
    owner.source.files.update(vanished_at=timezone.now())
    client, source, file = log_in(owner.user), [owner.source.pk], owner.version.file
    addresses = [
        reverse("dashboard"),
        reverse("policy"),
        *(reverse(page, args=source) for page in ("source_policy", "source_proof")),
        reverse("file", args=[*source, file.pk]),
        reverse("source_files", args=source) + "?deleted=1",
    ]
    assert [client.get(address).status_code for address in addresses] == [200] * len(addresses)


def test_pruning_now_begins_a_run(owner: Owned, log_in: LogIn) -> None:
    answer = log_in(owner.user).post(reverse("source_prune", args=[owner.source.pk]))
    run = Run.objects.get(kind=Run.Kind.PRUNE)
    assert answer["Location"] == reverse("run", args=[run.pk])


def test_nobody_else_sees_or_changes_a_policy(owner: Owned, teammate: Owned, log_in: LogIn) -> None:
    client = log_in(teammate.user)
    for name in ("source_policy", "source_prune"):
        assert client.post(reverse(name, args=[owner.source.pk]), wishes()).status_code == 404
    assert owner.source.name not in client.get(reverse("policy")).content.decode()
    client.post(reverse("policy"), wishes(trash_days=1))
    assert effective(owner.source).trash_days == 30
