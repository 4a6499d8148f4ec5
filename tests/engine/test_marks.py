"""Two installations never write over each other: a mark at the destination tells whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncapp.destinations.s3 import S3Destination
from syncapp.engine import marks
from syncapp.engine.adapters import destination_for
from syncapp.engine.destination_setup import probe
from syncapp.errors import ConfigurationError, PermanentError, Unavailable
from syncapp.models import Copy, Destination, Event, Installation, Run
from tests.engine.conftest import Setting
from tests.engine.tree import blobs, check_all
from tests.engine.vault import Vault


def another() -> None:
    """From now on this database is another installation's."""
    Installation.objects.all().delete()
    Destination.objects.update(marked_at=None)


@pytest.mark.django_db
def test_a_test_marks_a_place_once_and_refuses_anothers(tmp_path: Path) -> None:
    there = Vault.make(tmp_path, "one").destinations[0]
    assert not [line for line in probe(there) if line.level != "ok" and line.name != "free space"]
    assert marks.found(destination_for(there)) == Installation.objects.get().mark
    probe(there)
    assert there.blocked_code == ""
    another()
    lines = probe(Destination.objects.get())
    assert (lines[-1].name, lines[-1].level) == ("installation", "error")
    assert Destination.objects.get().blocked_code == marks.OTHER
    probe(Destination.objects.get(), take_over=True)
    assert Destination.objects.get().blocked_code == ""
    assert marks.found(destination_for(there)) == Installation.objects.get().mark


@pytest.mark.django_db
def test_the_one_whose_place_was_taken_is_refused_and_no_two_take_turns(tmp_path: Path) -> None:
    there = Vault.make(tmp_path, "one").destinations[0]
    marks.claim(there)
    first = Installation.objects.get().mark
    another()
    there.refresh_from_db()
    marks.claim(there, take_over=True)
    second = Installation.objects.get()
    assert second.succeeds == [first]
    marks._write(destination_for(there), first)  # the first one takes it back
    with pytest.raises(marks.OtherInstallation):
        marks.claim(there)


@pytest.mark.django_db
def test_other_places_of_an_installation_that_is_succeeded_are_taken_too(tmp_path: Path) -> None:
    one, two = Vault.make(tmp_path, "one", "two").destinations
    for place in (one, two):
        marks.claim(place)
    another()
    one, two = Destination.objects.order_by("pk")
    marks.claim(one, take_over=True)
    marks.claim(two)
    assert marks.found(destination_for(two)) == Installation.objects.get().mark


def test_a_backup_writes_nothing_at_anothers_place(few: Setting) -> None:
    few.back_up()
    marks.claim(few.bucket)
    marks.claim(few.folder)
    another()
    marks.claim(few.folder, take_over=True)
    Installation.objects.update(succeeds=[])
    store = destination_for(few.bucket)
    lay = {(info.key, info.etag) for info in store.objects()}
    first, second = blobs(few)[:2]
    few.control.rename(first.remote_id, "renamed.bin")
    few.control.edit(second.remote_id)
    run = few.back_up()
    assert run.outcome != Run.Outcome.OK
    assert {(info.key, info.etag) for info in store.objects()} == lay
    few.bucket.refresh_from_db()
    assert few.bucket.blocked_code == marks.OTHER
    assert Event.objects.filter(code="destination_blocked", destination=few.bucket).count() == 1
    few.back_up()
    assert {(info.key, info.etag) for info in store.objects()} == lay
    probe(Destination.objects.get(pk=few.bucket.pk), take_over=True)
    few.back_up()
    check_all(few)


def test_a_place_whose_mark_can_not_be_read_takes_copies_all_the_same(
    few: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermanentError("Not allowed.")

    monkeypatch.setattr(S3Destination, "read", refused)
    few.back_up()
    assert Copy.objects.filter(destination=few.bucket, state="stored").count() == 40
    monkeypatch.undo()


@pytest.mark.django_db
@pytest.mark.parametrize("torn", [b"", b'{"format": "back', b"\xff\xfe", b"[]", b"{}"])
def test_a_torn_mark_is_nobodys_and_written_anew(tmp_path: Path, torn: bytes) -> None:
    there = Vault.make(tmp_path, "one").destinations[0]
    marks.claim(there)
    (path,) = tmp_path.rglob("installation.json")
    path.write_bytes(torn)
    marks.check(destination_for(there), ["mine"])
    marks.claim(there)
    assert marks.found(destination_for(there)) == Installation.objects.get().mark


def test_keys_that_may_not_read_the_mark_do_not_stop_a_lane() -> None:
    class Closed:
        def read(self, *_: object, **__: object) -> None:
            raise ConfigurationError("These keys may not read.")

    marks.Guard(Closed(), ["mine"], lambda: None)()  # type: ignore[arg-type]


def test_a_renewed_look_is_made_with_the_store_of_now() -> None:
    asked: list[str] = []

    class Away:
        def __init__(self, name: str) -> None:
            self.name = name

        def read(self, *_: object, **__: object) -> None:
            asked.append(self.name)
            raise Unavailable("It is away.")

    guard = marks.Guard(Away("old"), ["mine"], lambda: None)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        guard()
    guard.renew(Away("new"), ["mine"])  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        guard()
    assert asked == ["old", "new"]


def test_a_look_that_failed_for_the_moment_is_made_again() -> None:
    class Away:
        def read(self, *_: object, **__: object) -> None:
            raise Unavailable("It is away.")

    guard = marks.Guard(Away(), ["mine"], lambda: None)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(Unavailable):
            guard()
