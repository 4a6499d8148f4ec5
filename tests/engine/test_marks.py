"""Two installations never write over each other: a mark at the destination tells whose it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.destinations.s3 import S3Destination
from syncapp.engine import database_backup, marks, segments
from syncapp.engine.adapters import destination_for, origin_for
from syncapp.engine.destination_setup import probe
from syncapp.engine.erase import request_erasure
from syncapp.engine.segment_store import catalog_store
from syncapp.errors import ConfigurationError, PermanentError, Unavailable
from syncapp.models import Copy, Destination, Erasure, Event, File, Installation, Run
from tests.engine.conftest import Setting
from tests.engine.pruning import ago, ended, lane, prune
from tests.engine.test_verify import verify
from tests.engine.tree import blobs, check_all
from tests.engine.vault import Vault


def another() -> None:
    """From now on this database is another installation's."""
    Installation.objects.all().delete()
    Destination.objects.update(marked_at=None)


def claim(destination: Destination, *, take_over: bool = False) -> None:
    marks.claim(destination, catalog_store(destination), take_over=take_over)


def whose(destination: Destination) -> str:
    mark = marks.found(origin_for(destination))
    return mark.installation if mark else ""


def lies(destination: Destination) -> set[tuple[str, str, str]]:
    """Everything there, all versions of it."""
    return {(i.key, i.version_id, i.etag) for i in origin_for(destination).versions()}


@pytest.mark.django_db
def test_a_test_marks_a_place_once_and_refuses_anothers(tmp_path: Path) -> None:
    there = Vault.make(tmp_path, "one").destinations[0]
    assert not [line for line in probe(there) if line.level != "ok" and line.name != "free space"]
    assert whose(there) == Installation.objects.get().mark
    probe(there)
    assert there.blocked_code == ""
    another()
    lines = probe(Destination.objects.get())
    assert (lines[-1].name, lines[-1].level) == ("installation", "error")
    assert Destination.objects.get().blocked_code == marks.OTHER
    probe(Destination.objects.get(), take_over=True)
    assert Destination.objects.get().blocked_code == ""
    assert whose(there) == Installation.objects.get().mark


@pytest.mark.django_db
def test_the_one_whose_place_was_taken_is_refused_and_no_two_take_turns(tmp_path: Path) -> None:
    there = Vault.make(tmp_path, "one").destinations[0]
    claim(there)
    first = Installation.objects.get().mark
    another()
    there.refresh_from_db()
    claim(there, take_over=True)
    second = Installation.objects.get()
    assert second.succeeds == [first]
    marks._write(origin_for(there), first, over=None)  # the first one takes it back
    with pytest.raises(marks.OtherInstallation):
        claim(there)


@pytest.mark.django_db
def test_other_places_of_an_installation_that_is_succeeded_are_taken_too(tmp_path: Path) -> None:
    one, two = Vault.make(tmp_path, "one", "two").destinations
    for place in (one, two):
        claim(place)
    another()
    one, two = Destination.objects.order_by("pk")
    claim(one, take_over=True)
    claim(two)
    assert whose(two) == Installation.objects.get().mark


def test_a_backup_writes_nothing_at_anothers_place(few: Setting) -> None:
    few.back_up()
    claim(few.bucket)
    claim(few.folder)
    another()
    claim(few.folder, take_over=True)
    Installation.objects.update(succeeds=[])
    lay = lies(few.bucket)
    first, second = blobs(few)[:2]
    few.control.rename(first.remote_id, "renamed.bin")
    few.control.edit(second.remote_id)
    run = few.back_up()
    assert run.outcome != Run.Outcome.OK
    assert lies(few.bucket) == lay
    few.bucket.refresh_from_db()
    assert few.bucket.blocked_code == marks.OTHER
    assert Event.objects.filter(code="destination_blocked", destination=few.bucket).count() == 1
    few.back_up()
    assert lies(few.bucket) == lay
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
    claim(there)
    (path,) = tmp_path.rglob("installation.json")
    path.write_bytes(torn)
    marks.check(destination_for(there))
    claim(there)
    assert whose(there) == Installation.objects.get().mark


@pytest.fixture
def anothers(transactional_db: None, tmp_path: Path) -> Vault:
    """Two places; at the second one another installation's mark lies since a moment ago."""
    vault = Vault.make(tmp_path)
    one, two = vault.destinations
    claim(two)
    another()
    claim(one)
    return vault


def told(vault: Vault) -> str:
    return Destination.objects.get(pk=vault.destinations[1].pk).blocked_code


def test_nothing_is_pruned_at_anothers_place(anothers: Vault) -> None:
    ended(anothers.source)
    version = anothers.file("gone.txt")
    File.objects.filter(pk=version.file_id).update(vanished_at=ago(90))
    lay = lies(anothers.destinations[1])
    run = prune(anothers)
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, marks.OTHER)
    assert told(anothers) == marks.OTHER
    assert lies(anothers.destinations[1]) == lay
    assert len(lies(anothers.destinations[0])) == 1  # the mark
    probe(Destination.objects.get(name="two"), take_over=True)
    prune(anothers)
    assert len(lies(anothers.destinations[1])) == 1


