"""`manage.py source`."""

from __future__ import annotations

import pytest

from accounts.models import GoogleAccount, User
from syncapp.models import Destination, Source
from tests.management.conftest import Shell


def test_add_makes_a_source_of_a_linked_account(
    shell: Shell, account: GoogleAccount, folder: Destination
) -> None:
    answer = shell("source", "add", "--account", "Ada@gmail.example", "--destination", "Shelf")
    assert answer.code == 0, answer.err
    source = Source.objects.get()
    assert (source.owner, source.account, source.slug) == (
        account.user, account, "ada-gmail-example",
    )  # fmt: skip
    assert list(source.destinations.all()) == [folder]


def test_a_source_without_a_destination_is_warned_about(
    shell: Shell, account: GoogleAccount
) -> None:
    answer = shell("source", "add", "--account", account.email, "--name", "Mine")
    assert answer.code == 0
    assert "kept nowhere" in answer.err
    assert Source.objects.get().name == "Mine"


def test_an_account_is_a_source_once(shell: Shell, source: Source) -> None:
    answer = shell("source", "add", "--account", source.account.email)
    assert (answer.code, "already" in answer.err) == (2, True)
    assert Source.objects.count() == 1


def test_an_account_that_is_not_linked_is_not_found(shell: Shell, owner: User) -> None:
    answer = shell("source", "add", "--account", "nobody@example.org")
    assert (answer.code, "nobody@example.org" in answer.err) == (2, True)


def test_pause_and_resume_are_kept(shell: Shell, source: Source) -> None:
    assert shell("source", "pause", "ada").code == 0
    source.refresh_from_db()
    assert source.paused is True
    assert shell("source", "list", "--json").document["sources"][0]["paused"] is True
    assert shell("source", "resume", "ada").code == 0
    source.refresh_from_db()
    assert source.paused is False


def test_the_list_tells_account_state_and_destinations(
    shell: Shell, source: Source, folder: Destination
) -> None:
    source.destinations.add(folder)
    Source.objects.update(blocked_code="reconnect_required", blocked_reason="Link it again.")
    out = shell("source", "list").out
    for shown in ("ada@gmail.example", "blocked: Link it again.", "Shelf"):
        assert shown in out


def test_an_account_without_consent_fails_its_check_in_one_sentence(
    shell: Shell, source: Source
) -> None:
    answer = shell("source", "check", "ada")
    assert answer.code in (1, 5)
    assert "Traceback" not in answer.err
    assert "again" in answer.out + answer.err


@pytest.mark.parametrize("action", ["pause", "resume", "retry", "check", "show", "set"])
def test_an_unknown_source_is_a_usage_error(shell: Shell, owner: User, action: str) -> None:
    assert shell("source", action, "nothing").code == 2


def test_a_limit_is_set_as_rclone_writes_it(shell: Shell, source: Source) -> None:
    answer = shell("source", "limit", "ada", "08:00,512k", "23:00,off")
    assert answer.code == 0, answer.err
    source.refresh_from_db()
    assert source.bwlimit == "08:00,512k 23:00,off"
    assert shell("source", "list", "--json").document["sources"][0]["bwlimit"] == source.bwlimit
    answer = shell("source", "limit", "ada", "fast")
    assert (answer.code, "“fast” is no limit" in answer.err) == (2, True)


def test_a_new_source_is_watched_in_real_time(shell: Shell, account: GoogleAccount) -> None:
    answer = shell("source", "add", "--account", account.email, "--json")
    told = answer.document["source"]
    assert (told["mode"], told["next"]) == ("realtime", "within 60 s of a change")


def test_a_schedule_is_set_and_said_in_words(shell: Shell, source: Source) -> None:
    answer = shell("source", "set", "ada", "--cron", "0 9 * * 1-5", "--time-zone", "Europe/Paris")
    assert answer.code == 0, answer.err
    source.refresh_from_db()
    assert (source.mode, source.cron, source.time_zone) == (
        "scheduled",
        "0 9 * * 1-5",
        "Europe/Paris",
    )
    shown = shell("source", "show", "ada").out
    assert "At 09:00 on Monday through Friday, Europe/Paris" in shown
    assert shell("source", "list", "--json").document["sources"][0]["cron"] == "0 9 * * 1-5"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cron", "0 25 * * *"], "bad hour"),
        (["--cron", "every day"], "5 fields"),
        (["--mode", "scheduled", "--time-zone", "Europe/Atlantis"], "no time zone"),
        (["--reconcile-days", "366"], "“366” is no number of days from 0 to 365"),
    ],
)
def test_what_can_not_be_kept_is_a_usage_error_and_changes_nothing(
    shell: Shell, source: Source, options: list[str], said: str
) -> None:
    answer = shell("source", "set", "ada", *options)
    assert (answer.code, said in answer.err) == (2, True), answer.err
    before = source.mode, source.cron, source.time_zone
    source.refresh_from_db()
    assert (source.mode, source.cron, source.time_zone) == before


def test_manual_means_that_nothing_comes_next(shell: Shell, source: Source) -> None:
    assert shell("source", "set", "ada", "--mode", "manual").code == 0
    source.refresh_from_db()
    assert source.next_at is None
    assert "only when asked" in shell("source", "show", "ada").out
