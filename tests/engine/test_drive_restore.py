"""Restoring to Google Drive: names, conversion, permissions, and lanes that die or work at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from accounts.models import GoogleAccount, User
from accounts.scopes import DRIVE, DRIVE_FILE
from emulator.control import Control
from emulator.formats import DOCX, XLSX
from emulator.items import GOOGLE
from emulator.sample_names import HOSTILE_NAMES
from syncapp.engine.drive_restore import KeptIds, check, drive_target
from syncapp.errors import ConfigurationError, IntegrityError, TransientError, Unavailable
from syncapp.models import DriveId, Restore, RestoreItem, Run, Source
from syncapp.restore_targets.base import SKIP, Item, Placed
from syncapp.restore_targets.drive import CONVERTING
from tests.engine.drives import ADA, allow_writing, below, drive, drive_process, paths
from tests.servers.emulator import RunningEmulator

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["drive", "drive_process"]
DOCUMENT, SHEET = GOOGLE + "document", GOOGLE + "spreadsheet"
WHEN = datetime(2011, 12, 13, 14, 15, 16, tzinfo=UTC)


@dataclass
class Content:
    """Bytes as an engine reads them from a destination."""

    data: bytes
    fails: Exception | None = None
    reads: int = 0

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        self.reads += 1
        for at in range(0, len(self.data), 100_000):
            yield self.data[at : at + 100_000]
        if self.fails:
            raise self.fails


@dataclass
class Setting:
    """One restore to Ada's Drive, and the truth about what is there."""

    drive: RunningEmulator
    restore: Restore

    @property
    def control(self) -> Control:
        return self.drive.control

    def item(self, *names: str, **more: Any) -> Item:
        """An item with a row; `path` as a folder on disk would have it."""
        row = RestoreItem.objects.create(restore=self.restore, path="/".join(names))
        path = more.pop("path", tuple(f"{i}-{hash(n):x}" for i, n in enumerate(names)))
        settings = {"modified_at": WHEN, "content_type": "text/plain"} | more
        return Item(row.pk, path, names, **settings)

    def place(self, item: Item, data: bytes = b"some text", **more: Any) -> Placed:
        return drive_target(self.restore).place(item, Content(data, **more), SKIP)

    def made(self) -> dict[str, dict[str, Any]]:
        """What this restore made, by id."""
        top = DriveId.objects.exclude(key__startswith="item:").order_by("pk").first()
        return below(self.drive, top.remote_id) if top else {}

    def paths(self) -> list[tuple[str, ...]]:
        return paths(self.made())


@pytest.fixture
def setting(drive: RunningEmulator) -> Setting:
    owner = User.objects.create_user("owner", "o@example.org", "a long passphrase")
    account = GoogleAccount.objects.create(user=owner, uid="1")
    allow_writing(account, drive)
    source = Source.objects.create(
        mode="manual", owner=owner, account=account, name="Drive", slug="d", kind="google_drive"
    )
    run = Run.objects.create(source=source, kind=Run.Kind.RESTORE)
    return Setting(drive, Restore.objects.create(run=run, target=Restore.Target.DRIVE))


def test_files_come_back_below_a_dated_folder_with_their_names_and_times(setting: Setting) -> None:
    first = setting.place(setting.item("a/b", "same.txt", path=("a_b", "same.txt")), b"1")
    second = setting.place(setting.item("a/b", "same.txt", path=("a_b", "same (2).txt")), b"2")
    setting.place(setting.item("a/b", "x", path=("a_b (2)", "x")), b"3")  # an equal folder
    made = setting.made()
    assert first.where != second.where
    assert setting.paths() == [("a/b", "same.txt"), ("a/b", "same.txt"), ("a/b", "x")]
    assert made[first.where]["modified_ms"] == round(WHEN.timestamp() * 1000)
    folders = [e["name"] for e in made.values() if e["kind"] == "folder"]
    assert sorted(folders) == sorted(
        ["a/b", "a/b", *(f for f in folders if f[:10] == "Restored 2")]
    )
    assert first.note == second.note == ""


def test_hostile_names_come_back_exactly(setting: Setting) -> None:
    target = drive_target(setting.restore)
    for number, name in enumerate(HOSTILE_NAMES):
        target.place(setting.item(name, path=(str(number),)), Content(b"x"), SKIP)
    assert setting.paths() == sorted((name,) for name in HOSTILE_NAMES)


