"""Cases found by reading the code: each once lost, hid or endangered something."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.utils import timezone

from syncapp.destinations.s3 import S3Destination
from syncapp.engine import dispatch, erasure_scope, runs
from syncapp.engine.adapters import destination_for
from syncapp.engine.beat import Beat, Halt
from syncapp.engine.erase import request_erasure
from syncapp.engine.sites import Site
from syncapp.errors import ConfigurationError, NotFound, Unavailable
from syncapp.models import (
    Copy,
    Destination,
    Erasure,
    Event,
    File,
    Lane,
    Run,
    Version,
)
from syncapp.types import ObjectMeta
from tests.engine.conftest import Setting, make_setting
from tests.engine.pruning import lane
from tests.engine.test_erase import wish, work
from tests.engine.tree import blobs
from tests.engine.vault import Vault, part_of
from tests.servers import moto
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info, run_folder, shared


@pytest.fixture(autouse=True)
def _the_next_try_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncapp.pacing.attempt_delay_s", lambda *_: 0.01)


@pytest.fixture
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Info]:
    """A bucket of the test's own, on a server that can keep versions."""
    with shared("moto", run_folder(tmp_path_factory.getbasetemp()), moto.start) as info:
        name = f"own-{uuid.uuid4().hex[:10]}"
        client(info).create_bucket(Bucket=name)
        yield {**info, "bucket": name}


@pytest.fixture
def own(transactional_db: None, bucket: Info, tmp_path: Path, settings: Any) -> Iterator[Setting]:
    with running_emulator("synthetic", files=3, file_size=5000) as google:
        yield make_setting(google, bucket, tmp_path, settings)


def client(info: Info) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=info["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=info["access_key"],
        aws_secret_access_key=info["secret_key"],
    )


def keep_versions(info: Info) -> None:
    client(info).put_bucket_versioning(
        Bucket=info["bucket"], VersioningConfiguration={"Status": "Enabled"}
    )


def bytes_of(copy: Copy) -> bytes:
    store = destination_for(copy.destination)
    with store.read(copy.object_key, version_id=copy.store_version) as chunks:
        return b"".join(chunks)


def assert_all_claims_hold(setting: Setting) -> None:
    """Each copy that is called stored has the bytes that the catalog says."""
    for copy in Copy.objects.filter(state__in=["stored", "verified"]).select_related("version"):
        assert hashlib.sha256(bytes_of(copy)).hexdigest() == copy.version.sha256, copy


def test_versions_from_before_a_bucket_kept_any_stay_reachable(own: Setting, bucket: Info) -> None:
    own.back_up()
    file = blobs(own)[0]
    keep_versions(bucket)
    own.control.edit(file.remote_id, b"second")
    assert own.back_up().outcome == Run.Outcome.OK
    assert Copy.objects.filter(version__file=file).count() == 4
    assert_all_claims_hold(own)
    assert own.verify().outcome == Run.Outcome.OK


