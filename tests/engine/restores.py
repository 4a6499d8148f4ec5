"""What tests of restores share: asking for one, working at it, looking at what came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.engine import dispatch, restoring
from syncapp.models import Destination, File, Lane, RestoreItem, Run
from tests.engine.vault import Vault

State = RestoreItem.State


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path) -> Vault:
    return Vault.make(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def request(vault: Vault, out: Path | Destination, *files: File, **more: Any) -> Run:
    if isinstance(out, Destination):
        target, options = "destination", {"destination": out.pk, "prefix": "back"}
    else:
        target, options = "folder", {"path": str(out)}
    ids = [file.pk for file in files]
    return restoring.request_restore(
        vault.source, target=target, options=options, files=ids, **more
    )


def work(run: Run, *, lanes: int = 20) -> Run:
    """Lane after lane until the run has ended; what comes again later is due now."""
    for _ in range(lanes):
        run.refresh_from_db()
        if run.ended_at or run.paused:
            return run
        Run.objects.filter(pk=run.pk).update(retry_at=None)
        RestoreItem.objects.filter(restore__run=run).update(due_at=timezone.now())
        one_lane(run)
    raise AssertionError(f"the run did not end: {run.stage} {run.error_message}")


def one_lane(run: Run) -> None:
    dispatch.top_up(run.pk)
    for lane in Lane.objects.filter(run=run, owner="", ended_at__isnull=True):
        dispatch.work(lane.pk)


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def items(run: Run) -> dict[str, str]:
    return dict(RestoreItem.objects.filter(restore__run=run).values_list("path", "state"))


def raising(error: BaseException) -> Callable[..., Any]:
    def read(*_: object, **__: object) -> None:
        raise error

    return read
