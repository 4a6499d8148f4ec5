"""A folder with 10,000 files is renamed: seconds, requests and bytes, measured."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.endpoint import Endpoint

from syncapp.destinations.s3 import S3Destination
from syncapp.engine import dispatch, runs
from syncapp.models import Lane, Run
from tests.engine.conftest import Setting, make_setting
from tests.engine.tree import check_all
from tests.servers.emulator import running_emulator
from tests.servers.shared import Info

FILES = int(os.environ.get("MOVED_FILES", "10000"))


@pytest.fixture
def many(
    transactional_db: None, s3_server: Info, tmp_path: Path, settings: Any
) -> Iterator[Setting]:
    """So many small files."""
    with running_emulator("synthetic", files=FILES, file_size=100) as google:
        yield make_setting(google, s3_server, tmp_path, settings)


@pytest.mark.slow
def test_a_folder_of_ten_thousand_files_follows_within_the_stores(
    many: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = runs.request_backup(many.source)
    while not first.ended_at:
        dispatch.tick()
        for lane in Lane.objects.filter(run=first, owner="", ended_at__isnull=True):
            dispatch.work(lane.pk)
        first.refresh_from_db()
    asked: Counter[str] = Counter()
    real = Endpoint.make_request

    def counted(self: Any, operation: Any, request: Any) -> Any:
        asked[operation.name] += 1
        return real(self, operation, request)

    monkeypatch.setattr(Endpoint, "make_request", counted)
    head = S3Destination.head_answer

    def counted_head(self: S3Destination, *args: Any) -> Any:
        asked["HeadObject"] += 1
        return head(self, *args)

    monkeypatch.setattr(S3Destination, "head_answer", counted_head)
    entries = many.truth()
    tops = [e for e in entries.values() if e["parents"] and e["parents"][0] not in entries]
    above = many.control.create("everything")["id"]
    for top in tops:
        many.control.move(top["id"], above)
    many.control.reset_counters()
    began, cpu = time.monotonic(), time.process_time()
    run = many.back_up()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    assert run.outcome == Run.Outcome.OK, run.error_message
    assert run.files_moved == FILES
    assert many.control.counters()["downloads"] == {}
    print(  # noqa: T201
        f"\n{FILES} files moved at two destinations in {seconds:.1f} s, {cpu:.1f} s of CPU; "
        f"requests to the bucket: {dict(asked)}; to Google: "
        f"{many.control.counters()['requests']}"
    )
    assert sum(asked.values()) <= 3.01 * FILES + 20
    check_all(many, read_back=False)
