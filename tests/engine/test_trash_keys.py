"""New copies of files that are gone at the source lie in the trash, wherever they come from."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from syncapp.engine import runs, source_setup
from syncapp.engine.adapters import destination_for
from syncapp.models import Copy, File, Policy, Run
from tests.engine.conftest import Setting
from tests.engine.test_verify import verify
from tests.engine.tree import blobs, path_key, shown
from tests.engine.vault import Vault


def test_a_destination_attached_later_gets_trashed_files_in_its_trash(few: Setting) -> None:
    source_setup.detach(few.source, few.bucket)
    few.back_up()
    trashed = blobs(few)[0]
    lay = path_key(trashed)
    few.control.trash(trashed.remote_id)
    few.back_up()

    source_setup.attach(few.source, few.bucket)
    run = few.back_up()

    assert run.outcome == Run.Outcome.OK, run.error_message
    kept = lay.replace("/files/", f"/.trash/{timezone.now().astimezone(UTC):%Y-%m-%d}/")
    copies = Copy.objects.filter(version__file=trashed)
    assert set(copies.values_list("destination__name", "object_key")) == {
        ("Folder", kept),
        ("Bucket", kept),
    }
    assert shown(few.bucket) == {path_key(file) for file in blobs(few)[1:]}
    assert few.verify().outcome == Run.Outcome.OK

    Policy.objects.create(owner=few.source.owner, source=few.source, trash_days=0)
    pruning, _ = runs.request_prune(few.source)
    assert few.work(pruning).outcome == Run.Outcome.OK
    assert destination_for(few.bucket).head(kept) is None
    assert not copies.exists()


@pytest.mark.parametrize("back", [False, True])
def test_a_copy_made_anew_from_elsewhere_follows_its_file_into_the_trash_and_out(
    transactional_db: None, tmp_path: Path, back: bool
) -> None:
    vault = Vault.make(tmp_path, "one", "two")
    version = vault.file("a.txt", b"content")
    path, gone_at = vault.path(version, vault.destinations[0]), timezone.now() - timedelta(1)
    files, trash = "drive/files/k1", f"drive/.trash/{gone_at.astimezone(UTC):%Y-%m-%d}/k1"
    if back:
        version.copies.filter(destination=vault.destinations[0]).update(object_key=trash)
    else:
        File.objects.update(trashed_at=gone_at)
    path.unlink()

    run = verify(vault)

    assert run.outcome == Run.Outcome.WARNINGS, run.error_message
    copy = version.copies.get(destination=vault.destinations[0])
    assert copy.object_key == (files if back else trash)
    assert vault.path(version, vault.destinations[0]).read_bytes() == b"content"
