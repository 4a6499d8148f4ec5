"""Many small files are durable before any of them has its name, and before anyone is told so."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from syncapp.errors import BackupError, ConfigurationError
from syncapp.restore_targets.base import OVERWRITE, RENAME, SKIP, Item, Placed, Unnamed
from syncapp.restore_targets.durable import FileSystem
from syncapp.restore_targets.folder import FolderTarget
from tests.restore_targets.test_targets import Content

FILES = 12


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def target(out: Path, monkeypatch: pytest.MonkeyPatch) -> FolderTarget:
    real = FileSystem.__init__

    def made(self: FileSystem, fd: int) -> None:
        real(self, fd)
        self.syncs_at_once = True  # wherever these tests run

    monkeypatch.setattr(FileSystem, "__init__", made)
    target = FolderTarget(str(out), 7)
    target.begin()
    return target


def written(target: FolderTarget, *names: str, collision: str = SKIP) -> list[Unnamed]:
    found = []
    for number, name in enumerate(names):
        path = tuple(name.split("/"))
        one = target.write(Item(number, path, path), Content(name.encode()), collision)
        assert isinstance(one, Unnamed)
        found.append(one)
    return found


def names_in(out: Path) -> set[str]:
    return {
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and ".restoring-7" not in path.parts
    }


def only_folders(fd: int) -> None:
    assert stat.S_ISDIR(os.fstat(fd).st_mode), "one file was made durable alone"


def test_no_file_has_its_name_before_all_are_durable_nor_is_told_of_before_the_names_are(
    target: FolderTarget, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    real = FileSystem.sync

    def sync(self: FileSystem) -> None:
        seen.append(names_in(out))
        real(self)

    monkeypatch.setattr(FileSystem, "sync", sync)
    monkeypatch.setattr(os, "fsync", only_folders)
    names = [f"{number % 3}.txt/{number}" for number in range(FILES)]
    files = written(target, *names)
    assert names_in(out) == set()

    placed = target.name(files)

    assert seen == [set(), set(names)]
    assert placed == [Placed(f"{out}/{name}") for name in names]
    assert not list((out / ".restoring-7").iterdir())


def test_what_could_not_be_made_durable_gets_no_name_and_is_said_of_all(
    target: FolderTarget, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = written(target, *map(str, range(FILES)))

    def full(self: FileSystem) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileSystem, "sync", full)
    with pytest.raises(ConfigurationError, match="full"):
        target.name(files)

    assert names_in(out) == set()
    assert not list((out / ".restoring-7").iterdir())


def test_one_file_that_can_not_have_its_name_leaves_the_others_theirs(
    target: FolderTarget, out: Path
) -> None:
    files = written(target, *map(str, range(FILES)), "in/the/way")
    (out / "in" / "the").rmdir()
    (out / "in" / "the").write_text("a file")

    *placed, refused = target.name(files)

    assert all(isinstance(one, Placed) for one in placed)
    assert isinstance(refused, BackupError)
    assert names_in(out) == {*map(str, range(FILES)), "in/the"}


@pytest.mark.parametrize("collision", [SKIP, RENAME, OVERWRITE])
def test_what_came_meanwhile_is_dealt_with_as_the_rule_says(
    target: FolderTarget, out: Path, collision: str
) -> None:
    names = [f"{number}.txt" for number in range(FILES)]
    files = written(target, *names, collision=collision)
    (out / "3.txt").write_text("somebody's")

    placed = target.name(files)[3]

    assert isinstance(placed, Placed)
    assert placed.kept == (collision == SKIP)
    kept = (out / "3.txt").read_text() == "somebody's"
    assert kept == (collision != OVERWRITE)
    assert (out / "3 (2).txt").exists() == (collision == RENAME)


def test_a_second_writer_of_the_same_item_never_writes_into_the_first_one_s_file(
    target: FolderTarget, out: Path
) -> None:
    first = written(target, *map(str, range(FILES)))
    second = written(target, *map(str, range(FILES)))

    assert not {one.temporary for one in first} & {one.temporary for one in second}
    assert target.name(first) == target.name(second)
    assert names_in(out) == set(map(str, range(FILES)))


def test_a_disk_that_syncs_file_by_file_has_each_file_named_by_who_wrote_it(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncapp.restore_targets.durable._kind", lambda fd: "nfs4")
    target = FolderTarget(str(out), 7)
    target.begin()

    placed = target.write(Item(1, ("a",), ("a",)), Content(b"a"), SKIP)

    assert placed == Placed(f"{out}/a")
