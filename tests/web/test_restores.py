"""The pages of a restore: choose, see what it means, start, watch, steer, read the report."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.scopes import DRIVE_FILE
from syncapp.engine import restoring
from syncapp.models import Restore, RestoreItem, Run
from tests.engine.vault import SEEN, Vault
from tests.web.baked import HOSTILE, Owned
from tests.web.taking import body

LogIn = Callable[[User], Client]


def wish(vault: Vault, **changes: Any) -> dict[str, Any]:
    return {
        "source": vault.source.pk,
        "target": "download",
        "collision": "skip",
        "origin": "fastest",
        "at": "",
        **changes,
    }


@pytest.fixture
def restore(owner: Owned) -> Restore:
    """One that has ended, with a file that failed, one that was never stored, and one done."""
    run = Run.objects.create(
        source=owner.source,
        kind=Run.Kind.RESTORE,
        stage=Run.Stage.DONE,
        outcome=Run.Outcome.FAILED,
        requested_by=owner.user,
        ended_at=timezone.now(),
        files_total=3,
        files_done=1,
        files_failed=2,
    )
    made = Restore.objects.create(
        run=run, target="folder", options={"path": "/back"}, planned_at=timezone.now()
    )
    states = RestoreItem.State
    for name, state, code in (
        ("done.txt", states.DONE, ""),
        (HOSTILE, states.FAILED, "unavailable"),
        ("never.txt", states.FAILED, "not_stored"),
    ):
        RestoreItem.objects.create(
            restore=made, file=owner.file, path=f"Letters/{name}",
            state=state, error_code=code, error_message=f"{name}: {code}" if code else "",
            attempts=3, version=None if code == "not_stored" else owner.version,
        )  # fmt: skip
    return made


def test_a_restore_is_chosen_checked_and_started(
    vault: Vault, visitor: Client, tmp_path: Path
) -> None:
    User.objects.filter(pk=vault.source.owner_id).update(is_superuser=True)
    file = vault.file("plan.txt", b"first").file
    page = visitor.get(reverse("restore"), {"source": vault.source.pk, "file": file.pk})
    assert "plan.txt" in page.content.decode()
    asked = wish(vault, file=file.pk, target="folder", path=str(tmp_path / "back"))
    page = visitor.get(reverse("restore_check"), asked).content.decode()
    assert "1 file" in page
    assert "5 Bytes" in page
    assert not Run.objects.exists()
    answer = visitor.post(reverse("restore_start"), asked)
    run = Run.objects.get()
    assert answer["Location"] == reverse("restore_run", args=[run.pk])
    assert run.restore.files == [file.pk]
    assert run.restore.options == {"path": str(tmp_path / "back")}
    assert visitor.get(answer["Location"]).status_code == 200


def test_a_download_is_the_file_or_an_archive_of_that_moment(vault: Vault, visitor: Client) -> None:
    file = vault.file("plan.txt", b"first").file
    vault.version(file, b"second one", seen=SEEN + timedelta(days=9))
    at = timezone.localtime(SEEN + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    page = visitor.get(reverse("restore_check"), wish(vault, file=file.pk, at=at))
    address = page.context["download"]
    assert body(visitor.get(address)) == b"first"
    page = visitor.get(reverse("restore_check"), wish(vault, at=at))
    address = page.context["download"]
    assert address.startswith(reverse("archive", args=[vault.source.pk]))
    with zipfile.ZipFile(io.BytesIO(body(visitor.get(address)))) as found:
        assert found.read("plan.txt") == b"first"


@pytest.mark.parametrize(("year", "says"), [("1999", "first looked at"), ("2199", "the future")])
def test_a_moment_without_anything_is_refused_where_it_is_entered(
    vault: Vault, visitor: Client, year: str, says: str
) -> None:
    vault.file("a.txt")
    page = visitor.get(reverse("restore_check"), wish(vault, at=f"{year}-05-05T12:00"))
    assert (page.templates[0].name, says in page.content.decode()) == (
        "restores/wizard.html",
        True,
    )


def test_a_dry_run_of_very_much_says_that_it_was_cut_short(
    vault: Vault, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("a.txt")
    monkeypatch.setattr("syncapp.web.views.restores.ADD_UP_S", -1.0)
    at = timezone.localtime(SEEN + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    page = visitor.get(reverse("restore_check"), wish(vault, at=at))
    assert "At least 0 files so far" in page.content.decode()


def test_a_moment_in_the_address_is_never_shown_earlier(vault: Vault, visitor: Client) -> None:
    at = SEEN + timedelta(microseconds=5)
    page = visitor.get(reverse("restore"), {"source": vault.source.pk, "at": at.isoformat()})
    shown = page.context["form"]["at"].value()
    assert shown == timezone.localtime(SEEN + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")


def test_drive_is_written_to_only_after_a_consent(vault: Vault, visitor: Client) -> None:
    file = vault.file("a.txt").file
    asked = wish(vault, file=file.pk, target="drive", account=vault.source.account_id)
    page = visitor.get(reverse("restore_check"), asked).content.decode()
    assert reverse("google_write", args=[vault.source.account_id]) in page
    assert reverse("restore_start") not in page
    one_click = reverse("restore_back", args=[vault.source.pk, file.pk])
    answer = visitor.post(one_click)
    assert answer["Location"].startswith(reverse("restore_check"))
    assert "may only be read" in visitor.get(answer["Location"]).content.decode()
    vault.source.account.scopes = [DRIVE_FILE]
    vault.source.account.save()
    assert reverse("restore_start") in visitor.get(reverse("restore_check"), asked).content.decode()
    run_page = visitor.post(one_click)["Location"]
    made = Restore.objects.get()
    assert run_page == reverse("restore_run", args=[made.run_id])
    assert (made.target, made.files) == ("drive", [file.pk])


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "folder"},
        {"target": "scratch"},
        {"at": "yesterday"},
        {"origin": "named:999"},
        {"target": "destination", "destination": 999},
    ],
)
def test_a_wish_that_cannot_be_meant_comes_back_with_the_reason(
    vault: Vault, visitor: Client, changes: dict[str, Any]
) -> None:
    page = visitor.get(reverse("restore_check"), wish(vault, **changes))
    assert page.status_code == 200
    assert page.context["form"].errors
    assert visitor.post(reverse("restore_start"), wish(vault, **changes)).status_code == 200
    assert not Run.objects.exists()


def test_what_a_target_needs_is_not_called_optional(vault: Vault, visitor: Client) -> None:
    User.objects.filter(pk=vault.source.owner_id).update(is_superuser=True)
    page = visitor.get(reverse("restore"), {"source": vault.source.pk}).content.decode()
    called = re.findall(r">([^<]+) <span[^>]*>\(optional\)", page)
    assert called == ["Folder in the destination", "New folder in Drive", "As it was on"]


def test_a_folder_that_belongs_to_the_program_is_refused(vault: Vault, visitor: Client) -> None:
    User.objects.filter(pk=vault.source.owner_id).update(is_superuser=True)
    page = visitor.post(reverse("restore_start"), wish(vault, target="folder", path="/"))
    assert "belongs to the program" in page.content.decode()


def test_a_folder_that_cannot_be_is_refused_before_anything_is_counted(
    vault: Vault, visitor: Client
) -> None:
    User.objects.filter(pk=vault.source.owner_id).update(is_superuser=True)
    page = visitor.get(reverse("restore_check"), wish(vault, target="folder", path="relative"))
    assert "not an absolute path" in page.content.decode()
    assert "found" not in page.context


def test_the_page_of_a_restore_names_what_failed_and_lets_it_be_tried_again(
    restore: Restore, owner: Owned, log_in: LogIn
) -> None:
    client = log_in(owner.user)
    page = client.get(reverse("run", args=[restore.run_id]), follow=True).content.decode()
    assert "[U+202E]" in page
    assert "<script>alert" not in page
    client.post(reverse("restore_retry", args=[restore.run_id]))
    restore.run.refresh_from_db()
    states = dict(restore.items.values_list("error_code", "state"))
    assert states["not_stored"] == "failed"
    assert restore.items.filter(state="pending").count() == 1
    assert (restore.run.ended_at, restore.run.outcome) == (None, "running")
    assert (restore.run.stage, restore.run.files_failed) == ("restore", 1)
    assert restoring.retry(restore.run) == 0


def test_the_page_of_a_restore_names_what_was_left_alone(
    restore: Restore, owner: Owned, log_in: LogIn
) -> None:
    ended = Run.objects.filter(pk=restore.run_id)
    ended.update(outcome="warnings", files_failed=0, files_there=1, files_skipped=1)
    restore.items.filter(state="failed").update(state="skipped", error_message="Something else.")
    page = log_in(owner.user).get(reverse("restore_run", args=[restore.run_id])).content.decode()
    assert "Complete, with warnings" in page
    assert "never.txt" in page
    assert "Something else has their names" in page


def test_a_restore_whose_place_can_not_be_used_is_offered_another(
    restore: Restore, owner: Owned, log_in: LogIn
) -> None:
    Run.objects.filter(pk=restore.run_id).update(
        ended_at=None, stage="restore", outcome="running", paused=True, error_code="configuration",
        error_message="The folder /back can't be made. Choose another one.",
    )  # fmt: skip
    client = log_in(owner.user)
    page = client.get(reverse("restore_run", args=[restore.run_id]))
    assert "restore the same to another place" in page.content.decode()
    form = client.get(page.context["elsewhere"]).context["form"]
    assert (form["path"].value(), form["collision"].value()) == ("/back", "skip")
    Run.objects.filter(pk=restore.run_id).update(error_code="")
    page = client.get(reverse("restore_run", args=[restore.run_id]))
    assert not page.context["elsewhere"], "a person has paused it"


def test_a_restore_is_paused_and_goes_on(restore: Restore, owner: Owned, log_in: LogIn) -> None:
    Run.objects.filter(pk=restore.run_id).update(ended_at=None, stage="restore", outcome="running")
    client, asked = log_in(owner.user), [restore.run_id]
    page = client.post(reverse("restore_pause", args=asked), follow=True).content.decode()
    assert "Go on" in page
    assert Run.objects.get(pk=restore.run_id).paused
    client.post(reverse("restore_resume", args=asked))
    assert not Run.objects.get(pk=restore.run_id).paused


def test_the_report_has_every_item(transactional_db: None, restore: Restore, log_in: LogIn) -> None:
    client = log_in(restore.run.source.owner)
    text = client.get(reverse("restore_report", args=[restore.run_id]))
    assert text["Content-Disposition"].startswith("attachment")
    told = body(text).decode()
    assert "done.txt" in told
    assert "[not_stored]" in told
    as_json = client.get(reverse("restore_report", args=[restore.run_id]), {"format": "json"})
    assert as_json["Content-Type"] == "application/json"
    assert body(as_json).count(b'"result"') == 3


def test_restores_are_listed_with_their_place(
    restore: Restore, owner: Owned, log_in: LogIn
) -> None:
    page = log_in(owner.user).get(reverse("restores")).content.decode()
    assert "Folder /back on this server" in page
    assert "Not all restored" in page
    assert "there already" not in page
    Run.objects.filter(pk=restore.run_id).update(files_there=2)
    again = log_in(owner.user).get(reverse("restores")).content.decode()
    assert ">2 there already<" in again


def test_the_list_takes_as_many_queries_for_many_restores_as_for_one(
    owner: Owned, log_in: LogIn
) -> None:
    client, counts = log_in(owner.user), []
    for number in (1, 12):
        for _ in range(number):
            run = Run.objects.create(source=owner.source, kind=Run.Kind.RESTORE)
            where = {"destination": owner.destinations[0].pk, "prefix": "restored/x"}
            Restore.objects.create(run=run, target="destination", options=where)
        with CaptureQueriesContext(connection) as captured:
            page = client.get(reverse("restores")).content.decode()
        counts.append(len(captured))
        assert page.count("Attic, restored/x") >= number
    assert counts[0] == counts[1]


def test_nobody_else_sees_or_steers_a_restore(
    restore: Restore, owner: Owned, teammate: Owned, log_in: LogIn
) -> None:
    client = log_in(teammate.user)
    for name in ("restore_run", "restore_report"):
        assert client.get(reverse(name, args=[restore.run_id])).status_code == 404
    for name in ("restore_pause", "restore_resume", "restore_retry"):
        assert client.post(reverse(name, args=[restore.run_id])).status_code == 404
    assert "Folder /back" not in client.get(reverse("restores")).content.decode()
    asked = {"source": owner.source.pk}
    assert client.get(reverse("restore"), asked).status_code == 404
    assert client.get(reverse("restore_check"), asked).status_code == 404
    assert client.post(reverse("restore_start"), asked).status_code == 404
    mixed = {"source": teammate.source.pk, "file": owner.file.pk}
    assert client.get(reverse("restore"), mixed).status_code == 404
    back = reverse("restore_back", args=[owner.source.pk, owner.file.pk])
    assert client.post(back).status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner.user)
    assert strict.post(reverse("restore_start"), asked).status_code == 403


def test_the_pages_are_there_before_there_is_anything(outsider: User, log_in: LogIn) -> None:
    client = log_in(outsider)
    assert "nothing to restore" in client.get(reverse("restore")).content.decode()
    assert "Nothing has been restored yet" in client.get(reverse("restores")).content.decode()
    assert Client().get(reverse("restores")).status_code == 302
