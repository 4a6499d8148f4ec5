"""Ways back that once went wrong: each test is what reading the code line by line had found."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import GoogleAccount, User
from syncapp.destinations.local import LocalDestination
from syncapp.engine import (
    database_backup,
    erasure_rows,
    keys,
    mending,
    reconcile,
    segment_store,
    segments,
)
from syncapp.engine.adapters import destination_for
from syncapp.engine.destination_setup import configure
from syncapp.engine.segment_format import Name, PartWriter
from syncapp.engine.source_setup import add_source
from syncapp.errors import ConfigurationError
from syncapp.models import (
    Copy,
    Destination,
    Erasure,
    Event,
    Finding,
    Place,
    Recovery,
    SegmentTurn,
)
from syncapp.restore_targets.base import SKIP
from syncapp.restore_targets.folder import FolderTarget
from syncapp.types import ObjectMeta
from syncapp.visible import visible
from tests.engine.vault import MODIFIED, SEEN, Vault, part_of
from tests.restore_targets.test_targets import Content, item

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "restore_without_app.py"


@pytest.fixture
def vault(transactional_db: None, tmp_path: Path, settings: Any) -> Vault:
    settings.SPOOL_DIR = tmp_path / "spool"
    return Vault.make(tmp_path)


# --- Segments ---------------------------------------------------------------------------------


def test_a_catalog_that_no_destination_takes_is_told_and_tried_again(
    vault: Vault, tmp_path: Path
) -> None:
    vault.file("a.txt")
    for name in ("one", "two"):
        (tmp_path / name).rename(tmp_path / f"{name}, not mounted")
    segments.write(vault.source.pk)
    turn = SegmentTurn.objects.get(source=vault.source)
    assert turn.error_code
    assert turn.next_at > timezone.now() + timedelta(minutes=1)
    assert Event.objects.filter(code="segments_failed").count() == 1


# --- The way back without the program ---------------------------------------------------------


def catalog(folder: Path, *lines: dict[str, Any], **files: bytes) -> None:
    """A folder destination with one whole catalog of these lines, and these objects."""
    name = Name("drive", 1, "full", 1, 1, 3)
    path = folder / name.key
    path.parent.mkdir(parents=True)
    with path.open("wb") as target:
        part = PartWriter(target, {"kind": "full", "number": 1, "part": 1, "parts": 1, "after": 0})
        for line in lines:
            part.add(line)
        part.close()
    for key, data in files.items():
        (folder / key).write_bytes(data)


def version(key: str, data: bytes, seen: str, until: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {
        "revision": key, "state": "stored", "size": len(data), "first_seen_at": seen,
        "sha256": hashlib.sha256(data).hexdigest(), "copies": [{"to": 3, "key": key}],
    }  # fmt: skip
    return made | ({"replaced_at": until} if until else {"current": True})


def line(pk: str, name: str, *versions: dict[str, Any]) -> dict[str, Any]:
    seen = "2026-01-01T00:00:00Z"
    return {"file": pk, "name": name, "content": "blob", "placed_at": seen, "versions": versions}


def restored(origin: Path, target: Path, *more: str) -> dict[str, bytes]:
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(origin), str(target), *more]
    subprocess.run(command, check=True, capture_output=True)
    there = target / "drive"
    return {p.name: p.read_bytes() for p in there.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("at", "content"),
    [("2026-01-02", b"A"), ("2026-02-02", b"B"), ("2026-03-02", b"A"), ("", b"A")],
)
def test_a_content_that_came_back_is_what_the_file_was_then(
    tmp_path: Path, at: str, content: bytes
) -> None:
    first = version("a", b"A", "2026-01-01T00:00:00Z")
    second = version("b", b"B", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
    catalog(tmp_path / "backup", line("1", "letter", first, second), a=b"A", b=b"B")
    more = ["--at", at] if at else []
    assert restored(tmp_path / "backup", tmp_path / "out", *more) == {"letter": content}


def test_files_named_like_the_scripts_own_are_not_written_over(tmp_path: Path) -> None:
    seen = "2026-01-01T00:00:00Z"
    names = ["letter.part", "letter.before", "letter"]
    lines = [line(f"{n}", name, version(f"k{n}", b"%d" % n, seen)) for n, name in enumerate(names)]
    catalog(tmp_path / "backup", *lines, k0=b"0", k1=b"1", k2=b"2")
    (tmp_path / "out" / "drive").mkdir(parents=True)
    (tmp_path / "out" / "drive" / "letter").write_bytes(b"other")
    found = restored(tmp_path / "backup", tmp_path / "out")
    assert {name: found[name] for name in names} == {
        "letter.part": b"0", "letter.before": b"1", "letter": b"2",
    }  # fmt: skip
    assert b"other" in found.values()
    assert len(found) == 4


# --- Restores ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".restoring-7", ".Restoring-7"])
def test_a_folder_named_like_the_unfinished_one_is_not_taken_away_at_the_end(
    tmp_path: Path, name: str
) -> None:
    target = FolderTarget(str(tmp_path / "out"), 7)
    target.begin()
    placed = target.place(item(name, "a.txt"), Content(b"kept"), SKIP)
    target.folder(item(name, "empty"))
    target.end()
    assert Path(placed.where).read_bytes() == b"kept"
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")).count("empty") == 1


def test_a_folder_named_like_the_unfinished_one_gets_its_time(tmp_path: Path) -> None:
    target = FolderTarget(str(tmp_path / "out"), 7)
    target.begin()
    placed = target.folder(item(".restoring-7"))
    target.finish_folder(replace(item(".restoring-7"), modified_at=MODIFIED))
    target.end()
    assert Path(placed.where).stat().st_mtime == MODIFIED.timestamp()


# --- Healing and comparing --------------------------------------------------------------------


def test_an_old_version_is_not_put_on_top_of_the_one_that_replaced_it(vault: Vault) -> None:
    old = vault.file("a.txt", b"old")
    copy = old.copies.get(destination=vault.destinations[0])
    Finding.objects.create(
        source=vault.source, destination=copy.destination, copy=copy, kind=Finding.Kind.FOREIGN,
        object_key=copy.object_key, message="Another object lies on top of it.",
    )  # fmt: skip
    assert mending.covered(vault.source.pk).count() == 1
    vault.version(old.file, b"new")
    assert not mending.covered(vault.source.pk).exists()


def test_what_is_stored_while_a_comparison_lists_is_not_missing(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file("a.txt")
    destination = vault.destinations[0]
    note: Callable[..., None] = reconcile._note_seen

    def noted(*args: Any) -> None:
        note(*args)
        late = vault.file("late.txt", at=[destination])
        Copy.objects.filter(version=late).update(stored_at=timezone.now())

    monkeypatch.setattr(reconcile, "_note_seen", noted)
    assert reconcile.compare(vault.source, destination, lambda _: None).missing == 0
    assert not Copy.objects.filter(state=Copy.State.DAMAGED).exists()


def test_comparing_twice_reports_a_foreign_object_once(vault: Vault) -> None:
    destination = vault.destinations[0]
    vault.store(destination).put("drive/files/strange", part_of(b"x"), ObjectMeta(SEEN, ""))
    for _ in range(2):
        assert reconcile.compare(vault.source, destination, lambda _: None).foreign == 1
    assert Finding.objects.filter(kind=Finding.Kind.FOREIGN).count() == 1


def test_objects_are_read_while_nobody_waits_for_the_database(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite a transaction keeps all others from writing; an object may be read for hours."""
    file, destination = vault.file("a.txt", b"kept"), vault.destinations[0]
    Copy.objects.filter(version=file, destination=destination).delete()
    read: Callable[..., Any] = LocalDestination.read
    in_transaction: list[bool] = []

    def reading(*args: Any, **options: Any) -> Any:
        in_transaction.append(connection.in_atomic_block)
        return read(*args, **options)

    monkeypatch.setattr(LocalDestination, "read", reading)
    assert reconcile.compare(vault.source, destination, lambda _: None).adopted == 1
    assert in_transaction
    assert not any(in_transaction)


