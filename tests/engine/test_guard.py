"""A run that would change much of what is stored stops and asks."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import User
from syncapp.engine import guard
from syncapp.models import Copy, Event, File, Policy, Run, Version
from tests.engine.conftest import Setting
from tests.engine.tree import blobs


def in_trash() -> int:
    return Copy.objects.filter(object_key__contains="/.trash/").count()


def stopped(setting: Setting) -> Run:
    """A backup that had to stop and ask."""
    run = setting.back_up()
    setting.source.refresh_from_db()
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "mass_change")
    assert setting.source.blocked_code == "mass_change"
    return run


def test_a_mass_deletion_stops_before_anything_is_moved_and_goes_on_when_approved(
    few: Setting,
) -> None:
    few.back_up()
    gone = blobs(few)[:12]
    for file in gone:
        few.control.delete(file.remote_id)
    few.control.create("new.txt", b"new")
    run = stopped(few)
    assert in_trash() == 0
    assert "12 would go to the trash and 0 would be replaced" in run.error_message
    assert gone[0].name in run.error_message or "Among them" in run.error_message
    assert Event.objects.filter(level=Event.Level.ALERT, code="run_failed").exists()
    stopped(few)
    assert in_trash() == 0, "asking again changes nothing"
    call_command("source", "approve", few.source.slug)
    few.source.refresh_from_db()
    assert (few.source.blocked_code, few.source.approved_changes) == ("", 12)
    approved = few.work(few.source.runs.get(ended_at=None))
    assert approved.outcome == Run.Outcome.WARNINGS, "a sharp drop is never green"
    assert in_trash() == 24
    few.source.refresh_from_db()
    assert few.source.approved_changes == 0, "spent"
    assert few.verify().outcome == Run.Outcome.OK


def test_more_than_was_approved_is_asked_for_again(few: Setting) -> None:
    few.back_up()
    for file in blobs(few)[:12]:
        few.control.delete(file.remote_id)
    stopped(few)
    few.control.delete(blobs(few)[20].remote_id)
    guard.approve(few.source)
    run = few.work(few.source.runs.get(ended_at=None))
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "mass_change")


def test_replaced_contents_count_and_renames_do_not(few: Setting) -> None:
    few.back_up()
    for number, file in enumerate(blobs(few)):
        few.control.rename(file.remote_id, f"renamed {number}.bin")
    assert few.back_up().outcome == Run.Outcome.OK
    for file in blobs(few)[:10]:
        few.control.edit(file.remote_id, b"encrypted by somebody")
    run = stopped(few)
    assert "0 would go to the trash and 10 would be replaced" in run.error_message
    stored = Copy.objects.filter(version__state=Version.State.STORED)
    assert stored.count() == 80, "what is stored stays stored"


def test_a_policy_of_the_source_sets_the_limits(few: Setting) -> None:
    few.back_up()
    Policy.objects.create(owner=few.source.owner, source=few.source, guard_percent=100)
    for file in blobs(few)[:12]:
        few.control.delete(file.remote_id)
    assert few.back_up().outcome == Run.Outcome.OK
    Policy.objects.update(guard_files=10)
    for file in blobs(few)[15:26]:
        few.control.edit(file.remote_id, b"x")
    stopped(few)


def test_a_file_that_became_empty_is_never_green(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    few.control.edit(file.remote_id, b"")
    run = few.back_up()
    assert run.outcome == Run.Outcome.WARNINGS
    told = Event.objects.get(run=run, code="files_emptied")
    assert file.name in told.message
    kept = Version.objects.filter(file=file, state=Version.State.STORED).order_by("pk")
    assert [version.size for version in kept] == [file_size(file), 0]


def file_size(file: File) -> int | None:
    return Version.objects.filter(file=file).earliest("pk").size


def test_only_the_owner_approves(few: Setting, client: Client) -> None:
    few.back_up()
    for file in blobs(few)[:12]:
        few.control.delete(file.remote_id)
    stopped(few)
    address = reverse("source_approve", args=[few.source.pk])
    client.force_login(User.objects.create_user("somebody-else"))
    assert client.post(address).status_code == 404
    client.force_login(few.source.owner)
    assert client.get(address).status_code == 405
    assert "Approve the changes" in client.get("/").content.decode()
    assert client.post(address).status_code == 302
    few.source.refresh_from_db()
    assert few.source.blocked_code == ""


@pytest.mark.parametrize("count", [9])
def test_a_handful_is_never_too_much(few: Setting, count: int) -> None:
    few.back_up()
    for file in blobs(few)[:count]:
        few.control.delete(file.remote_id)
    assert few.back_up().outcome == Run.Outcome.OK
