"""Things go wrong for real: the source, a destination, the consent, the bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import GoogleAccount
from syncapp.destinations.local import LocalDestination
from syncapp.destinations.s3 import S3Destination
from syncapp.engine import dispatch, runs
from syncapp.engine.adapters import destination_for
from syncapp.errors import IntegrityError, Unavailable
from syncapp.models import Attempt, Copy, Destination, Event, File, Lane, Run, Source, Version
from syncapp.types import ObjectInfo, ObjectMeta, Part
from tests.engine.conftest import Setting, make_setting
from tests.engine.in_time import in_a_thread, wait_for
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info


def a_file(setting: Setting) -> File:
    file = File.objects.filter(source=setting.source, content="blob").order_by("pk").first()
    assert file is not None
    return file


def test_a_file_that_fails_for_a_while_is_stored_by_a_later_attempt(few: Setting) -> None:
    few.control.add_fault("alt=media", status=500, count=8)
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK
    assert Version.objects.filter(state="stored").count() == 40
    assert Attempt.objects.exclude(error_code="").exists() or run.bytes_read == run.bytes_total


def test_wrong_bytes_from_the_source_are_never_stored(few: Setting) -> None:
    few.control.add_fault("alt=media", corrupt=True, count=3)
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK
    assert Attempt.objects.filter(error_code="checksum_mismatch").count() == 3
    truth = {e["id"]: e["sha256"] for e in few.control.manifest() if e.get("sha256")}
    for version in Version.objects.select_related("file"):
        assert version.sha256 == truth[version.file.remote_id]
        assert not version.checksum_disputed
    assert few.verify().outcome == Run.Outcome.OK


def test_lasting_failure_ends_in_an_alert_and_a_manual_retry_mends_it(few: Setting) -> None:
    run = few.back_up()
    file = a_file(few)
    few.control.edit(file.remote_id, b"second content")
    few.control.add_fault("alt=media", file_id=file.remote_id, status=503)
    run = few.back_up()
    assert run.outcome == Run.Outcome.FAILED
    version = Version.objects.get(file=file, current=True)
    assert (version.state, version.attempts) == (Version.State.FAILED, 5)
    assert Attempt.objects.filter(version=version).count() == 5
    alert = Event.objects.get(code="file_failed", level="alert")
    assert alert.version_id == version.pk
    few.control.clear_faults()
    assert runs.retry_failed(few.source) == 1
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK
    alert.refresh_from_db()
    assert alert.acknowledged_at is not None


def test_a_refusal_of_google_is_recorded_and_does_not_fail_the_run(few: Setting) -> None:
    few.control.add_fault("alt=media", status=403, reason="cannotDownloadFile", count=1)
    run = few.back_up()
    assert run.outcome == Run.Outcome.WARNINGS
    refused = Version.objects.get(state=Version.State.REFUSED)
    assert refused.error_code == "cannot_download_file"
    assert run.files_refused == 1


def test_a_refusal_that_is_lifted_is_made_good_by_a_retry_in_the_middle_of_a_run(
    few: Setting,
) -> None:
    few.control.add_fault("alt=media", status=403, reason="cannotDownloadFile", count=1)
    few.back_up()
    refused = Version.objects.get(state=Version.State.REFUSED)
    assert not refused.copies.exists(), "nothing waits for what Google does not give"
    other = Version.objects.filter(state=Version.State.STORED).select_related("file")[0]
    few.control.edit(other.file.remote_id, b"so that the run has something to do")
    run, _ = runs.request_backup(few.source)
    dispatch.tick()
    dispatch.work(Lane.objects.get(run=run).pk)
    assert runs.retry_failed(few.source) == 1
    few.work(run)
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert Copy.objects.filter(version=refused, state="stored").count() == 2


def test_nothing_is_waited_for_of_a_file_that_vanished_before_it_was_read(few: Setting) -> None:
    few.control.add_fault("alt=media", status=503)
    run, _ = runs.request_backup(few.source)
    dispatch.tick()
    dispatch.work(Lane.objects.get(run=run).pk)
    assert runs.cancel(run)
    file = a_file(few)
    assert Copy.objects.filter(version__file=file, state="pending").count() == 2
    few.control.delete(file.remote_id)
    few.control.clear_faults()
    assert few.back_up().outcome == Run.Outcome.OK
    assert not Copy.objects.filter(state="pending").exists()
    assert Version.objects.get(file=file).state == Version.State.SUPERSEDED


def test_a_checksum_that_google_itself_has_wrong_is_flagged_and_stored(sample: Setting) -> None:
    sample.back_up()
    disputed = Version.objects.filter(checksum_disputed=True).select_related("file")
    assert [v.file.name for v in disputed] == ["IMG_wrong_md5.jpg"]
    assert disputed[0].state == Version.State.STORED


def test_a_wrong_md5_beside_a_right_sha256_is_found_by_the_store_flagged_and_stored(
    few: Setting,
) -> None:
    small = few.control.create("small", b"small")["id"]
    larger = few.control.create("larger", size=1_500_000)["id"]
    for remote_id in (small, larger):
        few.control.set(remote_id, claimed_md5="5" * 32)
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    truth = {entry["id"]: entry["md5"] for entry in few.control.manifest() if "md5" in entry}
    disputed = Version.objects.filter(checksum_disputed=True).select_related("file")
    assert {v.file.remote_id for v in disputed} == {small, larger}
    for version in disputed:
        assert version.md5 == truth[version.file.remote_id]
        assert version.copies.filter(state=Copy.State.STORED).count() == 2
    assert few.verify().outcome == Run.Outcome.OK


def test_a_file_edited_between_scan_and_read_is_stored_as_it_is_now(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = runs.request_backup(few.source)
    dispatch.tick()
    for lane in Lane.objects.filter(run=run):
        dispatch.work(lane.pk)
    file = a_file(few)
    few.control.edit(file.remote_id, b"newer than the scan")
    few.work(run)
    current = Version.objects.get(file=file, current=True)
    assert current.state == Version.State.STORED
    for copy in current.copies.all():
        assert few.stored_bytes(copy) == b"newer than the scan"
    assert Version.objects.filter(file=file, state=Version.State.SUPERSEDED).count() == 1


def test_a_file_edited_between_two_tries_is_stored_in_every_destination(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them already has what it was before."""
    real, edited = S3Destination.put, []

    def put(self: S3Destination, key: str, part: Part, meta: ObjectMeta) -> ObjectInfo:
        if not edited:
            edited.append(meta.remote_id)
            few.control.edit(meta.remote_id, b"newer than the first try")
            raise IntegrityError("The bucket reports other bytes.")
        return real(self, key, part, meta)

    monkeypatch.setattr(S3Destination, "put", put)
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    current = Version.objects.get(file__remote_id=edited[0], current=True)
    copies = list(current.copies.all())
    assert {copy.destination_id for copy in copies} == {few.folder.pk, few.bucket.pk}
    assert {few.stored_bytes(copy) for copy in copies} == {b"newer than the first try"}
    assert few.verify().outcome == Run.Outcome.OK


