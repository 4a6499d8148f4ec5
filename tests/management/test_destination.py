"""`manage.py destination`, with real folders."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import User
from syncapp.models import Breaker, Destination, Source
from tests.management.conftest import Shell

ADD_LOCAL = ("destination", "add", "local", "--name", "Shelf")
ADD_S3 = (
    "destination",
    "add",
    "s3",
    "--name",
    "Bucket",
    "--no-test",
    "--set",
    "bucket=some-bucket",
)


def s3_options(endpoint: str = "http://127.0.0.1:1") -> tuple[str, ...]:
    return *ADD_S3, "--set", f"endpoint={endpoint}", "--set", "region=us-east-1"


def test_add_tries_the_folder_and_saves_it(shell: Shell, owner: User, tmp_path: Path) -> None:
    answer = shell(*ADD_LOCAL, "--set", f"path={tmp_path / 'shelf'}")
    assert answer.code == 0, answer.err
    assert "ok      read back" in answer.out
    saved = Destination.objects.get()
    assert (saved.owner, saved.name, saved.enabled, saved.blocked_code) == (
        owner, "Shelf", True, "",
    )  # fmt: skip
    assert list(saved.sources.all()) == []
    assert [p.name for p in (tmp_path / "shelf").iterdir()] != []


def test_a_folder_that_was_tried_once_is_not_claimed_again(
    shell: Shell, owner: User, tmp_path: Path
) -> None:
    path = tmp_path / "disk"
    shell(*ADD_LOCAL, "--set", f"path={path}")
    path.rename(tmp_path / "unmounted")
    answer = shell("destination", "test", "Shelf")
    assert answer.code == 1
    assert "not mounted" in answer.out
    assert Destination.objects.get().blocked_code != ""
    (tmp_path / "unmounted").rename(path)
    assert shell("destination", "test", "Shelf").code == 0
    assert Destination.objects.get().blocked_code == ""


def test_add_saves_nothing_when_the_test_fails(shell: Shell, owner: User, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    answer = shell(*ADD_LOCAL, "--set", f"path={tmp_path / 'file' / 'below'}")
    assert answer.code == 1
    assert "error" in answer.out
    assert "Nothing was saved." in answer.out
    assert not Destination.objects.exists()


def test_without_a_test_it_is_saved_untried(shell: Shell, owner: User, tmp_path: Path) -> None:
    answer = shell(*ADD_LOCAL, "--set", f"path={tmp_path / 'later'}", "--no-test")
    assert answer.code == 0
    assert Destination.objects.get().name == "Shelf"
    assert not (tmp_path / "later").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--set", "path=relative"), "Folder"),
        ((), "path"),
        (("--set", "path"), "OPTION=VALUE"),
        (("--set", "path=/tmp/x", "--set", "colour=red"), "colour"),
        (("--set", "path=/tmp/x", "--owner", "nobody"), "nobody"),
        (("--set", "path=/tmp/x", "--source", "nothing"), "nothing"),
    ],
)
def test_a_wrong_option_is_a_usage_error_that_names_it(
    shell: Shell, owner: User, arguments: tuple[str, ...], named: str
) -> None:
    answer = shell(*ADD_LOCAL, *arguments)
    assert answer.code == 2
    assert named in answer.err
    assert "Traceback" not in answer.err
    assert not Destination.objects.exists()


def test_an_unknown_kind_is_a_usage_error_that_lists_the_kinds(shell: Shell, owner: User) -> None:
    answer = shell("destination", "add", "tape", "--name", "Tape")
    assert answer.code == 2
    assert "s3, local" in answer.err


def test_a_name_that_would_turn_what_is_beside_it_is_a_usage_error(
    shell: Shell, owner: User, tmp_path: Path
) -> None:
    name = ("destination", "add", "local", "--name", "Attic \u202egnp")
    answer = shell(*name, "--set", f"path={tmp_path}")
    assert answer.code == 2
    assert "Attic [U+202E]gnp" in answer.err
    assert not Destination.objects.exists()


def test_a_name_is_used_once_by_an_owner(shell: Shell, folder: Destination) -> None:
    answer = shell(*ADD_LOCAL, "--set", "path=/tmp/x", "--no-test")
    assert answer.code == 2
    assert Destination.objects.count() == 1


def test_the_owner_must_be_said_where_there_are_two_administrators(
    shell: Shell, owner: User, tmp_path: Path
) -> None:
    grace = User.objects.create_superuser("grace")
    arguments = (*ADD_LOCAL, "--set", f"path={tmp_path / 'x'}", "--no-test")
    assert shell(*arguments).code == 2
    assert shell(*arguments, "--owner", "grace").code == 0
    assert Destination.objects.get().owner == grace


def test_a_secret_in_an_argument_is_refused_and_not_repeated(shell: Shell, owner: User) -> None:
    answer = shell(*s3_options(), "--set", "secret_access_key=hunter2")
    assert answer.code == 2
    assert "--secret secret_access_key" in answer.err
    assert "hunter2" not in answer.err + answer.out
    assert not Destination.objects.exists()


def test_secrets_come_by_stdin_and_environment_and_are_never_shown(
    shell: Shell, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "AKIAEXAMPLE")
    answer = shell(
        *s3_options(), "--secret", "secret_access_key", "--secret-env", "access_key_id=THE_KEY",
        "--json", stdin="hunter2\n",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    saved = Destination.objects.get()
    assert "hunter2" in saved.secrets
    assert "AKIAEXAMPLE" in saved.secrets
    listed = shell("destination", "list", "--json")
    for shown in (answer.out, answer.err, listed.out, str(saved.options)):
        assert "hunter2" not in shown
        assert "AKIAEXAMPLE" not in shown


def test_a_secret_that_does_not_come_is_a_usage_error(shell: Shell, owner: User) -> None:
    assert "stdin" in shell(*s3_options(), "--secret", "secret_access_key").err
    answer = shell(*s3_options(), "--secret-env", "access_key_id=NOT_SET_ANYWHERE")
    assert (answer.code, "NOT_SET_ANYWHERE" in answer.err) == (2, True)


def test_a_source_can_be_attached_at_once(
    shell: Shell, source: Source, owner: User, tmp_path: Path
) -> None:
    answer = shell(*ADD_LOCAL, "--set", f"path={tmp_path / 'x'}", "--source", "ada", "--json")
    assert answer.document["saved"] is True
    assert answer.document["destination"]["sources"] == ["ada"]
    assert {check["level"] for check in answer.document["checks"]} == {"ok"}
    assert "_prepared" not in answer.document["destination"]["options"]


def test_somebody_elses_source_is_not_attached(
    shell: Shell, source: Source, tmp_path: Path
) -> None:
    User.objects.create_user("eve")
    arguments = (*ADD_LOCAL, "--set", f"path={tmp_path / 'x'}", "--owner", "eve")
    assert shell(*arguments, "--source", "ada").code == 2
    assert not Destination.objects.exists()
    assert shell(*arguments).code == 0
    refused = shell("destination", "attach", "Shelf", "--source", "ada")
    assert refused.code != 0
    assert "somebody else" in refused.err
    assert not source.destinations.exists()


def test_attach_and_detach_say_what_changed(
    shell: Shell, source: Source, folder: Destination
) -> None:
    assert (
        "from its next backup on"
        in shell("destination", "attach", "Shelf", "--source", str(source.pk)).out
    )
    assert list(source.destinations.all()) == [folder]
    assert "already" in shell("destination", "attach", "Shelf", "--source", "ada").out
    assert "what is there stays" in shell("destination", "detach", "Shelf", "--source", "ada").out
    assert not source.destinations.exists()
    assert "was not" in shell("destination", "detach", "Shelf", "--source", "ada").out


def test_disable_and_enable_switch_it(shell: Shell, folder: Destination) -> None:
    assert shell("destination", "disable", "Shelf").code == 0
    folder.refresh_from_db()
    assert folder.enabled is False
    assert "disabled" in shell("destination", "list").out
    assert shell("destination", "enable", str(folder.pk)).code == 0
    folder.refresh_from_db()
    assert folder.enabled is True


def test_the_list_shows_hostile_names_harmless(shell: Shell, folder: Destination) -> None:
    Destination.objects.update(
        name="Shelf\x1b[2J\u202e", blocked_code="x", blocked_reason="no\ndisk"
    )
    out = shell("destination", "list").out
    assert "Shelf\\x1b[2J\\u202e" in out
    assert "blocked: no\\ndisk" in out
    assert "\x1b[2J" not in out


def test_help_tells_each_kinds_options(shell: Shell) -> None:
    out = shell("destination", "add", "--help").out
    assert "secret_access_key" in out
    assert "Absolute path on the server" in out
    assert "exit codes:" in out


def test_a_limit_acts_at_once_and_off_lifts_it(shell: Shell, folder: Destination) -> None:
    assert shell("destination", "limit", "Shelf", "10M").code == 0
    folder.refresh_from_db()
    assert folder.bwlimit == "10M"
    assert shell("destination", "limit", "Shelf", "10 apples").code == 2


def test_status_and_list_tell_what_is_not_reachable(shell: Shell, folder: Destination) -> None:
    retry_at = timezone.now() + timedelta(minutes=1)
    Breaker.objects.create(
        key=f"destination:{folder.pk}", state="open", retry_at=retry_at, error_message="It is away."
    )
    document = shell("status", "--json").document
    assert document["destinations"][0]["down_until"] is not None
    found = [f for f in document["findings"] if f["code"] == "destination_down"]
    assert found[0]["message"].startswith("The destination “Shelf” is not reachable: It is away.")
    assert "not reachable, next try" in shell("destination", "list").out