# --- Erasing ----------------------------------------------------------------------------------

HOSTILE = "pay\u202efdp/slip.exe"


def test_an_erased_name_is_left_in_no_message_finding_or_note(vault: Vault) -> None:
    """As messages show it, as keys have it, as it was before, in other letters."""
    now = timezone.now()
    file = vault.file("present name").file
    Place.objects.create(
        source=vault.source, file=file, parent_id="", name=HOSTILE, from_at=SEEN, until_at=now
    )
    shown = [visible(HOSTILE), keys.encode(HOSTILE), visible(keys.encode(HOSTILE)), "present name"]
    for told in shown:
        Event.objects.create(
            owner=vault.source.owner, source=vault.source, code="x", level="info",
            message=f"About “{told}”.",
        )  # fmt: skip
    key = f"drive/files/{keys.encode(HOSTILE)}"
    Finding.objects.create(
        source=vault.source, destination=vault.destinations[0], kind=Finding.Kind.FOREIGN,
        object_key=key, message="No copy claims it.", healed_at=now,
    )  # fmt: skip
    Recovery.objects.create(
        source=vault.source, notes=[f"1 copies are missing: {key}"], ended_at=now
    )
    erasure = Erasure.objects.create(
        owner=vault.source.owner, source=vault.source, source_name="Drive", what="it",
        files=[file.pk],
    )  # fmt: skip
    Copy.objects.all().delete()
    erasure_rows.forget(erasure, vault.source, [file.pk])
    erasure_rows.forget_for_all(erasure, vault.source)
    left = [
        *Event.objects.values_list("message", flat=True),
        *Finding.objects.values_list("object_key", flat=True),
        *(str(notes) for notes in Recovery.objects.values_list("notes", flat=True)),
    ]
    assert [text for text in left if any(told in text for told in shown)] == []


