"""A folder that can't tell some names apart: no file's object is lost for another's."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncapp.destinations.local import LocalDestination
from syncapp.errors import PermanentError
from syncapp.types import ObjectMeta
from tests.engine.vault import part_of
from tests.restore_targets.test_one_name import FOLDS, pretend

META = ObjectMeta(mtime=datetime(2026, 1, 1, tzinfo=UTC), remote_id="id")


@pytest.fixture(params=FOLDS)
def names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two keys that are one name to the disk."""
    fold, first, second = FOLDS[request.param]
    pretend(monkeypatch, fold)
    return f"files/{first}", f"files/{second}"


@pytest.fixture
def store(tmp_path: Path) -> LocalDestination:
    made = LocalDestination(str(tmp_path), "")
    made.prepare()
    return made


def lies(store: LocalDestination) -> dict[str, bytes]:
    """What the folder really holds, by its real names."""
    top = Path(store.root, "files")
    return {name: Path(top, name).read_bytes() for name in os.listdir(top)}


def test_another_files_object_is_not_replaced(
    store: LocalDestination, names: tuple[str, str]
) -> None:
    store.put(names[0], part_of(b"first"), META)
    store.put("elsewhere", part_of(b"moves"), META)
    with pytest.raises(PermanentError) as told:
        store.put(names[1], part_of(b"second"), META)
    with pytest.raises(PermanentError):
        store.copy("elsewhere", names[1])
    assert told.value.code == "name_taken"
    assert lies(store) == {names[0].removeprefix("files/"): b"first"}
    assert not os.listdir(Path(store.root, ".partial"))


def test_another_files_object_is_not_removed(
    store: LocalDestination, names: tuple[str, str]
) -> None:
    """A name that was left behind by a move, say, and that a file created since is found under."""
    store.put(names[1], part_of(b"second"), META)
    store.delete(names[0])
    assert lies(store) == {names[1].removeprefix("files/"): b"second"}


def test_what_has_the_very_name_is_replaced_and_removed(
    store: LocalDestination, names: tuple[str, str]
) -> None:
    for data in (b"first", b"second"):
        store.put(names[0], part_of(data), META)
    assert list(lies(store).values()) == [b"second"]
    store.delete(names[0])
    assert store.head(names[0]) is None
