"""Folders that find one file under several names: nothing restored replaces what was restored."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncapp.destinations.one_name import is_alias
from syncapp.restore_targets.base import OVERWRITE, RENAME, SKIP, Item
from syncapp.restore_targets.folder import FolderTarget
from tests.restore_targets.test_targets import Content

Fold = Callable[[str], str]

FOLDS: dict[str, tuple[Fold, str, str]] = {
    "case": (str.casefold, "Straße.txt", "STRASSE.txt"),
    "unseen": (lambda name: name.replace("\u200d", ""), "a\u200db", "ab"),
    "dot": (lambda name: name.rstrip(". "), "notes.", "notes"),
}


@pytest.fixture(params=FOLDS)
def names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two names that are one to every folder meanwhile."""
    fold, first, second = FOLDS[request.param]
    pretend(monkeypatch, fold)
    return first, second


def pretend(monkeypatch: pytest.MonkeyPatch, fold: Fold) -> None:
    """Have each folder find what it holds under all names that `fold` makes equal."""

    def held(name: Any, folder: int | None) -> Any:
        if folder is None:
            return name
        return next((e for e in os.listdir(folder) if fold(e) == fold(name)), name)

    def one(call: Callable[..., Any]) -> Callable[..., Any]:
        def found(name: Any, *rest: Any, dir_fd: int | None = None, **further: Any) -> Any:
            return call(held(name, dir_fd), *rest, dir_fd=dir_fd, **further)

        return found

    def two(call: Callable[..., Any]) -> Callable[..., Any]:
        def found(src: Any, dst: Any, *, dst_dir_fd: int | None = None, **further: Any) -> Any:
            return call(src, held(dst, dst_dir_fd), dst_dir_fd=dst_dir_fd, **further)

        return found

    for name in ("open", "stat", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, one(getattr(os, name)))
    for name in ("link", "rename"):
        monkeypatch.setattr(os, name, two(getattr(os, name)))


@pytest.fixture
def target(tmp_path: Path) -> FolderTarget:
    made = FolderTarget(str(tmp_path / "back"), 7)
    made.begin()
    return made


def item(name: str) -> Item:
    number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return Item(number, (name,), (name,))


def files(tmp_path: Path) -> list[bytes]:
    return sorted(p.read_bytes() for p in (tmp_path / "back").iterdir() if p.is_file())


@pytest.mark.parametrize("collision", [OVERWRITE, RENAME])
def test_both_of_two_files_stay_where_the_folder_finds_one_name(
    target: FolderTarget, names: tuple[str, str], tmp_path: Path, collision: str
) -> None:
    for name in names:
        target.place(item(name), Content(name.encode()), collision)
    assert files(tmp_path) == sorted(name.encode() for name in names)


def test_what_was_evaded_is_found_again_after_a_crash(
    target: FolderTarget, names: tuple[str, str], tmp_path: Path
) -> None:
    for _ in range(2):
        placed = [target.place(item(n), Content(n.encode()), OVERWRITE).where for n in names]
    assert len(set(placed)) == 2
    assert len(files(tmp_path)) == 2


def test_two_files_placed_at_once_both_stay(
    target: FolderTarget, names: tuple[str, str], tmp_path: Path
) -> None:
    first, second = names

    class Meanwhile(Content):
        def __iter__(self) -> Any:
            target.place(item(first), Content(b"first"), OVERWRITE)
            return super().__iter__()

    target.place(item(second), Meanwhile(b"second"), OVERWRITE)
    assert files(tmp_path) == [b"first", b"second"]


def test_what_has_the_very_name_is_replaced_and_else_left(
    target: FolderTarget, names: tuple[str, str], tmp_path: Path
) -> None:
    first, second = names
    (tmp_path / "back" / first).write_bytes(b"old")
    assert target.place(item(second), Content(b"new"), SKIP).kept
    target.place(item(first), Content(b"new"), OVERWRITE)
    assert files(tmp_path) == [b"new"]


def test_composed_and_decomposed_letters_are_one_name(
    target: FolderTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, lambda name: unicodedata.normalize("NFD", name))
    (tmp_path / "back" / unicodedata.normalize("NFD", "Fähre")).write_bytes(b"old")
    target.place(item("Fähre"), Content(b"new"), OVERWRITE)
    assert files(tmp_path) == [b"new"]


def test_a_folder_that_is_exact_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Readme", "readme"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr(os, "scandir", lambda _: pytest.fail("the folder was listed"))
    parent = os.open(tmp_path, os.O_RDONLY)
    try:
        assert not is_alias(parent, "readme")
        assert not is_alias(parent, "not there")
    finally:
        os.close(parent)