@pytest.mark.parametrize("files", [1])
def test_one_destination_down_is_served_later_from_the_spool(
    few: Setting, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other destination is served at once, and Google is read once all the same."""
    down = threading.Event()
    down.set()
    real_put = S3Destination.put

    def put(self: S3Destination, *args: Any, **more: Any) -> Any:
        if down.is_set():
            raise Unavailable("The bucket does not answer.")
        return real_put(self, *args, **more)

    monkeypatch.setattr(S3Destination, "put", put)
    monkeypatch.setattr("syncapp.engine.feed.CALLS", 1)
    few.control.reset_counters()
    run, _ = runs.request_backup(few.source)
    dispatch.tick()
    dispatch.work(Lane.objects.get(run=run).pk)
    dispatch.tick()
    lane = Lane.objects.filter(run=run, owner="", ended_at__isnull=True)[0]
    worker = in_a_thread(lambda: dispatch.work(lane.pk))
    wait_for(lambda: Copy.objects.filter(destination=few.folder, state="stored").count() == 40)
    assert not Copy.objects.filter(destination=few.bucket, state="stored").exists()
    down.clear()
    worker.join(60)
    run.refresh_from_db()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert set(few.control.counters()["downloads"].values()) == {1}
    assert Copy.objects.filter(destination=few.bucket, state="stored").count() == 40


def test_a_destination_whose_key_is_refused_is_stopped_and_the_other_finishes(
    few: Setting,
) -> None:
    good = few.bucket.secrets
    few.bucket.secrets = good.replace("rclone-secret", "wrong-secret")
    few.bucket.save()
    run = few.back_up()
    assert run.outcome == Run.Outcome.FAILED
    few.bucket.refresh_from_db()
    assert few.bucket.blocked_code
    assert Event.objects.filter(code="destination_blocked", level="alert").count() == 1
    assert Copy.objects.filter(destination=few.folder, state="stored").count() == 40
    assert not Version.objects.filter(attempts__gt=1).exists()
    few.bucket.secrets = good
    few.bucket.save()
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert Copy.objects.filter(state="stored").count() == 80


def test_a_withdrawn_consent_stops_the_source_and_says_what_to_do(few: Setting) -> None:
    few.control.revoke_tokens()
    run = few.back_up()
    assert run.outcome == Run.Outcome.FAILED
    assert run.error_code == "reconnect_required"
    source = Source.objects.get(pk=few.source.pk)
    assert source.blocked_code == "reconnect_required"
    assert GoogleAccount.objects.get().state == GoogleAccount.State.RECONNECT


def test_an_export_goes_to_a_late_destination_from_the_copy_that_is_stored(
    sample: Setting,
) -> None:
    """A second export would have other bytes than the first."""
    sample.source.destinations.set([sample.folder])
    sample.back_up()
    sample.source.destinations.set([sample.folder, sample.bucket])
    sample.control.reset_counters()
    sample.back_up()
    exports = Version.objects.filter(state="stored", file__content="export")
    assert exports.count() > 3
    for version in exports:
        first, second = (sample.stored_bytes(copy) for copy in version.copies.all())
        assert first == second
    kinds = sample.control.counters()["requests"]
    assert not any("export" in kind for kind in kinds), kinds


def test_a_paused_source_takes_up_nothing_and_goes_on_when_resumed(few: Setting) -> None:
    run, _ = runs.request_backup(few.source)
    assert runs.pause(few.source)
    assert dispatch.tick() == 0
    assert runs.resume(few.source)
    few.work(run)
    assert run.outcome == Run.Outcome.OK


def test_a_cancelled_run_ends_and_the_next_one_finishes_the_rest(few: Setting) -> None:
    run, _ = runs.request_backup(few.source)
    dispatch.tick()
    dispatch.work(Lane.objects.get(run=run).pk)
    assert runs.cancel(run)
    run.refresh_from_db()
    assert run.outcome == Run.Outcome.CANCELLED
    assert few.back_up().outcome == Run.Outcome.OK
    assert Version.objects.filter(state="stored").count() == 40


def test_a_source_without_destination_fails_with_what_to_do(few: Setting) -> None:
    few.source.destinations.clear()
    run = few.back_up()
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, "no_destination")
    assert "choose" in run.error_message


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lane_that_fails_unexpectedly_is_recorded_and_tried_again(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LocalDestination.put
    failures = iter([True])

    def put(self: LocalDestination, *args: Any, **more: Any) -> Any:
        if next(failures, False):
            raise RuntimeError("a bug")
        return real(self, *args, **more)

    monkeypatch.setattr(LocalDestination, "put", put)
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK
    assert Event.objects.filter(code="run_internal_error").exists()


def test_a_new_destination_gets_everything_that_is_current(few: Setting, tmp_path: Path) -> None:
    few.back_up()
    (tmp_path / "third").mkdir()
    third = Destination.objects.create(
        owner=few.source.owner, name="Third", kind="local",
        options={"path": str(tmp_path / "third")},
    )  # fmt: skip
    destination_for(third).prepare()  # type: ignore[attr-defined]
    few.source.destinations.add(third)
    run = few.back_up()
    assert run.outcome == Run.Outcome.OK
    assert run.files_done == 40
    assert Copy.objects.filter(destination=third, state="stored").count() == 40


def test_a_file_that_takes_the_name_of_a_moved_one_gets_its_key(few: Setting) -> None:
    few.back_up()
    first, folder = a_file(few), few.control.create("elsewhere")
    keys = set(Copy.objects.filter(version__file=first).values_list("object_key", flat=True))
    few.control.move(first.remote_id, folder["id"])
    newcomer = few.control.create(first.name, b"a newcomer", parents=[first.parent_id])
    assert few.back_up().outcome == Run.Outcome.OK
    for copy in Copy.objects.filter(version__file__remote_id=newcomer["id"]):
        assert copy.object_key in keys
        assert few.stored_bytes(copy) == b"a newcomer"
    assert not Copy.objects.filter(version__file=first, object_key__in=keys).exists()
    assert few.verify().outcome == Run.Outcome.OK


@pytest.fixture
def big(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    with running_emulator("synthetic", files=3, big_file=90 * 1024**2) as google:
        yield make_setting(google, s3_server, tmp_path, settings)


def test_a_big_file_stays_within_a_small_budget_and_is_stored_whole(
    big: Setting, settings: Any
) -> None:
    settings.SPOOL_MEMORY = 16 * 1024**2
    settings.SPOOL_BUDGET = 24 * 1024**2
    run = big.back_up()
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert big.verify().outcome == Run.Outcome.OK
    assert not list(settings.SPOOL_DIR.rglob("*.part"))
