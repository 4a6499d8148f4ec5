"""What interrupted work left at a destination is known as ours and removed; nothing else is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from syncapp.destinations import local
from syncapp.engine import findings, jobs, leftovers, runs
from syncapp.engine.adapters import destination_for
from syncapp.engine.planning import withdraw
from syncapp.engine.settle import Settlement
from syncapp.errors import Unavailable
from syncapp.models import Copy, Event, Finding, Lane, Leftover, Run, Version
from syncapp.types import ObjectMeta
from tests.engine.conftest import Setting
from tests.engine.tree import blobs, check_all, path_key, shown
from tests.engine.vault import MODIFIED, part_of


class Killed(BaseException):
    """kill -9."""


@pytest.fixture(autouse=True)
def _no_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncapp.engine.census.YOUNG", timedelta(0))


def killed_before_it_is_settled(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup whose worker dies when everything was sent and nothing written down."""
    with monkeypatch.context() as patch:
        patch.setattr(Settlement, "_copies", _dies)
        with pytest.raises(Killed):
            setting.back_up()
    end_what_died()
    assert Copy.objects.filter(state="pending").exclude(object_key="").exists()


def end_what_died() -> None:
    """As the supervisor does; the run fails with that."""
    Lane.objects.update(ended_at=timezone.now())
    Version.objects.update(lease_owner="", leases=0, due_at=timezone.now())
    runs.fail(Run.objects.get(ended_at=None), Unavailable("It was killed."))


def _dies(*_: Any) -> None:
    raise Killed


def clean(setting: Setting) -> None:
    """The next run has left everything as it should be, and a verification says so."""
    assert setting.back_up().outcome == Run.Outcome.OK
    check_all(setting)
    assert not Finding.objects.filter(healed_at=None).exists()
    Leftover.objects.update(noted_at=timezone.now() - timedelta(days=1), looked_at=None)
    setting.back_up()
    assert not Leftover.objects.exists()


def test_what_was_sent_and_then_replaced_and_renamed_is_removed(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before_it_is_settled(few, monkeypatch)
    sent = shown(few.folder)
    assert sent
    folder = blobs(few)[0].parent_id
    for file in blobs(few):
        few.control.edit(file.remote_id)
    few.control.rename(folder, "another folder")
    few.back_up()
    assert not sent & shown(few.folder)
    assert not sent & shown(few.bucket)
    assert Event.objects.filter(code="leftovers_removed").count() == 2
    clean(few)


def test_a_verification_removes_them_too(few: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    few.back_up()
    file, store = blobs(few)[0], destination_for(few.folder)
    version = Version.objects.get(file=file, current=True)
    copy = version.copies.get(destination=few.folder)
    Copy.objects.filter(pk=copy.pk).update(state="pending")
    stray = store.copy(copy.object_key, "drive/files/elsewhere.bin")
    leftovers.note_made(copy, stray.key)
    Copy.objects.filter(pk=copy.pk).update(state="stored")
    assert few.verify().outcome == Run.Outcome.OK
    assert store.head(stray.key) is None
    assert store.head(copy.object_key) is not None
    clean(few)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_killed_while_it_keeps_a_replaced_version_leaves_nothing(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.back_up()
    file = blobs(few)[0]
    few.control.edit(file.remote_id, b"newer content")
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_damage", _dies)  # copied, and not written down yet
        with pytest.raises(Killed):
            few.back_up()
    end_what_died()
    kept = {row.object_key for row in Leftover.objects.all()}
    assert all(key.startswith("drive/.versions/") for key in kept)
    assert kept
    few.control.rename(file.remote_id, "renamed.bin")
    few.back_up()
    for destination in (few.folder, few.bucket):
        store = destination_for(destination)
        there = {info.key for info in store.objects("drive/.versions/")}
        assert there == set(
            Copy.objects.filter(destination=destination, version__current=False).values_list(
                "object_key", flat=True
            )
        )
    clean(few)


def noted(setting: Setting, key: str) -> Version:
    """A version of which a leftover is written down under the key, as one of a dead worker's."""
    version = Version.objects.filter(current=True, file=blobs(setting)[0]).get()
    for copy in version.copies.all():
        leftovers.note_made(copy, key)
    return version


def test_what_somebody_else_put_there_stays_and_is_reported(few: Setting) -> None:
    few.back_up()
    key, store = "drive/files/mine.bin", destination_for(few.folder)
    noted(few, key)
    store.put(key, part_of(b"a person's own"), ObjectMeta(MODIFIED, "another id"))
    few.back_up()
    run = few.verify()
    assert (run.outcome, Finding.objects.get(healed_at=None).object_key) == ("warnings", key)
    assert store.head(key) is not None
    assert findings.leave(few.source, Finding.objects.get(healed_at=None).pk)
    assert few.verify().outcome == Run.Outcome.OK, "a person has said that it may lie there"
    store.delete(key)
    few.verify()
    assert Finding.objects.get().healed_from == findings.GONE


def test_a_key_that_a_copy_has_is_not_touched(few: Setting) -> None:
    few.back_up()
    version = Version.objects.filter(current=True, file=blobs(few)[0]).get()
    noted(few, path_key(version.file))
    few.back_up()
    check_all(few)
    assert not Leftover.objects.exists(), "the copy answers for its key"


def test_a_key_that_is_written_down_for_an_upload_is_not_touched(few: Setting) -> None:
    few.back_up()
    store, key = destination_for(few.folder), "drive/files/on its way.bin"
    version = noted(few, key)
    copy = version.copies.get(destination=few.folder)
    store.copy(copy.object_key, key)
    other = Version.objects.filter(current=True, file=blobs(few)[1]).get()
    taking = other.copies.get(destination=few.folder)
    Copy.objects.filter(pk=taking.pk).update(state="failed", old_key=key)
    Leftover.objects.update(noted_at=timezone.now() - timedelta(days=1))
    few.verify()
    assert store.head(key) is not None


def test_copies_that_were_never_sent_leave_no_note(few: Setting) -> None:
    few.back_up()
    Copy.objects.update(state="pending", object_key="", old_key="")
    withdraw(Version.objects.all(), Version.State.SUPERSEDED)
    assert not Copy.objects.exists()
    assert not Leftover.objects.exists()


def test_where_case_is_ignored_a_copy_is_not_taken_for_a_leftover(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that takes `a.bin` and `A.bin` for one file, as those of macOS and Windows do."""
    real = local.components
    monkeypatch.setattr(local, "components", lambda key: [name.casefold() for name in real(key)])
    few.back_up()
    version, store = noted(few, "drive/files/x.bin"), destination_for(few.folder)
    copy = version.copies.get(destination=few.folder)
    other = copy.object_key.swapcase().replace("DRIVE/FILES", "drive/files")
    Leftover.objects.update(object_key=other)
    few.back_up()
    assert store.head(copy.object_key) is not None
