"""What every target promises, held against a folder and other destinations."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncapp.destinations.base import Destination
from syncapp.destinations.local import LocalDestination
from syncapp.destinations.local_files import mtime
from syncapp.errors import ConfigurationError, IntegrityError, PermanentError, Unavailable
from syncapp.restore_targets import destination as destination_target
from syncapp.restore_targets.base import (
    OVERWRITE,
    RENAME,
    SKIP,
    Item,
    Target,
    Unfinished,
    numbered,
)
from syncapp.restore_targets.destination import DestinationTarget
from syncapp.restore_targets.folder import FolderTarget
from syncapp.types import Limits, SentPart
from tests.destinations.conftest import local_store, moto_server, s3_store
from tests.destinations.samples import HOSTILE_NAMES, MIB, read

__all__ = ["moto_server"]
MODIFIED = datetime(2012, 11, 28, 2, 8, 25, 123456, tzinfo=UTC)


@dataclass
class Content:
    """Bytes that may turn out wrong, or not come; told at the end of a whole read, as agreed."""

    data: bytes
    arrives: bytes | None = None
    fails: Exception | None = None
    reads: int = 0
    began_at: int = 0

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        return self.from_offset(0)

    def from_offset(self, start: int) -> Iterator[bytes]:
        self.reads += 1
        self.began_at = start
        data = self.data if self.arrives is None else self.arrives
        for at in range(start, len(data), 300_000):
            yield data[at : at + 300_000]
        if self.fails:
            raise self.fails
        if not start and data != self.data:
            raise IntegrityError("These are not the bytes that were stored.")


@dataclass
class Place:
    """A target and a look at what lies there: paths and their bytes."""

    target: Target
    root: Path
    store: Destination | None = None

    def files(self) -> dict[str, bytes]:
        if self.store:
            return {i.key[9:]: read(self.store, i.key) for i in self.store.objects("restored/")}
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file()
        }


@dataclass
class Kept:
    """Big uploads, kept in memory."""

    uploads: dict[int, Unfinished] = field(default_factory=dict)

    def of_item(self, item_id: int) -> Unfinished | None:
        return self.uploads.get(item_id)

    def begun(self, item_id: int, upload: Unfinished) -> None:
        self.uploads[item_id] = upload

    def sent(self, item_id: int, upload_id: str, part: SentPart) -> None:
        kept = self.uploads[item_id]
        self.uploads[item_id] = replace(kept, parts=(*kept.parts, part))

    def gone(self, item_id: int) -> None:
        self.uploads.pop(item_id, None)

    def left(self) -> list[tuple[int, Unfinished]]:
        return list(self.uploads.items())


@pytest.fixture(params=["folder", "local", "moto"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        made = Place(FolderTarget(str(tmp_path / "out"), 7), tmp_path / "out")
    else:
        store = (
            local_store(tmp_path / "store")
            if request.param == "local"
            else s3_store(request.getfixturevalue("moto_server"), "other")
        )
        made = Place(DestinationTarget(store, "restored", tmp_path, Kept()), tmp_path, store)
    made.target.begin()
    return made


def item(*path: str, number: int = 1) -> Item:
    return Item(number, path, path, MODIFIED, "id1", "text/plain", "text/plain")


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 1, 17 * MIB])
def test_a_file_arrives_whole(place: Place, size: int) -> None:
    data = os.urandom(size)

    placed = place.target.place(item("a", "b.bin"), Content(data), SKIP)
    place.target.end()

    assert not placed.kept
    assert place.files() == {"a/b.bin": data}


def test_what_is_whole_already_is_not_read_again(place: Place) -> None:
    for collision in (SKIP, RENAME, OVERWRITE):
        content = Content(b"hello")
        placed = place.target.place(item("a.txt"), content, collision)
        assert (placed.kept, placed.there) == (False, collision != SKIP)
        assert content.reads == (1 if collision == SKIP else 0)
    place.target.end()
    assert place.files() == {"a.txt": b"hello"}


def test_what_else_has_the_name_is_kept_evaded_or_replaced(place: Place) -> None:
    place.target.place(item("a.txt"), Content(b"mine!"), SKIP)

    kept = place.target.place(item("a.txt"), Content(b"other"), SKIP)
    assert kept.kept
    assert place.files()["a.txt"] == b"mine!"

    for _ in range(2):  # as after a crash: no third name
        renamed = place.target.place(item("a.txt"), Content(b"other"), RENAME)
        assert renamed.where.endswith("a (2).txt")

    place.target.place(item("a.txt"), Content(b"third"), OVERWRITE)
    place.target.end()
    assert place.files() == {"a.txt": b"third", "a (2).txt": b"other"}


@pytest.mark.parametrize("data", [b"hello", bytes(9 * MIB)])
@pytest.mark.parametrize("collision", [SKIP, OVERWRITE])
def test_wrong_bytes_never_appear(place: Place, data: bytes, collision: str) -> None:
    for content, error in (
        (Content(data, arrives=b"!" + data[1:]), IntegrityError),
        (Content(data, arrives=data[:-1]), IntegrityError),
        (Content(data, arrives=data[:3], fails=Unavailable("gone")), Unavailable),
    ):
        with pytest.raises(error):
            place.target.place(item("a.txt"), content, collision)
    place.target.end()
    assert place.files() == {}


def test_hostile_names_are_taken(place: Place) -> None:
    for number, name in enumerate(HOSTILE_NAMES):
        place.target.place(
            item(*f"{name}/{name}".split("/"), number=number), Content(b"%d" % number), SKIP
        )
    place.target.end()

    assert place.files() == {f"{n}/{n}": b"%d" % i for i, n in enumerate(HOSTILE_NAMES)}


def test_a_path_beyond_all_keys_still_finds_a_place(place: Place) -> None:
    path = ["x" * 200] * 6
    place.target.place(item(*path, "a.txt"), Content(b"deep"), SKIP)
    place.target.place(item(*path, "b", "a.txt"), Content(b"deeper"), SKIP)

    assert sorted(place.files().values()) == [b"deep", b"deeper"]


def test_times_come_back(place: Place) -> None:
    place.target.place(item("a.txt"), Content(b"hello"), SKIP)

    if place.store is None:
        assert mtime((place.root / "a.txt").stat()) == MODIFIED
        return
    about = place.store.head("restored/a.txt")
    assert about is not None
    assert about.metadata.get("mtime", "1354068505.123456") == "1354068505.123456"


def test_empty_folders_are_made(tmp_path: Path) -> None:
    target = FolderTarget(str(tmp_path / "out"), 7)
    target.begin()
    target.folder(item("a", "empty"))
    target.folder(item("a", "empty"))
    target.end()

    assert [
        str(p.relative_to(tmp_path / "out")) for p in sorted((tmp_path / "out").rglob("*"))
    ] == [
        "a",
        "a/empty",
    ]


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_bytes(b"precious")
    root = tmp_path / "out"
    target = FolderTarget(str(root), 7)
    target.begin()
    (root / "link").symlink_to(outside)
    (root / "a.txt").symlink_to(outside / "a.txt")

    with pytest.raises(PermanentError):
        target.place(item("link", "b.txt"), Content(b"x"), OVERWRITE)
    target.place(item("a.txt"), Content(b"restored"), OVERWRITE)

    assert sorted(os.listdir(outside)) == ["a.txt"]
    assert (outside / "a.txt").read_bytes() == b"precious"
    assert (root / "a.txt").read_bytes() == b"restored"
    assert not (root / "a.txt").is_symlink()


def test_a_folder_in_the_way_fails_one_file_alone(tmp_path: Path) -> None:
    target = FolderTarget(str(tmp_path), 7)
    target.begin()
    (tmp_path / "a.txt").mkdir()

    with pytest.raises(PermanentError, match="another kind"):
        target.place(item("a.txt"), Content(b"x"), OVERWRITE)
    assert target.place(item("a.txt"), Content(b"x"), SKIP).kept
    assert target.place(item("a.txt"), Content(b"x"), RENAME).where.endswith("a (2).txt")


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("/dev/full", 0, "is not a folder"),
        ("/proc/restored", 0, "can't be made"),
        ("/srv/restored", errno.EACCES, "refuses to be written"),
        ("/srv/restored", errno.ENOSPC, "is full"),
    ],
)
def test_a_folder_that_can_not_be_used_says_why(
    path: str, code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    if code:
        monkeypatch.setattr(os, "makedirs", refused)
    with pytest.raises(ConfigurationError, match=says):
        FolderTarget(path, 7).begin()


def test_a_big_file_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    data = os.urandom(40 * MIB)
    target = FolderTarget(str(tmp_path), 7)
    target.begin()
    cut = Content(data, arrives=data[: 30 * MIB], fails=Unavailable("gone"))
    with pytest.raises(Unavailable):
        target.place(item("a.bin"), cut, SKIP)

    rest = Content(data)
    FolderTarget(str(tmp_path), 7).place(item("a.bin"), rest, SKIP)

    assert rest.began_at == 30 * MIB
    assert (tmp_path / "a.bin").read_bytes() == data


def test_what_was_cut_off_and_is_wrong_is_read_anew(tmp_path: Path) -> None:
    data = os.urandom(20 * MIB)
    target = FolderTarget(str(tmp_path), 7)
    target.begin()
    (tmp_path / ".restoring-7" / "1").write_bytes(bytes(18 * MIB))

    with pytest.raises(IntegrityError):
        target.place(item("a.bin"), Content(data), SKIP)
    again = Content(data)
    target.place(item("a.bin"), again, SKIP)

    assert again.began_at == 0
    assert (tmp_path / "a.bin").read_bytes() == data


def test_a_disk_that_fills_up_stops_the_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = FolderTarget(str(tmp_path), 7)
    target.begin()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(ConfigurationError, match="is full") as caught:
            target.place(item("a.txt"), Content(b"x"), SKIP)
    assert caught.value.code == "destination_full"
    target.end()
    assert os.listdir(tmp_path) == []


def test_parts_too_big_for_memory_go_through_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_target, "PART_BYTES", MIB)
    monkeypatch.setattr(
        LocalDestination,
        "limits",
        property(lambda _: Limits(min_part=3 * MIB)),
    )
    store = local_store(tmp_path / "store")
    data = os.urandom(7 * MIB + 5)

    DestinationTarget(store, "restored", tmp_path, Kept()).place(item("a"), Content(data), SKIP)

    assert read(store, "restored/a") == data


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.txt", "a (2).txt"), ("a", "a (2)"), (".b", ".b (2)"), ("ü" * 127, "ü" * 125 + " (2)")],
)
def test_a_numbered_name_keeps_its_extension_and_fits(name: str, expected: str) -> None:
    assert numbered(name, 2) == expected
    assert len(numbered(name, 2).encode()) <= 255


@pytest.mark.parametrize("kind", ["local", "moto"])
def test_a_big_upload_goes_on_with_the_parts_that_were_confirmed(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_target, "RESUMED_BYTES", MIB)
    store = (
        local_store(tmp_path / "store")
        if kind == "local"
        else s3_store(request.getfixturevalue("moto_server"), "other")
    )
    data, kept = os.urandom(20 * MIB), Kept()
    cut = Content(data, arrives=data[: 17 * MIB], fails=Unavailable("It is gone."))
    with pytest.raises(Unavailable):
        DestinationTarget(store, "restored", tmp_path, kept).place(item("big"), cut, SKIP)
    assert [part.number for part in kept.uploads[1].parts] == [1, 2]

    sent = Kept(dict(kept.uploads))  # as another process finds it
    DestinationTarget(store, "restored", tmp_path, sent).place(item("big"), Content(data), SKIP)

    assert read(store, "restored/big") == data
    assert sent.uploads == {}


def test_the_end_of_a_restore_aborts_what_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_target, "RESUMED_BYTES", MIB)
    store, data, kept = local_store(tmp_path / "store"), os.urandom(20 * MIB), Kept()
    target = DestinationTarget(store, "restored", tmp_path, kept)
    cut = Content(data, arrives=data[: 17 * MIB], fails=Unavailable("It is gone."))
    with pytest.raises(Unavailable):
        target.place(item("big"), cut, SKIP)

    target.end()

    assert kept.uploads == {}
    assert not any((tmp_path / "store" / ".partial").iterdir())
