"""`manage.py policy` and `manage.py prune --dry-run`: what holds, and what would go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from accounts.models import User
from syncapp.models import Copy, Event, File, Policy, Run, Source
from tests.engine.pruning import NOW, ago, ended, history, keep
from tests.engine.vault import Vault
from tests.management.conftest import Shell

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_is_set_is_shown_with_where_it_comes_from(
    shell: Shell, owner: User, source: Source
) -> None:
    assert shell("policy", "set", "--keep-daily", "7", "--trash-days", "60").code == 0
    assert shell("policy", "set", "ada", "--drill-days", "0", "--trash-days", "5").code == 0
    assert shell("policy", "set", "ada", "--trash-days", "inherit").code == 0

    text = shell("policy", "show", "ada").out
    assert "one each of the last 7 days" in text
    values = shell("policy", "show", "ada", "--json").document["policies"][0]["values"]
    assert values["keep"]["value"]["daily"] == 7
    assert values["keep"]["origin"] == "default"
    assert values["trash_days"] == {"value": 60, "origin": "default"}
    assert values["drill_days"] == {"value": 0, "origin": "source"}
    assert values["guard_files"] == {"value": 500, "origin": "built-in"}
    everything = shell("policy", "show", "--json").document["policies"]
    assert [one["source"] for one in everything] == [None, "ada"]
    assert Event.objects.filter(code="policy_changed").count() == 3


def test_rules_that_are_not_named_are_off_and_keep_all_ends_them(shell: Shell, owner: User) -> None:
    shell("policy", "set", "--keep-last", "3", "--keep-yearly", "2")
    shell("policy", "set", "--keep-weekly", "4")
    policy = Policy.objects.get()
    assert (policy.keep_last, policy.keep_weekly, policy.keep_yearly) == (0, 4, 0)

    assert "every version" in shell("policy", "set", "--keep-all").out
    policy.refresh_from_db()
    assert (policy.keep, policy.keep_weekly) == ("all", 0)


@pytest.mark.parametrize(
    "wrong",
    [["--keep-last", "-1"], ["--guard-percent", "101"], ["--keep-all", "--keep-last", "2"],
     ["--trash-days", "soon"], ["--verify-bytes", "lots"], [],
     ["--trash-days", "36501"], ["--verify-days", "0"], ["--drill-files", "0"],
     ["--verify-bytes", "2000TB"], ["--keep-yearly", "101"], ["--keep-yearly", "inherit"]],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(shell: Shell, owner: User, wrong: list[str]) -> None:
    answer = shell("policy", "set", *wrong)

    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert not Policy.objects.exists()


@pytest.mark.parametrize("name", ["trash_days", "guard_percent", "verify_bytes", "keep_last"])
def test_a_value_of_nothing_can_be_set_alone(shell: Shell, owner: User, name: str) -> None:
    assert shell("policy", "set", f"--{name.replace('_', '-')}", "0").code == 0
    assert getattr(Policy.objects.get(), name) == 0


def test_a_size_may_have_a_unit(shell: Shell, owner: User) -> None:
    assert shell("policy", "set", "--verify-bytes", "2GB").code == 0
    assert Policy.objects.get().verify_bytes == 2_000_000_000


def test_a_dry_run_tells_what_would_go_and_what_is_protected(shell: Shell, tmp_path: Path) -> None:
    vault = Vault.make(tmp_path)
    ended(vault.source)
    history(vault, 100, 60, 1)
    gone = vault.file("\x1b[31mgone.txt", b"0123456789")
    File.objects.filter(pk=gone.file_id).update(vanished_at=ago(40))
    keep(vault, keep_last=1)
    until = NOW + timedelta(days=3)
    Copy.objects.filter(version=gone, destination=vault.destinations[1]).update(locked_until=until)

    text = shell("prune", "--dry-run").out
    found = shell("prune", "--dry-run", "--json", "--list", "2").document["sources"][0]

    assert "keeps the last 1" in text
    assert "\x1b" not in text
    assert "report.txt" in text
    assert f"protected until {until.astimezone():%Y-%m-%d}" in text
    one, two = found["destinations"]
    assert (one["trash"], one["retention"], one["protected"]) == (1, 2, 0)
    assert (two["trash"], two["retention"], two["protected"]) == (0, 2, 1)
    assert (len(found["copies"]), found["copies_left_out"]) == (2, 4)
    assert Copy.objects.filter(state=Copy.State.STORED).count() == 8
    assert not Run.objects.filter(kind="prune").exists()


def test_a_dry_run_before_any_backup_says_so(shell: Shell, tmp_path: Path) -> None:
    Vault.make(tmp_path)

    assert "nothing goes before a first good backup" in shell("prune", "--dry-run").out


def test_pruning_is_asked_for(shell: Shell, tmp_path: Path) -> None:
    vault = Vault.make(tmp_path)

    answer = shell("prune", "--source", "drive")

    assert answer.code == 0
    assert Run.objects.get(kind="prune").source == vault.source
