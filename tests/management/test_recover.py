"""Everything but one destination is lost: what comes back, and what the next backup then does."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import GoogleAccount
from syncapp.engine import (
    erased,
    marks,
    reconcile,
    restoring,
    schedule,
    segment_intake,
    segments,
    source_setup,
)
from syncapp.engine.adapters import destination_for
from syncapp.models import (
    Copy,
    Destination,
    Erased,
    File,
    Installation,
    Leftover,
    Policy,
    Recovery,
    Run,
    Segment,
    Source,
    Version,
)
from tests.engine.conftest import Setting
from tests.management.conftest import Shell
from tests.management.recovering import (
    change_a_lot,
    files,
    keys,
    link_again,
    lose_everything,
    place,
    recover,
)

__all__ = ["keys"]


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("name", ["Folder", "Bucket"])
def test_one_destination_gives_back_the_whole_catalog(
    few: Setting,
    shell: Shell,
    name: str,
) -> None:
    few.back_up()
    Erased.objects.create(source=few.source, digest="e" * 64)
    segments.write(few.source.pk)
    change_a_lot(few)
    Policy.objects.create(owner=few.source.owner, trash_days=11)
    segments.write(few.source.pk)
    before, cursor = files(), Source.objects.get().cursor
    at_hand = Destination.objects.get(name=name)
    lose_everything()
    (told,) = recover(shell, at_hand)
    assert (told["notes"], told["missing"], told["foreign"], told["adopted"]) == ([], 0, 0, 0)
    assert files() == before
    source = Source.objects.get()
    assert (source.slug, source.cursor, source.owner.username) == ("drive", cursor, "owner")
    assert source.account.state == GoogleAccount.State.RECONNECT
    assert source.blocked_code == "reconnect_required"
    assert Policy.objects.get().trash_days == 11
    assert Erased.objects.get().digest == "e" * 64
    blocked = set(Destination.objects.exclude(blocked_code="").values_list("name", flat=True))
    assert blocked == {"Bucket", name}
    assert Recovery.objects.get().ended_at is not None


@pytest.mark.usefixtures("keys")
def test_after_relinking_the_next_backup_uploads_nothing(few: Setting, shell: Shell) -> None:
    few.back_up()
    segments.write(few.source.pk)
    secrets, before = few.bucket.secrets, files()
    # A move whose worker died between copy and removal.
    moved, store = (
        Copy.objects.filter(destination=few.folder).latest("pk"),
        destination_for(few.folder),
    )
    store.copy(moved.object_key, "drive/files/where it was.bin")
    lose_everything()
    (told,) = recover(shell, few.folder, "--take-over")
    assert told["stopped"] == ""
    assert (told["adopted"], told["missing"], told["foreign"]) == (0, 0, 0)
    assert Leftover.objects.get().object_key == "drive/files/where it was.bin"
    source = few.source = Source.objects.get()
    link_again(few)
    schedule.care(timezone.now())
    assert Source.objects.get().blocked_code == ""
    few.folder, few.bucket = (Destination.objects.get(name=n) for n in ("Folder", "Bucket"))
    Destination.objects.filter(pk=few.bucket.pk).update(blocked_code="")
    few.bucket.secrets = secrets
    few.bucket.save(update_fields=["secrets"])
    few.control.reset_counters()
    run = few.back_up()
    assert (run.outcome, run.scan) == (Run.Outcome.OK, Run.Scan.CHANGES), run.error_message
    assert (run.files_new, run.files_changed, run.files_done) == (0, 0, 0)
    assert store.head("drive/files/where it was.bin") is None
    run = few.back_up(full=True)
    assert (run.files_new, run.files_changed, run.files_done) == (0, 0, 0)
    assert few.control.counters()["downloads"] == {}
    file = File.objects.filter(content="blob").first()
    assert file is not None
    few.control.edit(file.remote_id, b"after the disaster")
    assert few.back_up().files_done == 1
    assert len(files()) == len(before)
    segments.write(source.pk)
    assert Segment.objects.get().number == 2
    assert few.verify().outcome == Run.Outcome.OK


@pytest.mark.parametrize("marked", [True, False])
def test_a_trial_elsewhere_writes_nothing_and_the_first_installation_goes_on(
    few: Setting, shell: Shell, tmp_path: Path, *, marked: bool
) -> None:
    few.back_up()
    segments.write(few.source.pk)
    folder = Path(few.folder.options["path"])
    mark = folder / ".catalog" / "installation.json"
    first = Installation.objects.get().mark
    if not marked:
        mark.unlink()
    lay = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    lose_everything()
    answer = shell("recover", *place(few.folder))
    assert answer.code == 0
    assert "another installation" in answer.err.lower()
    assert "--take-over" in answer.err
    row = Destination.objects.get(name="Folder")
    assert row.blocked_code == marks.OTHER
    few.source = Source.objects.get()
    link_again(few)
    schedule.care(timezone.now())
    file = File.objects.filter(content="blob").first()
    assert file is not None
    few.control.edit(file.remote_id, b"after the trial")
    assert few.back_up().outcome != Run.Outcome.OK
    segments.write(few.source.pk)
    assert few.verify().ended_at
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == lay
    run = restoring.request_restore(
        few.source, target="folder", options={"path": str(tmp_path / "out")}
    )
    assert few.work(run).outcome == Run.Outcome.OK
    assert shell("status").code != 0
    mine = Installation.objects.get()
    assert mine.mark != first
    assert shell("destination", "test", "Folder", "--take-over").code == 0
    assert Installation.objects.get().succeeds == ([first] if marked else [])
    few.back_up()
    copy = Copy.objects.get(destination__name="Folder", version__file=file, version__current=True)
    assert few.stored_bytes(copy) == b"after the trial"


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("name", ["Folder", "Bucket"])
def test_what_came_after_the_last_segment_is_adopted_by_what_it_bears(
    few: Setting,
    shell: Shell,
    name: str,
) -> None:
    few.back_up()
    segments.write(few.source.pk)
    blobs = list(File.objects.filter(content="blob").order_by("pk"))
    folder = File.objects.get(remote_id=blobs[0].parent_id)
    few.control.edit(blobs[0].remote_id, b"stored after the last segment")
    few.control.rename(blobs[1].remote_id, "moved since.bin")
    new = few.control.create("quite new.txt", b"nobody wrote it down", parents=[folder.remote_id])
    few.back_up()
    at_hand = Destination.objects.get(name=name)
    gone = Copy.objects.filter(destination=at_hand, version__file=blobs[5]).get()
    destination_for(at_hand).delete(gone.object_key)
    lose_everything()
    (told,) = recover(shell, at_hand, code=1)
    assert told["missing"] == 1
    assert told["files"] == File.objects.count()
    assert told["adopted"] >= 3
    for remote_id, content in (
        (blobs[0].remote_id, b"stored after the last segment"),
        (new["id"], b"nobody wrote it down"),
    ):
        version = Version.objects.get(file__remote_id=remote_id, current=True)
        copy = Copy.objects.get(version=version, destination__name=name, state="stored")
        assert few.stored_bytes(copy) == content
        assert version.sha256 == hashlib.sha256(content).hexdigest()
    made = File.objects.get(remote_id=new["id"])
    assert (made.name, made.parent_id) == ("quite new.txt", folder.remote_id)
    for copy in Copy.objects.filter(destination__name=name, state="stored"):
        assert hashlib.sha256(few.stored_bytes(copy)).hexdigest() == copy.version.sha256
    lost = Copy.objects.get(destination__name=name, state="damaged")
    assert lost.version.file.remote_id == blobs[5].remote_id


def test_a_recovery_that_was_killed_goes_on_where_it_was(
    few: Setting,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few.back_up()
    segments.write(few.source.pk)
    change_a_lot(few)
    before = files()
    lose_everything()
    real, steps = segment_intake.Intake.clear, []

    def killed(self: segment_intake.Intake, lines: Any) -> Any:
        steps.append(1)
        if len(steps) == 2:
            yield from real(self, lines)
            raise KeyboardInterrupt
        yield from real(self, lines)

    monkeypatch.setattr(segment_intake.Intake, "clear", killed)
    with pytest.raises(KeyboardInterrupt):
        shell("recover", *place(few.folder))
    assert Source.objects.get().blocked_code == "recovering"
    assert 0 < Recovery.objects.get().done < len(Recovery.objects.get().plan)
    recover(shell, few.folder)
    assert files() == before


def test_nothing_is_recovered_over_a_source_that_is_there(few: Setting, shell: Shell) -> None:
    few.back_up()
    segments.write(few.source.pk)
    answer = shell("recover", *place(few.folder))
    assert answer.code == 5
    assert "is here already" in answer.err


def test_a_place_without_a_catalog_says_so(few: Setting, shell: Shell) -> None:
    answer = shell("recover", *place(few.folder))
    assert answer.code == 5
    assert "no catalog" in answer.err


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("name", ["Folder", "Bucket"])
def test_with_one_destination_left_a_restore_gives_back_every_byte(
    few: Setting, shell: Shell, tmp_path: Path, name: str
) -> None:
    few.back_up()
    segments.write(few.source.pk)
    truth = [few.control.content(remote_id) for remote_id in few.truth() if _is_file(remote_id)]
    kept = Destination.objects.get(name=name)
    lose_everything()
    if name == "Bucket":
        shutil.rmtree(few.folder.options["path"])
    recover(shell, kept)
    few.source = Source.objects.get()
    out = tmp_path / "out"
    run = restoring.request_restore(few.source, target="folder", options={"path": str(out)})
    run = few.work(run)
    assert run.outcome == Run.Outcome.OK, run.error_message
    found = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(truth)


def _is_file(remote_id: str) -> bool:
    return File.objects.filter(remote_id=remote_id, content="blob").exists()


def test_what_was_erased_and_still_lies_there_is_not_taken_up(few: Setting) -> None:
    few.back_up()
    file = File.objects.filter(content="blob").latest("pk")
    Erased.objects.create(source=few.source, digest=erased.digest(file.remote_id))
    remote_id = file.remote_id
    file.delete()
    compared = reconcile.compare(few.source, few.folder, lambda _: None)
    assert (compared.adopted, compared.foreign) == (0, 1)
    assert not File.objects.filter(remote_id=remote_id).exists()


@pytest.mark.usefixtures("keys")
def test_a_destination_attached_after_a_file_went_to_the_trash_gives_it_back(
    few: Setting, shell: Shell
) -> None:
    source_setup.detach(few.source, few.bucket)
    few.back_up()
    trashed = File.objects.filter(content="blob").earliest("pk")
    few.control.trash(trashed.remote_id)
    source_setup.attach(few.source, few.bucket)
    few.back_up()
    segments.write(few.source.pk)
    before = files()
    lose_everything()
    (told,) = recover(shell, few.bucket)
    assert (told["notes"], told["missing"], told["foreign"], told["adopted"]) == ([], 0, 0, 0)
    assert files() == before
    copy = Copy.objects.get(version__file__remote_id=trashed.remote_id, destination__name="Bucket")
    assert "/.trash/" in copy.object_key