def test_an_empty_folder_comes_back(setting: Setting) -> None:
    placed = drive_target(setting.restore).folder(setting.item("outer", "empty"))
    entry = setting.made()[placed.where]
    assert (entry["name"], entry["kind"]) == ("empty", "folder")


@pytest.mark.parametrize("size", [10, 600_000])
def test_a_try_whose_end_nobody_saw_is_gone_on_with(setting: Setting, size: int) -> None:
    item, data = setting.item("folder", "file.bin"), os.urandom(size)
    placed = setting.place(item, data)
    # Every step happened, and none was written down but the ids.
    DriveId.objects.filter(restore=setting.restore).update(made=False)
    content = Content(data)
    again = drive_target(setting.restore).place(item, content, SKIP)
    assert again.where == placed.where
    assert setting.paths() == [("folder", "file.bin")]
    assert content.reads <= 1


def test_lanes_at_once_make_each_folder_and_file_once(setting: Setting) -> None:
    items = [setting.item("one", "two", f"{n}.txt", path=("one", "two", f"{n}")) for n in range(8)]
    targets = [drive_target(setting.restore) for _ in range(4)]

    def begin(number: int) -> None:
        with closing(connection):
            targets[number].begin()

    def place(number: int) -> None:
        with closing(connection):
            targets[number % 4].place(items[number % 8], Content(b"x"), SKIP)

    with ThreadPoolExecutor(4) as crew:
        list(crew.map(begin, range(4)))
        list(crew.map(place, range(16)))  # each twice: a lane that was thought dead still works
    kinds = [entry["kind"] for entry in setting.made().values()]
    assert (kinds.count("folder"), kinds.count("blob")) == (3, 8)


def test_exports_become_documents_again_under_their_own_names(setting: Setting) -> None:
    setting.restore.convert = True
    report = setting.item("Report", mime_type=DOCUMENT, content_type=DOCX)
    upload = setting.item("Mine.docx", mime_type=DOCX, content_type=DOCX)  # never was a document
    document = setting.place(report, b"PK of the report")
    setting.place(upload, b"PK of an upload")
    entry = setting.made()[document.where]
    assert (entry["name"], entry["mime_type"]) == ("Report", DOCUMENT)
    assert entry["imported"]["sha256"] == hashlib.sha256(b"PK of the report").hexdigest()
    assert setting.paths() == [("Mine.docx",), ("Report",)]
    # A try whose answer was lost with its worker.
    assert setting.place(report, b"PK of the report").where == document.where
    assert len(setting.made()) == 3


def test_a_document_lost_before_it_was_made_is_made(setting: Setting) -> None:
    setting.restore.convert = True
    report = setting.item("Report", mime_type=DOCUMENT, content_type=DOCX)
    KeptIds(setting.restore.pk).keep(report.id, "", CONVERTING)
    setting.place(report, b"PK of the report")
    assert setting.paths() == [("Report",)]


def test_exports_stay_office_files_unless_asked_or_where_google_refuses(setting: Setting) -> None:
    kept = setting.item("Sheet", mime_type=SHEET, content_type=XLSX)
    assert setting.place(kept, b"PK of a sheet").note == ""
    setting.restore.convert = True
    broken = setting.item("Broken", mime_type=DOCUMENT, content_type=DOCX)
    placed = setting.place(broken, b"no zip at all")
    assert "left as an Office file" in placed.note
    assert setting.place(broken, b"no zip at all").where == placed.where
    assert setting.paths() == [("Broken.docx",), ("Sheet.xlsx",)]


def test_permissions_come_back_and_what_can_not_is_told(setting: Setting) -> None:
    setting.restore.permissions = True
    permissions = [
        {"type": "user", "role": "owner", "emailAddress": "boss@example.com"},
        {"type": "user", "role": "writer", "emailAddress": ADA},
        {"type": "user", "role": "writer", "emailAddress": "bob@example.com"},
        {"type": "user", "role": "reader", "emailAddress": "gone@nowhere.example"},
        {"type": "anyone", "role": "reader", "allowFileDiscovery": False},
        {
            "type": "user",
            "role": "reader",
            "emailAddress": "guest@example.com",
            "expirationTime": "2020-01-01T00:00:00.000Z",
        },
    ]
    placed = setting.place(setting.item("shared", metadata={"permissions": permissions}))
    granted = setting.made()[placed.where]["granted"]
    assert [(g["type"], g["role"]) for g in granted] == [("user", "writer"), ("anyone", "reader")]
    for told in ("belonged to boss@example.com", "gone@nowhere.example", "guest@example.com"):
        assert told in placed.note
    assert "email" not in setting.control.counters()["requests"]


