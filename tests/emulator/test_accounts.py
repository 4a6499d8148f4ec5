"""The sample and the synthetic account: what is promised is there, and is the same each time."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.content import GeneratedContent, synthetic_content
from emulator.sample import sample_accounts
from emulator.sample_names import HOSTILE_NAMES
from tests.emulator.calling import Drive
from tests.servers.emulator import RunningEmulator, running_emulator

FILES = 1234
BIG = 300 * 1024 * 1024


def snapshot() -> list[tuple[Any, ...]]:
    return [
        (item.id, item.name, item.parents, item.modified_ms, item.version)
        for account in sample_accounts()
        for corpus in account.corpora()
        for item in corpus.items.scan(0)
    ]


def test_the_sample_account_is_the_same_in_every_process(google: RunningEmulator) -> None:
    built = {row[0]: row for row in snapshot()}
    assert snapshot() == list(built.values())
    served = [
        entry
        for account in google.control.accounts()
        for entry in google.control.manifest(account["email"])
    ]
    assert {e["id"] for e in served} == set(built)
    assert all(built[e["id"]][1] == e["name"] for e in served)


def test_the_sample_account_holds_about_300_files_of_every_kind(google: RunningEmulator) -> None:
    entries = list(google.control.manifest())
    kinds = Counter(entry["kind"] for entry in entries)
    assert 250 <= len(entries) - kinds["folder"] <= 350
    documents = {e["mime_type"].rpartition(".")[2] for e in entries if e["kind"] == "document"}
    assert {"document", "spreadsheet", "presentation", "drawing", "script", "site", "jam", "map",
            "vid"} <= documents  # fmt: skip
    assert kinds["form"] == 3
    assert kinds["shortcut"] == 6
    assert sum(entry.get("size") or 0 for entry in entries) < 160 * 1024 * 1024


def test_the_hostile_names_arrive_unchanged(google: RunningEmulator) -> None:
    drive = Drive(google)
    folder = drive.named("Hostile names")["id"]
    names = drive.names(f"'{folder}' in parents")
    assert names[: len(HOSTILE_NAMES)] == HOSTILE_NAMES
    twins = [n for n in names if unicodedata.normalize("NFC", n) == "Crème brûlée.txt"]
    assert len(set(twins)) == 2
    assert {"Case.txt", "case.txt", "CASE.TXT", "..", ".", "x"} <= set(names)
    assert max(len(name) for name in names) == 255
    assert sorted(len(name.encode()) for name in names)[-1] == 1020
    assert any(len(name.encode()) == 255 for name in names)
    assert not any("\0" in name for name in names)


def test_duplicates_stand_side_by_side(google: RunningEmulator) -> None:
    drive = Drive(google)
    folder = drive.named("Duplicates")["id"]
    counts = Counter(drive.names(f"'{folder}' in parents"))
    assert counts["same name.txt"] == 3
    assert counts["same folder"] == counts["file and folder"] == counts["twin.txt"] == 2
    assert counts["Report"] == 3


@pytest.fixture(scope="module")
def synthetic() -> Iterator[RunningEmulator]:
    options = {"files": FILES, "file_size": "lognormal", "big_file": BIG}
    with running_emulator("synthetic", **options) as running:
        yield running


def test_a_synthetic_list_holds_every_file_in_a_whole_tree(synthetic: RunningEmulator) -> None:
    drive = Drive(synthetic)
    files = drive.listed(pageSize=500, fields="nextPageToken,files(id,name,parents,mimeType)")
    folders = {f["id"] for f in files if f["mimeType"].endswith("folder")}
    assert len(files) - len(folders) == FILES + 1
    assert len({f["id"] for f in files}) == len(files)
    root = drive.get("files/root", fields="id").json()["id"]
    assert all(f["parents"][0] in folders | {root} for f in files)
    sizes = Counter(f["parents"][0] for f in files if f["id"] not in folders)
    assert max(sizes.values()) == 200


def test_walking_a_synthetic_tree_finds_what_the_flat_list_has(synthetic: RunningEmulator) -> None:
    drive = Drive(synthetic)
    flat = {f["id"] for f in drive.listed(pageSize=1000, fields="nextPageToken,files(id)")}
    walked: set[str] = set()
    folders = ["root"]
    while folders:
        q = f"'{folders.pop()}' in parents"
        for file in drive.listed(q=q, pageSize=300, fields="nextPageToken,files(id,mimeType)"):
            assert file["id"] not in walked
            walked.add(file["id"])
            if file["mimeType"].endswith("folder"):
                folders.append(file["id"])
    assert walked == flat


def test_synthetic_bytes_match_their_hashes_and_never_repeat(synthetic: RunningEmulator) -> None:
    drive = Drive(synthetic)
    fields = "files(id,size,md5Checksum,sha1Checksum,sha256Checksum)"
    files = drive.get("files", pageSize=60, fields=fields).json()["files"]
    for file in files:
        body = drive.media(file["id"]).content
        assert str(len(body)) == file["size"]
        assert hashlib.md5(body).hexdigest() == file["md5Checksum"]
        assert hashlib.sha1(body).hexdigest() == file["sha1Checksum"]
        assert hashlib.sha256(body).hexdigest() == file["sha256Checksum"]
    assert len({f["md5Checksum"] for f in files}) == len({f["size"] for f in files}) == 60


def test_the_big_file_is_whole_in_ranges_and_hash(synthetic: RunningEmulator) -> None:
    drive = Drive(synthetic)
    file = drive.named("big file.bin", "id,size,md5Checksum")
    assert int(file["size"]) == BIG
    md5 = hashlib.md5()
    step = 64 * 1024 * 1024 + 13
    for start in range(0, BIG, step):
        md5.update(drive.media(file["id"], f"bytes={start}-{start + step - 1}").content)
    assert md5.hexdigest() == file["md5Checksum"]


def test_changes_overlay_a_synthetic_account() -> None:
    with running_emulator("synthetic", files=450, file_size=100) as running:
        drive, control = Drive(running), running.control
        parent = drive.named("folder 00002")["id"]
        moved, gone = (drive.named(f"file 000000{n}.bin")["id"] for n in (1, 2))
        control.edit(moved, b"new bytes")
        control.rename(moved, "renamed.bin")
        control.move(moved, parent)
        control.delete(gone)
        made = control.create("made.txt", b"made", parents=[parent])["id"]
        in_parent = drive.listed(q=f"'{parent}' in parents", fields="files(id,name)")
        assert {"renamed.bin", "made.txt"} <= {f["name"] for f in in_parent}
        everything = [f["id"] for f in drive.listed(pageSize=100)]
        assert Counter(everything)[moved] == Counter(everything)[made] == 1
        assert gone not in everything
        assert len(everything) == 450 + 3
        used = drive.get("about", fields="storageQuota").json()["storageQuota"]["usage"]
        assert int(used) == 448 * 100 + len(b"new bytes") + len(b"made")
        assert drive.media(moved).content == b"new bytes"
        assert drive.media(made).content == b"made"


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 65_535, 65_536, 65_537, 200_001])
@pytest.mark.parametrize("kind", ["generated", "synthetic"])
def test_any_range_of_computed_bytes_is_a_slice_of_the_whole(size: int, kind: str) -> None:
    content = (
        GeneratedContent("k", size) if kind == "generated" else synthetic_content("k", 3, size)
    )
    whole = content.read(0, size)
    assert len(whole) == size
    for start in (0, 1, 15, 16, 17, 65_535, 65_536, size - 33, size - 1):
        for length in (1, 16, 70_000):
            if start >= 0:
                assert content.read(start, start + length) == whole[start : start + length]
    assert content.digest("sha256") == hashlib.sha256(whole).hexdigest()
