"""Faults of the host and its network, really made: each is told, and passes by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from syncapp.destinations.s3 import S3Destination
from syncapp.engine import breakers, runs
from syncapp.engine.adapters import destination_for
from syncapp.errors import ConfigurationError
from syncapp.models import Breaker, Copy, Event, Run, Version
from tests.engine.conftest import Setting, make_setting
from tests.engine.in_time import step, stored, wait_for, worked
from tests.servers import rclone_s3
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info, run_folder, shared
from tests.servers.wire import running_wire

Resize = Callable[[str], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A file system of its own, and how to give it another size; only root may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()

    def resize(size: str) -> None:
        mount(f"remount,size={size}", folder)

    mount("size=1m", folder)
    try:
        yield folder, resize
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(options: str, folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncapp.engine.feed.CALLS", 1)
    monkeypatch.setattr("syncapp.sources.google_client.READ_TIMEOUT_S", 1.0)
    monkeypatch.setattr("syncapp.wire.STALL_TIMEOUT_S", 1)


def test_a_full_temporary_disk_is_waited_for(
    transactional_db: None,
    s3_server: Info,
    tmp_path: Path,
    small_disk: tuple[Path, Resize],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, resize = small_disk
    settings.SPOOL_DIR = folder / "spool"
    settings.SPOOL_MEMORY = 8 * 1024**2
    with running_emulator("synthetic", files=3, file_size=24 * 1024**2) as google:
        setting = make_setting(google, s3_server, tmp_path, settings)
        run, _ = runs.request_backup(setting.source)
        step(run)
        thread = worked(run)
        full = Version.objects.filter(error_code="temporary_disk_full")
        wait_for(lambda: full.exists() or run.ended_at)
        resize("200m")
        thread.join(90)
        assert (run.outcome, run.files_done) == (Run.Outcome.OK, 3), run.error_message


def test_a_full_folder_is_told_and_goes_on_when_there_is_room(
    few: Setting, small_disk: tuple[Path, Resize], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, resize = small_disk
    resize("100k")
    few.folder.options = {"path": str(folder)}
    few.folder.save()
    destination_for(few.folder).prepare()  # type: ignore[attr-defined]
    run, _ = runs.request_backup(few.source)
    step(run)
    thread = worked(run)
    key = breakers.destination_key(few.folder.pk)
    wait_for(lambda: Breaker.objects.filter(key=key, error_code="destination_full").exists())
    wait_for(lambda: stored(few.bucket) == 40)
    told = Event.objects.filter(code="destination_down").first()
    assert told is not None
    assert "is full" in told.message
    few.folder.refresh_from_db()
    assert few.folder.blocked_code == "", "nobody has to unblock it"
    resize("50m")
    thread.join(60)
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 40), run.error_message
    assert stored(few.folder) == 40
    assert not Version.objects.filter(attempts__gt=2).exists()


def test_a_bucket_whose_quota_is_used_up_goes_on_when_it_is_raised(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    real_put, full = S3Destination.put, [True]

    def put(self: S3Destination, *args: Any, **more: Any) -> Any:
        if full[0]:
            raise ConfigurationError("Its quota is used up.", code="destination_full")
        return real_put(self, *args, **more)

    monkeypatch.setattr(S3Destination, "put", put)
    run, _ = runs.request_backup(few.source)
    step(run)
    thread = worked(run)
    wait_for(lambda: stored(few.folder) == 40)
    assert stored(few.bucket) == 0
    full[0] = False
    thread.join(60)
    assert (run.outcome, stored(few.bucket)) == (Run.Outcome.OK, 40), run.error_message


@pytest.mark.parametrize("mode", ["refused", "silent"])
def test_google_away_in_the_middle_of_a_run_is_waited_for(
    few: Setting, settings: Any, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    quick(monkeypatch)
    with running_wire(few.google.url) as wire:
        settings.GOOGLE_DRIVE_URL = f"http://127.0.0.1:{wire.port}/drive/v3/"
        run, _ = runs.request_backup(few.source)
        step(run)
        wire.mode = mode
        thread = worked(run)
        key = breakers.account_key(few.source.account_id)
        wait_for(lambda: Breaker.objects.filter(key=key, opened__gte=2).exists(), 90)
        assert run.ended_at is None
        wire.mode = "through"
        thread.join(90)
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 40), run.error_message
    assert not Version.objects.filter(attempts__gt=2).exists()
    assert Event.objects.filter(code="account_up").exists()
    assert not Event.objects.filter(level=Event.Level.ALERT).exists()


@pytest.mark.parametrize("where", ["http://no-such-host.invalid", "https"])
def test_a_name_or_certificate_that_is_wrong_at_google_is_waited_for(
    few: Setting, settings: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    quick(monkeypatch)
    good = settings.GOOGLE_DRIVE_URL
    wrong = good.replace("http", "https", 1) if where == "https" else f"{where}/drive/v3/"
    settings.GOOGLE_DRIVE_URL = wrong
    run, _ = runs.request_backup(few.source)
    thread = worked(run)
    wait_for(lambda: Event.objects.filter(code="account_down").exists())
    assert run.ended_at is None
    settings.GOOGLE_DRIVE_URL = good
    thread.join(60)
    assert (run.outcome, run.files_done) == (Run.Outcome.OK, 40), run.error_message


def test_a_destinations_name_that_is_not_found_is_waited_for(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    good = few.bucket.options["endpoint"]
    few.bucket.options["endpoint"] = "http://no-such-host.invalid"
    few.bucket.save()
    run, _ = runs.request_backup(few.source)
    thread = worked(run)
    wait_for(lambda: Event.objects.filter(code="destination_down").exists())
    few.bucket.options["endpoint"] = good
    few.bucket.save()
    thread.join(90)
    assert (run.outcome, stored(few.bucket)) == (Run.Outcome.OK, 40), run.error_message


def test_a_certificate_that_is_not_trusted_yet_is_waited_for(
    few: Setting,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick(monkeypatch)
    folder = run_folder(tmp_path_factory.getbasetemp())
    with shared("host-faults-tls", folder, rclone_s3.start_tls) as server:
        authority = tmp_path / "authority.pem"
        authority.write_bytes(Path(certifi.where()).read_bytes())
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
        few.bucket.options |= {"endpoint": server["endpoint"], "bucket": server["bucket"]}
        few.bucket.save()
        run, _ = runs.request_backup(few.source)
        thread = worked(run)
        down = Event.objects.filter(code="destination_down")
        wait_for(down.exists)
        wait_for(lambda: stored(few.folder) == 40)
        assert "certificate" in str(down.values_list("message", flat=True)[0])
        authority.write_bytes(Path(server["authority"]).read_bytes())
        thread.join(90)
    assert (run.outcome, stored(few.bucket)) == (Run.Outcome.OK, 40), run.error_message


def test_a_token_that_expires_in_the_middle_of_a_file_is_renewed_and_the_file_goes_on(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> None:
    with running_emulator("synthetic", files=1, file_size=4 * 1024**2) as google:
        setting = make_setting(google, s3_server, tmp_path, settings)
        run, _ = runs.request_backup(setting.source)
        step(run)
        google.control.add_fault("alt=media", cut_after=1024**2, count=1)
        google.control.add_fault("alt=media", status=401, reason="authError", skip=1, count=1)
        google.control.expire_tokens()
        setting.work(run)
        assert (run.outcome, run.files_done) == (Run.Outcome.OK, 1), run.error_message
        assert Version.objects.get().attempts == 1
        assert Copy.objects.filter(state="stored").count() == 2