def test_versions_stay_reachable_where_a_bucket_does_not_tell_that_it_keeps_them(
    own: Setting, bucket: Info, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versioning(self: S3Destination) -> str:
        raise ConfigurationError("The key may not ask.", code="access_denied")

    keep_versions(bucket)
    monkeypatch.setattr(S3Destination, "versioning", versioning)
    own.back_up()
    file = blobs(own)[0]
    for content in (b"second", b"third"):
        own.control.edit(file.remote_id, content)
        assert own.back_up().outcome == Run.Outcome.OK
    assert Copy.objects.filter(version__file=file).count() == 6
    assert_all_claims_hold(own)


def test_what_could_not_be_kept_is_not_overwritten(
    own: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that loses sight of a copy for a moment has not lost the object."""
    own.back_up()
    file = blobs(own)[0]

    def copy(self: S3Destination, *_: Any, **__: Any) -> Any:
        raise NotFound("The copy is not to be seen yet.")

    monkeypatch.setattr(S3Destination, "copy", copy)
    own.control.edit(file.remote_id, b"second")
    assert own.back_up().outcome == Run.Outcome.FAILED
    assert not Copy.objects.filter(state="damaged").exists()
    assert_all_claims_hold(own)


@pytest.fixture
def documents(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    """A few of Google's documents, each export of which has other bytes."""
    with running_emulator("synthetic", files=1, file_size=100) as google:
        for number in range(3):
            google.control.create(
                f"Plan {number}", size=2000, mime_type="application/vnd.google-apps.document"
            )
        yield make_setting(google, s3_server, tmp_path, settings)


def only_the_folder(documents: Setting) -> list[Version]:
    """The account in the folder only, so far; its exports."""
    documents.source.destinations.set([documents.folder])
    documents.back_up()
    documents.source.destinations.set([documents.folder, documents.bucket])
    exports = list(Version.objects.filter(state="stored", file__content="export"))
    assert len(exports) == 3
    return exports


def test_no_copy_claims_an_export_that_was_made_anew_elsewhere(documents: Setting) -> None:
    exports = only_the_folder(documents)
    documents.folder.enabled = False
    documents.folder.save()
    documents.back_up()
    assert_all_claims_hold(documents)
    documents.folder.enabled = True
    documents.folder.save()
    documents.back_up()
    assert_all_claims_hold(documents)
    assert Copy.objects.filter(version__in=exports, state="stored").count() == 2 * len(exports)


@pytest.mark.parametrize("damage", ["missing", "different"])
def test_an_export_whose_only_copy_is_lost_is_read_from_google_again(
    documents: Setting, damage: str
) -> None:
    exports = only_the_folder(documents)
    lost = Copy.objects.get(version=exports[0])
    path = Path(documents.folder.options["path"]) / lost.object_key
    path.unlink()
    if damage == "different":
        path.write_bytes(b"something else")
    documents.back_up()
    exports[0].refresh_from_db()
    assert exports[0].state == Version.State.STORED
    assert exports[0].size > 1000, "what lay there was not taken for the document"
    assert exports[0].copies.filter(state="stored").count() == 2
    assert_all_claims_hold(documents)


def test_an_export_whose_copy_may_not_be_read_is_read_from_google_again(
    documents: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = only_the_folder(documents)

    def read(*_: Any, **__: Any) -> Any:
        raise ConfigurationError("This key may only write.", code="access_denied")

    with monkeypatch.context() as patch:
        patch.setattr("syncapp.destinations.local.LocalDestination.read", read)
        run = documents.back_up()
    assert run.outcome in runs.GOOD, "Google and the source work"
    assert Copy.objects.filter(version__in=exports, state="stored").count() == 2 * len(exports)
    assert_all_claims_hold(documents)


def test_a_bad_read_for_a_late_destination_says_nothing_of_what_is_stored(few: Setting) -> None:
    few.source.destinations.set([few.folder])
    few.back_up()
    few.source.destinations.set([few.folder, few.bucket])
    file = blobs(few)[0]
    few.control.add_fault("alt=media", file_id=file.remote_id, corrupt=True)
    assert few.back_up().outcome == Run.Outcome.FAILED
    assert_all_claims_hold(few)


def test_a_copy_that_is_made_again_is_made_wherever_it_lacks(few: Setting) -> None:
    """Google refused the bytes while only one destination had them, and gives them now."""
    few.back_up()
    version = Version.objects.filter(file=blobs(few)[0]).get()
    version.copies.get(destination=few.bucket).delete()
    version.copies.update(state="damaged", error_code="missing")
    Version.objects.filter(pk=version.pk).update(state="refused")
    assert few.back_up().outcome == Run.Outcome.OK
    assert version.copies.filter(state="stored").count() == 2


def test_a_comparison_finds_copies_that_nobody_waits_for(few: Setting) -> None:
    few.back_up()
    Copy.objects.filter(version__file=blobs(few)[0]).delete()
    assert few.back_up(full=True).outcome == Run.Outcome.OK
    assert Copy.objects.filter(state="stored").count() == 80


def test_a_damaged_copy_of_what_is_trashed_keeps_its_key_and_is_healed(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    copy = Copy.objects.get(version__file=file, destination=few.bucket)
    destination_for(few.bucket).delete(copy.object_key)
    Copy.objects.filter(pk=copy.pk).update(state="damaged", error_code="missing")
    few.control.trash(file.remote_id)
    few.back_up()
    copy.refresh_from_db()
    assert copy.object_key
    few.verify()
    copy.refresh_from_db()
    assert copy.state == Copy.State.STORED
    assert_all_claims_hold(few)


@pytest.mark.parametrize("how", ["trash", "delete"])
def test_an_object_that_is_lost_when_its_file_goes_is_healed_not_forgotten(
    few: Setting, how: str
) -> None:
    """Google gives the bytes no more, or from its trash only; the other destination has them."""
    few.back_up()
    file = blobs(few)[0]
    copy = Copy.objects.get(version__file=file, destination=few.bucket)
    destination_for(few.bucket).delete(copy.object_key)
    getattr(few.control, how)(file.remote_id)
    few.control.reset_counters()
    few.back_up()
    assert few.control.counters()["downloads"] == {}
    copy.refresh_from_db()
    assert copy.state == Copy.State.DAMAGED
    few.verify()
    copy.refresh_from_db()
    assert copy.state == Copy.State.STORED


@pytest.mark.parametrize(("at_work", "waits"), [("scan", "scan"), ("transfer", "transfer")])
def test_a_backup_waits_for_the_lanes_of_a_cancelled_one(
    few: Setting, at_work: str, waits: str
) -> None:
    """A request of theirs may still be under way, to a key that the new run writes under."""
    before, _ = runs.request_backup(few.source)
    dispatch.tick()
    Lane.objects.update(owner="a slow upload", stage=at_work)
    runs.cancel(before)
    after, _ = runs.request_backup(few.source)
    for _ in range(2):
        dispatch.tick()
        for asked in Lane.objects.filter(run=after, ended_at__isnull=True):
            dispatch.work(asked.pk)
    after.refresh_from_db()
    assert after.stage == waits
    assert not Lane.objects.filter(run=after, stage=waits).exists()
    Lane.objects.update(ended_at=timezone.now())
    assert few.work(after).outcome == Run.Outcome.OK


def test_what_lies_under_a_key_is_not_kept_as_what_it_is_not(few: Setting) -> None:
    few.back_up()
    file = blobs(few)[0]
    old = Copy.objects.get(version__file=file, destination=few.bucket)
    meta = ObjectMeta(timezone.now(), file.remote_id)
    destination_for(few.bucket).put(old.object_key, part_of(b"something else"), meta)
    few.control.edit(file.remote_id, b"second")
    assert few.back_up().outcome == Run.Outcome.OK
    old.refresh_from_db()
    assert old.state == Copy.State.DAMAGED
    few.verify()
    assert_all_claims_hold(few)
    old.refresh_from_db()
    assert old.state == Copy.State.STORED, "healed from the other destination"


def test_a_task_that_comes_after_its_run_was_cancelled_does_nothing(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = runs.request_backup(few.source)
    dispatch.tick()
    runs.cancel(run)
    monkeypatch.setattr(dispatch, "_STAGES", {})
    dispatch.work(Lane.objects.get(run=run).pk)
    run.refresh_from_db()
    assert run.error_code == "cancelled"
    assert not Event.objects.filter(code="run_internal_error").exists()
    assert not Lane.objects.filter(ended_at__isnull=True).exists()


def test_a_worker_whose_pulse_stood_still_sends_nothing_more(
    few: Setting, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    halt = Halt()
    assert not halt.is_set()
    halt.pulse_until = time.monotonic() - 0.01
    assert halt.is_set()
    run, _ = runs.request_backup(few.source)
    mine = Lane.objects.create(run=run, stage=run.stage, owner="me")
    with Beat(mine, run) as beat:
        assert not beat.halted()
        monkeypatch.setattr(Beat, "_beat", lambda _: None)  # frozen
        beat.halt.pulse_until = time.monotonic()
        assert beat.halted()
        assert not beat.may_take()


def test_a_folder_too_large_for_a_lane_leads_to_a_listing_and_not_round_and_round(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.back_up()
    parent = blobs(few)[0].parent_id
    few.control.trash(parent)
    monkeypatch.setattr(Beat, "may_take", lambda beat: not beat.halted())
    monkeypatch.setattr(Beat, "is_over", lambda _: True)
    run = few.back_up()
    assert run.error_code == "mass_change", (run.stage, run.error_message)
    assert run.scan == Run.Scan.FULL
    assert Event.objects.filter(run=run, code="change_too_large").count() == 1
    assert not File.objects.filter(content="blob", trashed_at=None).exists()


def test_looking_through_a_destination_ends_with_its_end_and_not_with_the_lanes_time(
    transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be gone on with would otherwise begin again for ever."""
    vault = Vault.make(tmp_path)
    erasure = wish(vault, vault.file("secret.txt").file)
    run = request_erasure(vault.source, erasure)
    monkeypatch.setattr(Beat, "may_take", lambda _: False)
    lane(run)
    erasure.refresh_from_db()
    assert (erasure.surveyed_at is None, erasure.removed_at) == (False, None)


def test_a_destination_that_was_looked_through_is_not_looked_through_again(
    transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault.make(tmp_path)
    erasure = wish(vault, vault.file("secret.txt").file)
    run = request_erasure(vault.source, erasure)
    looked: list[str] = []
    real = erasure_scope.note_strays

    def note_strays(erasure: Erasure, site: Site, *more: Any) -> bool:
        looked.append(Destination.objects.get(pk=site.destination_id).name)
        if looked == ["one", "two"]:
            raise Unavailable("It does not answer.")
        return real(erasure, site, *more)

    monkeypatch.setattr(erasure_scope, "note_strays", note_strays)
    work(run)
    assert run.outcome == Run.Outcome.OK
    assert looked == ["one", "two", "two"]