def test_nothing_is_shared_unless_asked(setting: Setting) -> None:
    anyone = {"permissions": [{"type": "anyone", "role": "reader"}]}
    placed = setting.place(setting.item("private", metadata=anyone))
    assert setting.made()[placed.where]["granted"] == []


def test_wrong_bytes_leave_no_file(setting: Setting) -> None:
    for size in (10, 600_000):
        with pytest.raises(IntegrityError):
            setting.place(setting.item("bad"), bytes(size), fails=IntegrityError("wrong"))
    assert setting.paths() == []


def test_an_upload_that_google_forgot_is_sent_anew_by_the_next_try(setting: Setting) -> None:
    item, data = setting.item("big.bin"), os.urandom(600_000)
    setting.control.add_fault("upload_id", method="PUT", status=410, skip=1, count=1)
    with pytest.raises(TransientError) as expired:
        setting.place(item, data)
    assert expired.value.code == "upload_expired"
    setting.place(item, data)
    assert setting.paths() == [("big.bin",)]


def test_an_md5_that_differs_is_no_success_and_the_next_try_mends_it(setting: Setting) -> None:
    item, data = setting.item("big.bin"), os.urandom(600_000)
    setting.control.add_fault("upload_id", method="PUT", corrupt_upload=True, skip=1, count=1)
    with pytest.raises(IntegrityError):
        setting.place(item, data)
    placed = setting.place(item, data)
    assert setting.made()[placed.where]["sha256"] == hashlib.sha256(data).hexdigest()
    assert setting.paths() == [("big.bin",)]


def test_a_full_drive_stops_the_restore_with_clear_words(setting: Setting) -> None:
    drive_target(setting.restore).begin()
    setting.control.set_storage(1, account=ADA)
    with pytest.raises(ConfigurationError, match="storage is full"):
        setting.place(setting.item("x"))


def test_an_outage_is_one_and_ends(setting: Setting) -> None:
    setting.control.add_fault("/upload/", status=503)
    with pytest.raises(Unavailable):
        setting.place(setting.item("x"))
    setting.control.clear_faults()
    setting.place(setting.item("y"))


def test_without_consent_nothing_is_asked_of_google(setting: Setting) -> None:
    GoogleAccount.objects.update(scopes=[DRIVE])
    with pytest.raises(ConfigurationError, match="Allow restoring to Drive"):
        check(setting.restore.run.source, {})
    with pytest.raises(ConfigurationError, match="Allow restoring to Drive") as refused:
        drive_target(setting.restore)
    assert refused.value.code == "write_not_granted"


def test_a_consent_taken_back_at_google_is_asked_for_again(
    setting: Setting, drive: RunningEmulator
) -> None:
    only_reading = drive.control.token(ADA, [DRIVE])
    GoogleAccount.objects.update(access_token=only_reading["access_token"])
    with pytest.raises(ConfigurationError, match="Allow restoring to Drive"):
        setting.place(setting.item("x"))
    account = GoogleAccount.objects.get()
    assert DRIVE_FILE not in account.scopes
    assert account.state == GoogleAccount.State.CONNECTED  # reading goes on


def test_another_persons_account_is_never_restored_to(setting: Setting) -> None:
    stranger = User.objects.create_user("stranger", "s@example.org", "a long passphrase")
    theirs = GoogleAccount.objects.create(user=stranger, uid="2", scopes=[DRIVE_FILE])
    setting.restore.options = {"account": theirs.pk}
    with pytest.raises(ConfigurationError, match="not linked"):
        drive_target(setting.restore)
    with pytest.raises(ConfigurationError, match="not linked"):
        check(setting.restore.run.source, setting.restore.options)


def test_a_chosen_name_is_the_folders_name(setting: Setting) -> None:
    setting.restore.options = {"folder": "From / the past"}
    drive_target(setting.restore).begin()
    assert [e["name"] for e in setting.made().values()] == ["From / the past"]