def test_an_erasure_is_refused_before_it_is_decided(anothers: Vault) -> None:
    version = anothers.file("secret.txt")
    lay = [lies(row) for row in anothers.destinations]
    erasure = Erasure.objects.create(
        owner=anothers.source.owner, source=anothers.source, source_name="Drive", what="secret.txt",
        files=[version.file_id],
    )  # fmt: skip
    run = request_erasure(anothers.source, erasure)
    lane(run)
    assert (run.outcome, run.error_code) == (Run.Outcome.FAILED, marks.OTHER)
    assert "Nothing was erased." in run.error_message
    assert [lies(row) for row in anothers.destinations] == lay


def test_anothers_place_is_read_back_but_not_healed(anothers: Vault) -> None:
    gone, there = anothers.file("gone.txt"), anothers.file("there.txt", b"there")
    anothers.path(gone, anothers.destinations[1]).unlink()
    lay = lies(anothers.destinations[1])
    Destination.objects.filter(name="two").update(blocked_code=marks.OTHER)
    verify(anothers)
    assert lies(anothers.destinations[1]) == lay
    states = dict(Copy.objects.filter(destination__name="two").values_list("version_id", "state"))
    assert states == {gone.pk: "damaged", there.pk: "verified"}


def test_neither_segments_nor_a_database_backup_go_to_anothers_place(anothers: Vault) -> None:
    anothers.file("a.txt")
    lay = lies(anothers.destinations[1])
    database_backup.send([anothers.destinations[1].pk])
    assert told(anothers) == marks.OTHER
    Destination.objects.update(blocked_code="")
    segments.write(anothers.source.pk)
    assert told(anothers) == marks.OTHER
    assert lies(anothers.destinations[1]) == lay
    assert len(lies(anothers.destinations[0])) > 2


@pytest.mark.django_db
def test_a_mark_tells_the_host_and_a_sign_of_life_an_hour(tmp_path: Path) -> None:
    there = Vault.make(tmp_path, "one").destinations[0]
    claim(there)
    (path,) = tmp_path.rglob("installation.json")
    first = path.read_bytes()
    claim(there)
    assert path.read_bytes() == first
    document = json.loads(first)
    document["seen"] = (timezone.now() - timedelta(minutes=61)).isoformat()
    path.write_text(json.dumps(document))
    claim(there)
    assert abs(timezone.now() - marks.found(origin_for(there)).seen) < timedelta(minutes=1)  # type: ignore[union-attr,operator]
    for seen in ("2026-13-45T99:00:00Z", "2026-01-01", 7, None, "\x1b"):
        path.write_text(json.dumps({**document, "seen": seen, "host": "x" * 999}))
        mark = marks.found(origin_for(there))
        assert mark is not None
        assert (mark.seen, len(mark.host)) == (None, 100)


class Fake:
    """A store whose reads go as told, and that counts what reaches it."""

    def __init__(self, *answers: Exception | bytes, last: Exception | bytes = b"") -> None:
        self.answers, self.last = list(answers), last
        self.reads, self.writes = 0, 0

    @contextmanager
    def read(self, key: str, **_: Any) -> Iterator[Iterator[bytes]]:
        self.reads += 1
        answer = self.answers.pop(0) if self.answers else self.last
        if isinstance(answer, Exception):
            raise answer
        yield iter([answer])

    def put(self, *_: Any) -> None:
        self.writes += 1

    def purge(self, *_: Any, **__: Any) -> None:
        self.writes += 1


def guarded(fake: Fake) -> Store:
    return marks.Guarded(fake, ["mine"]).store  # type: ignore[arg-type]


def test_the_mark_is_read_once_however_much_is_written() -> None:
    fake = Fake(b'{"installation": "mine"}')
    store = guarded(fake)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.purge(str(n)), range(100)))
    assert (fake.reads, fake.writes) == (1, 100)


def test_a_refusal_stays_and_costs_one_request() -> None:
    fake = Fake(last=b'{"installation": "another", "host": "nas"}')
    store = guarded(fake)
    for _ in range(3):
        with pytest.raises(marks.OtherInstallation, match="on the host nas"):
            store.purge("key")
    assert (fake.reads, fake.writes) == (1, 0)


def test_keys_that_may_not_read_the_mark_do_not_stop_a_lane() -> None:
    fake = Fake(ConfigurationError("These keys may not read."))
    guarded(fake).purge("key")
    assert fake.writes == 1


def test_a_look_that_failed_for_the_moment_is_made_again() -> None:
    fake = Fake(Unavailable("It is away."), b'{"installation": "mine"}')
    store = guarded(fake)
    with pytest.raises(Unavailable):
        store.purge("key")
    store.purge("key")
    assert (fake.reads, fake.writes) == (2, 1)
