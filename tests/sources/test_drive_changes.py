"""Change logs read from a kept position: what they tell, what they cost, what they never say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest

from syncapp import errors
from syncapp.sources.drive_items import SHARED_DRIVES
from syncapp.sources.google_drive import GoogleDriveSource
from syncapp.types import ChangePage, JsonObject, RemoteFile
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.sources.conftest import drive_source
from tests.sources.reading import files_of, scanned

NAMES = itertools.count()


@pytest.fixture(scope="module")
def changing() -> Iterator[RunningEmulator]:
    with running_emulator("sample") as running:
        yield running


@dataclass
class Follower:
    """What somebody knows of a Drive who scanned it once and reads its logs since."""

    source: GoogleDriveSource
    cursor: JsonObject = field(default_factory=dict)
    files: dict[str, RemoteFile] = field(default_factory=dict)
    pages: list[ChangePage] = field(default_factory=list)

    @classmethod
    def of(cls, running: RunningEmulator) -> Follower:
        follower = cls(drive_source(running))
        follower.cursor = follower.source.start_cursor()
        follower.files = {file.remote_id: file for file in scanned(follower.source)}
        return follower

    def follow(self) -> list[ChangePage]:
        self.pages = []
        for page in self.source.changes(self.cursor):
            self.take(page)
        return self.pages

    def take(self, page: ChangePage) -> None:
        for remote_id in page.removed:
            known = self.files.get(remote_id)
            if known and (known.drive_id or "user") == page.scope:
                del self.files[remote_id]
        for drive_id in page.left:
            self.files = {k: f for k, f in self.files.items() if f.drive_id != drive_id}
        self.files |= {file.remote_id: file for file in files_of(page.items)}
        self.cursor = page.cursor
        self.pages.append(page)

    def told(self) -> list[tuple[str, str]]:
        return [(p.scope, f.name) for p in self.pages for f in files_of(p.items)]

    def removed(self) -> list[tuple[str, str]]:
        return [(page.scope, remote_id) for page in self.pages for remote_id in page.removed]


@pytest.fixture
def follower(changing: RunningEmulator) -> Follower:
    return Follower.of(changing)


@pytest.fixture
def name() -> str:
    return f"file {next(NAMES)}.txt"


@pytest.fixture
def drive_id(changing: RunningEmulator) -> str:
    """The shared drive that has something in it."""
    return str(max(changing.control.accounts()[0]["drives"], key=lambda d: d["items"])["id"])


def requests(running: RunningEmulator) -> dict[str, int]:
    counted = {k: v for k, v in running.control.counters()["requests"].items() if k != "control"}
    running.control.reset_counters()
    return counted


def test_reading_logs_without_news_costs_one_request_each_and_tells_nothing(
    changing: RunningEmulator, follower: Follower
) -> None:
    before = follower.cursor
    requests(changing)
    pages = follower.follow()
    assert requests(changing) == {"changes.list": 1 + len(before["drives"])}
    assert [page.scope for page in pages] == ["user", *before["drives"]]
    assert (follower.told(), follower.removed(), follower.cursor) == ([], [], before)


def test_what_translation_needs_is_read_once_and_only_with_news(
    changing: RunningEmulator, follower: Follower, name: str, drive_id: str
) -> None:
    changing.control.create(name, b"a")
    changing.control.create(name, b"b", drive_id=drive_id)
    requests(changing)
    follower.follow()
    counted = requests(changing)
    assert (counted["about.get"], counted["files.get"], counted["drives.list"]) == (1, 1, 1)


def test_each_change_of_a_file_is_told_as_its_current_state(
    changing: RunningEmulator, follower: Follower, name: str
) -> None:
    control = changing.control
    folder = control.create(f"folder of {name}")
    file = control.create(name, b"first")
    follower.follow()
    new_name = f"renamed {name}"
    steps: list[tuple[Callable[[], object], str, object]] = [
        (lambda: control.edit(file["id"], b"second!"), "size", 7),
        (lambda: control.rename(file["id"], new_name), "name", new_name),
        (lambda: control.move(file["id"], folder["id"]), "parent_id", folder["id"]),
        (lambda: control.trash(file["id"]), "trashed", True),
        (lambda: control.untrash(file["id"]), "trashed", False),
    ]
    for change, attribute, value in steps:
        revision = follower.files[file["id"]].revision
        change()
        follower.follow()
        assert [name for _, name in follower.told()] == [follower.files[file["id"]].name]
        assert getattr(follower.files[file["id"]], attribute) == value
        assert (follower.files[file["id"]].revision != revision) == (attribute == "size")


@pytest.mark.parametrize("end", ["delete", "lose_access"])
def test_what_is_deleted_or_no_longer_shared_is_only_told_as_removed(
    changing: RunningEmulator, follower: Follower, name: str, end: str
) -> None:
    file = changing.control.create(name, b"a")
    follower.follow()
    getattr(changing.control, end)(file["id"])
    follower.follow()
    assert follower.removed() == [("user", file["id"])]
    assert follower.told() == []


def test_move_to_a_shared_drive_and_back_is_removed_here_and_an_item_there(
    changing: RunningEmulator, follower: Follower, name: str, drive_id: str
) -> None:
    file = changing.control.create(name, b"a")
    follower.follow()
    changing.control.move(file["id"], drive_id)
    follower.follow()
    assert (follower.removed(), follower.told()) == ([("user", file["id"])], [(drive_id, name)])
    moved = follower.files[file["id"]]
    assert (moved.drive_id, moved.parent_id) == (drive_id, drive_id)
    changing.control.move(file["id"], "root")
    follower.follow()
    assert (follower.removed(), follower.told()) == ([(drive_id, file["id"])], [("user", name)])
    assert follower.files[file["id"]].drive_id == ""


def test_left_drive_is_told_once_and_its_log_is_not_asked_for(
    changing: RunningEmulator, follower: Follower, drive_id: str
) -> None:
    changing.control.mutate("leave_drive", drive_id=drive_id)
    try:
        requests(changing)
        follower.follow()
        assert [page.left for page in follower.pages if page.left] == [(drive_id,)]
        assert requests(changing) == {"changes.list": len(follower.cursor["drives"]) + 1}
        assert drive_id not in follower.cursor["drives"]
        follower.follow()
        assert not any(page.left for page in follower.pages)
    finally:
        changing.control.mutate("join_drive", drive_id=drive_id)


def test_drive_lost_without_a_word_in_the_users_log_is_left(
    changing: RunningEmulator, follower: Follower, drive_id: str
) -> None:
    with_it = follower.cursor
    changing.control.mutate("leave_drive", drive_id=drive_id)
    try:
        follower.cursor = {**drive_source(changing).start_cursor(), "drives": with_it["drives"]}
        follower.follow()
        assert [page.left for page in follower.pages if page.left] == [(drive_id,)]
        assert drive_id not in follower.cursor["drives"]
    finally:
        changing.control.mutate("join_drive", drive_id=drive_id)


def test_joined_drive_comes_whole_and_its_log_is_followed_from_before_that(
    changing: RunningEmulator, follower: Follower, drive_id: str, name: str
) -> None:
    before = dict(follower.files)
    changing.control.mutate("leave_drive", drive_id=drive_id)
    follower.follow()
    assert not any(file.drive_id == drive_id for file in follower.files.values())
    changing.control.mutate("join_drive", drive_id=drive_id)
    replay = follower.source.changes(follower.cursor)
    first = next(replay)
    late = changing.control.create(name, b"a", drive_id=drive_id)  # while the drive is listed
    follower.pages = []
    for page in [first, *replay]:
        follower.take(page)
    assert (follower.pages[0].scope, files_of(first.items)[0].parent_id) == ("user", SHARED_DRIVES)
    assert follower.files.keys() == before.keys() | {late["id"]}
    assert follower.cursor["drives"].keys() >= {drive_id}


def test_replay_that_dies_while_it_lists_a_joined_drive_lists_it_again(
    changing: RunningEmulator, follower: Follower, drive_id: str
) -> None:
    before = dict(follower.files)
    changing.control.mutate("leave_drive", drive_id=drive_id)
    follower.follow()
    changing.control.mutate("join_drive", drive_id=drive_id)
    follower.take(next(follower.source.changes(follower.cursor)))  # and no further
    follower.follow()
    assert follower.files == before


def test_stale_token_of_the_stand_in_asks_for_a_scan(
    changing: RunningEmulator, follower: Follower
) -> None:
    for cursor in ({**follower.cursor, "user": "1"}, {**follower.cursor, "user": "no number"}):
        with pytest.raises(errors.CursorRejected):
            list(follower.source.changes(cursor))


def test_whatever_lies_below_a_folder_is_listed_as_it_is_now(
    changing: RunningEmulator, name: str, drive_id: str
) -> None:
    control = changing.control
    for home in ("", drive_id):
        top = control.create(f"top of {name}", drive_id=home)
        inner = control.create("inner", parents=[top["id"]], drive_id=home)
        inside = control.create(name, b"a", parents=[inner["id"]], drive_id=home)
        control.create("beside", b"b", drive_id=home)
        follower = Follower.of(changing)
        control.trash(top["id"])
        follower.follow()
        assert follower.told() == [(home or "user", f"top of {name}")]
        pages = list(follower.source.below(follower.files[top["id"]]))
        found = {f.remote_id: f.trashed for page in pages for f in files_of(page)}
        assert found == {inner["id"]: True, inside["id"]: True}
        assert not any(page.trusted for page in pages)


def test_thousands_of_changes_come_in_pages_that_can_each_be_gone_on_from(
    changing: RunningEmulator, follower: Follower
) -> None:
    with running_emulator("synthetic", files=2300) as running:
        late = Follower.of(running)
        start = late.cursor
        for number in range(2300):
            running.control.rename(f"1SynF{number:028d}", f"new {number}")
        pages = list(late.source.changes(start))
        assert [len(page.items.ids) for page in pages] == [1000, 1000, 300]
        rest = [len(p.items.ids) for p in late.source.changes(pages[0].cursor)]
        assert rest == [1000, 300]
        assert {f.name for p in pages for f in files_of(p.items)} == {
            f"new {number}" for number in range(2300)
        }


@pytest.mark.parametrize("seed", range(4))
def test_whoever_follows_the_logs_knows_what_a_new_scan_would_list(seed: int) -> None:
    chance = Random(seed)
    with running_emulator("sample") as running:
        follower = Follower.of(running)
        for _ in range(6):
            for _ in range(chance.randrange(1, 12)):
                _change_something(running, follower, chance)
            follower.follow()
        fresh = {file.remote_id: file for file in scanned(drive_source(running))}
    assert follower.files == fresh


def _change_something(running: RunningEmulator, follower: Follower, chance: Random) -> None:
    """Anything but trashing folders: of what is below those, the log says nothing."""
    control, drives = running.control, [d["id"] for d in running.control.accounts()[0]["drives"]]
    entry = chance.choice([e for e in control.manifest() if e["kind"] == "blob"])
    other = chance.choice([e for e in control.manifest() if e["kind"] == "folder"])
    chance.choice(
        [
            lambda: control.create("new", b"a", drive_id=chance.choice(["", *drives])),
            lambda: control.edit(entry["id"]),
            lambda: control.rename(entry["id"], f"name {chance.random()}"),
            lambda: control.rename(other["id"], f"folder {chance.random()}"),
            lambda: control.move(entry["id"], other["id"]),
            lambda: control.move(entry["id"], chance.choice(["root", *drives])),
            lambda: control.trash(entry["id"]),
            lambda: control.untrash(entry["id"]),
            lambda: control.delete(entry["id"]),
            lambda: control.lose_access(other["id"]),
            lambda: control.mutate("share", name="shared", content=b"s"),
        ]
    )()
