"""A whole made-up account is backed up and comes back, also what was deleted in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from syncapp.engine import restoring
from syncapp.models import Copy, File, Run
from tests.engine.conftest import Setting
from tests.engine.restores import tree, work


def digests(folder: Path) -> Counter[str]:
    return Counter(hashlib.sha256(data).hexdigest() for data in tree(folder).values() if data)


def restore(setting: Setting, out: Path, *files: File, **more: Any) -> Run:
    ids = [file.pk for file in files]
    run = restoring.request_restore(
        setting.source, target="folder", options={"path": str(out)}, files=ids, **more
    )
    return work(run)


@pytest.mark.slow
def test_every_stored_file_of_a_hostile_account_comes_back_from_each_destination(
    sample: Setting, tmp_path: Path
) -> None:
    sample.back_up()
    stored = Copy.objects.filter(state="stored", version__current=True, version__size__gt=0)
    trees = []
    for destination in (sample.folder, sample.bucket):
        here = stored.filter(destination=destination, version__file__trashed_at=None)
        expected = Counter(here.values_list("version__sha256", flat=True))
        out = tmp_path / f"from {destination.name}"

        run = restore(sample, out, prefer="named", origin=destination)

        assert run.files_failed == 0
        assert run.outcome in ("ok", "warnings")
        assert digests(out) == expected
        trees.append(tree(out))
    assert trees[0] == trees[1]


def test_a_folder_deleted_in_google_comes_back_with_what_was_in_it(
    few: Setting, tmp_path: Path
) -> None:
    few.back_up()
    parents = Counter(File.objects.exclude(content="folder").values_list("parent_id", flat=True))
    remote_id, count = parents.most_common(1)[0]
    folder = File.objects.get(remote_id=remote_id)
    few.control.trash(remote_id)
    few.source.approved_changes = 1000
    few.source.save()
    few.back_up()
    folder.refresh_from_db()
    assert folder.trashed_at or folder.vanished_at

    run = restore(few, tmp_path / "out", folder)

    assert run.outcome == "ok", run.error_message
    assert sum(digests(tmp_path / "out").values()) >= count
