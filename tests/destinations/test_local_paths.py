"""No key, no link and no setting leads out of a folder destination."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncapp.destinations.local import MARKER, LocalDestination
from syncapp.errors import ConfigurationError, PermanentError
from tests.destinations.samples import (
    meta_of,
    part_of,
    put,
    read,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def store(root: Path) -> LocalDestination:
    made = LocalDestination.create({"path": str(root)}, {})
    made.prepare()
    return made


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    "key",
    [
        "../outside.txt",
        "a/../../outside.txt",
        "/etc/outside.txt",
        "a//b",
        "a/./b",
        "",
        "a/",
        "nul\0.txt",
        "lone \ud800 surrogate",
        ".partial/x",
        MARKER,
    ],
)
def test_a_key_that_leads_elsewhere_is_refused(
    store: LocalDestination, root: Path, key: str
) -> None:
    with pytest.raises(PermanentError):
        store.put(key, part_of(b"x"), meta_of(b"x"))
    with pytest.raises(PermanentError):
        read(store, key)
    with pytest.raises(PermanentError):
        store.delete(key)

    assert files(root) == [MARKER]
    assert not (root.parent / "outside.txt").exists()


def test_a_listing_can_not_leave_the_root(store: LocalDestination) -> None:
    with pytest.raises(PermanentError):
        list(store.objects("../"))


def test_a_linked_folder_is_not_followed(store: LocalDestination, root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret.txt")

    with pytest.raises(PermanentError):
        put(store, "link/new.txt", b"x")
    with pytest.raises(PermanentError):
        read(store, "link/secret.txt")
    with pytest.raises(PermanentError):
        read(store, "file")
    store.delete("link/secret.txt")

    assert list(store.objects()) == []
    assert sorted(os.listdir(outside)) == ["secret.txt"]


def test_a_link_in_the_place_of_a_file_is_replaced_not_written_through(
    store: LocalDestination, root: Path
) -> None:
    outside = root.parent / "outside.txt"
    outside.write_text("untouched")
    (root / "file.txt").symlink_to(outside)

    put(store, "file.txt", b"new")

    assert outside.read_text() == "untouched"
    assert read(store, "file.txt") == b"new"


def test_a_name_of_256_bytes_is_refused_with_a_reason(store: LocalDestination) -> None:
    with pytest.raises(PermanentError, match="256 bytes long; file systems allow 255") as caught:
        put(store, "folder/" + "x" * 256, b"x")

    assert caught.value.code == "name_too_long"


def test_a_file_and_a_folder_of_one_name_are_told(store: LocalDestination) -> None:
    put(store, "name", b"file")
    put(store, "folder/file", b"file")

    with pytest.raises(PermanentError, match="another kind"):
        put(store, "name/below", b"x")
    with pytest.raises(PermanentError, match="another kind"):
        put(store, "folder", b"x")

    assert sorted(info.key for info in store.objects()) == ["folder/file", "name"]


@pytest.mark.parametrize("path", ["", "relative/folder", "/", "/../", "with\0nul"])
def test_a_path_that_is_no_absolute_folder_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="Folder"):
        LocalDestination.create({"path": path}, {})


def test_the_programs_own_folder_is_refused(tmp_path: Path) -> None:
    code = Path(__file__).resolve().parents[2]
    (tmp_path / "link").symlink_to(code / "static")

    for path in (code, code / "static" / "x", tmp_path / "link" / "y"):
        with pytest.raises(ConfigurationError, match="program's own folder"):
            LocalDestination.create({"path": str(path)}, {})
    LocalDestination.create({"path": str(code / "var" / "backup")}, {})


def test_a_prefix_that_leads_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Subfolder"):
        LocalDestination.create({"path": str(tmp_path), "prefix": "../x"}, {})


def test_foreign_files_with_broken_names_do_not_stop_a_listing(
    store: LocalDestination, root: Path
) -> None:
    put(store, "a.txt", b"x")
    Path(os.fsdecode(os.fsencode(root) + b"/latin-\xe9.txt")).write_bytes(b"x")
    os.mkfifo(root / "pipe")

    assert [info.key for info in store.objects()] == ["a.txt"]