def test_a_backup_of_the_database_from_before_an_erasure_does_not_outlive_it(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dump was made before, and came to the store after all others were removed there."""
    destination = vault.destinations[0]
    send = segment_store.send

    def slowly(*args: Any, **more: Any) -> int:
        database_backup.remove_everywhere()
        return send(*args, **more)

    monkeypatch.setattr(segment_store, "send", slowly)
    database_backup.send([destination.pk])
    assert database_backup.names(destination_for(destination)) == []
    monkeypatch.setattr(segment_store, "send", send)
    database_backup.send([destination.pk])
    assert len(database_backup.names(destination_for(destination))) == 1


def test_a_backup_of_the_database_whose_sender_died_is_removed_by_an_erasure(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = vault.destinations[0]
    send = segment_store.send

    def killed(*args: Any, **more: Any) -> int:
        send(*args, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(segment_store, "send", killed)
    with suppress(KeyboardInterrupt):
        database_backup.send([destination.pk])
    monkeypatch.setattr(segment_store, "send", send)
    assert len(database_backup.names(destination_for(destination))) == 1
    segments.rewrite(vault.source)
    assert database_backup.names(destination_for(destination)) == []


# --- Folders of this server -------------------------------------------------------------------


def test_a_folder_that_is_used_is_the_folder_that_was_judged(
    db: None, tmp_path: Path, settings: Any
) -> None:
    """Behind a link, `..` is one thing to the system, another to whoever shortens the path."""
    disk = tmp_path / "disk" / "volume" / "backups"
    disk.mkdir(parents=True)
    root = tmp_path / "mnt" / "backups"
    root.parent.mkdir()
    root.symlink_to(disk)
    settings.LOCAL_DESTINATION_ROOTS = [str(root)]
    eve = User.objects.create_user("eve", "eve@example.org", "a long passphrase")
    row = Destination(owner=eve, kind="local", name="Attic")
    outside = f"{root}/../../volume/backups/x"  # shortened: beside the root, not below it
    with pytest.raises(ConfigurationError, match="Folder"):
        configure(row, {"path": outside}, by=eve)
    configure(row, {"path": f"{root}/x"}, by=eve)


def test_no_place_is_two_destinations(db: None, tmp_path: Path) -> None:
    """Each would write over the other's objects, and count as a second copy."""
    ada = User.objects.create_superuser("ada", "ada@example.org", "a long passphrase")
    first = Destination(owner=ada, kind="local", name="Attic")
    configure(first, {"path": f"{tmp_path}/a/b"}, by=ada)
    first.save()
    configure(first, {"path": f"{tmp_path}/a/b"}, by=ada)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    second = Destination(owner=ada, kind="local", name="Cellar")
    for values in ({"path": f"{tmp_path}/a", "prefix": "b/"}, {"path": f"{tmp_path}/link/b"}):
        with pytest.raises(ConfigurationError, match="at this very place already"):
            configure(second, values, by=ada)
    configure(second, {"path": f"{tmp_path}/a", "prefix": "c"}, by=ada)


def test_two_people_who_link_one_account_do_not_write_to_one_folder(
    db: None, tmp_path: Path
) -> None:
    sources = []
    for name in ("ada", "bob"):
        user = User.objects.create_user(name, f"{name}@example.org", "a long passphrase")
        account = GoogleAccount.objects.create(user=user, uid="1", email="both@example.org")
        sources.append(add_source(account))
    assert sources[0].slug != sources[1].slug
