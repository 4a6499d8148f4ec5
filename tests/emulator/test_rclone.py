"""rclone, which we did not write, lists and copies the whole sample account from the stand-in.

Every byte is held against the stand-in's manifest, and every file that rclone does not bring is
explained here: the proof fails if that list is one file too short or too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from emulator.control import Control
from emulator.sample import sample_accounts
from emulator.sample_names import HOSTILE_NAMES
from emulator.world import World
from tests.emulator.rclone import Rclone, View, name_in_rclone, sha256
from tests.emulator.serving import Serving, serving

FORMS_AND_FILMS = ("application/vnd.google-apps.form", "application/vnd.google-apps.vid")


@dataclass(frozen=True)
class Explained:
    """Why `count` of the things at `paths` are not copied on rclone's way through the folders."""

    why: str
    count: int
    paths: tuple[str, ...]
    by_id: bool = False  # rclone brings the true bytes when told the id
    listed: bool = True


EXPLAINED = [
    Explained("of one name, rclone copies one", 2, ("Duplicates/same name.txt",), by_id=True),
    Explained("of one name, rclone copies one", 1, ("Duplicates/twin.txt",), by_id=True),
    Explained(
        "one name once exported",
        2,
        ("Duplicates/Report", "Duplicates/Report.docx"),
        by_id=True,
    ),
    Explained(
        "of two folders of one name, rclone copies one",
        2,
        tuple(f"Duplicates/same folder/{n}.txt" for n in ("inside", "only in 1", "only in 2")),
        by_id=True,
    ),
    Explained(
        "a file and a folder of one name are one path on disk",
        1,
        ("Duplicates/file and folder", "Duplicates/file and folder/inside.txt"),
        by_id=True,
    ),
    Explained(
        "a file and a folder of one name are one path on disk",
        1,
        ("Hostile names/..", "Hostile names/../inside.txt"),
        by_id=True,
    ),
    Explained(
        "longer than the 255 bytes that a name may have on disk",
        2,
        tuple(f"Hostile names/{n}" for n in HOSTILE_NAMES if len(n.encode()) > 255),
        by_id=True,
    ),
    Explained(
        "Drive's md5 is wrong, so rclone drops what it read",
        1,
        ("Edge cases/IMG_wrong_md5.jpg",),
        by_id=True,
    ),
    Explained("in no folder, so on no path", 1, ("orphan.txt",), by_id=True, listed=False),
    Explained("of one name, rclone copies one", 1, ("Team/same name.txt",), by_id=True),
    Explained("Google: cannotDownloadFile", 1, ("Refused/cannot be downloaded.pdf",)),
    Explained("Google: cannotDownloadFile", 1, ("View only document",)),
    Explained("Google: cannotDownloadAbusiveFile, not the owner", 1, ("flagged, not mine.exe",)),
    Explained(
        "Google: fileNotExportable",
        4,
        tuple(f"Workspace/{n}" for n in ("Our site", "Whiteboard", "Walks", "Diagram")),
        listed=False,
    ),
    Explained(
        "only over the Forms API or files.download, which rclone does not use",
        4,
        tuple(f"Workspace/{n}" for n in ("Survey 1", "Survey 2", "Survey 3", "Clip")),
        listed=False,
    ),
    Explained("a shortcut to nothing", 1, ("Shortcuts/dangling",)),
    Explained("rclone sends no resource key for a shortcut", 1, ("to a file with a key",)),
    Explained(
        "a shortcut that loops",
        3,
        (
            "Shortcuts/Looping/to my own folder",
            "Shortcuts/Looping/to its parent",
            "Shortcuts/to itself",
        ),
        listed=False,
    ),
]


class Truth:
    """The stand-in's manifest by id, with paths by name."""

    def __init__(self, served: Serving) -> None:
        entries = Control(served.url).manifest()
        self.entries: dict[str, dict[str, Any]] = {entry["id"]: entry for entry in entries}

    def path(self, item_id: str) -> str:
        entry = self.entries[item_id]
        names = [self.entries[part]["name"] for part in entry["path"] if part in self.entries]
        return "/".join(["Team", *names] if entry["drive_id"] else names)

    def hashes(self, item_id: str) -> set[str]:
        """The SHA-256 that a true copy may have: the blob's, or that of any export served."""
        entry = self.entries.get(item_id, {})
        if "target" in entry:
            return self.hashes(entry["target"]) if entry["target"] != item_id else set()
        return {entry.get("sha256", "")} | {e["sha256"] for e in entry.get("exports", ())} - {""}

    def files(self) -> set[str]:
        return {key for key, entry in self.entries.items() if entry["kind"] != "folder"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(World(sample_accounts()), tmp_path) as running:
        yield running


def copy_everything(rclone: Rclone, folder: Path) -> list[View]:
    """Every way in: My Drive, shared with me, each shared drive, and the trash of each."""
    ways: list[tuple[str, ...]] = [(), ("--drive-shared-with-me",), ("--drive-trashed-only",)]
    for drive in rclone.json("backend", "drives", "drive:"):
        way = ("--drive-team-drive", drive["id"])
        ways += [way, (*way, "--drive-trashed-only")]
    return [View.copy(rclone, folder / str(n), *way) for n, way in enumerate(ways)]


def arrived(view: View, truth: Truth) -> set[str]:
    """The ids whose true bytes lie where rclone listed them; any other byte on disk is a fault."""
    ids_at = view.ids_at()
    found = set()
    for path in view.files():
        digest = sha256(path)
        matching = [i for i in ids_at[path] if digest in truth.hashes(i)]
        assert matching, f"{path} holds what no file at that path holds"
        found.add(matching[0])  # one file on disk proves one id, twins or not
    return found


def check_listing(view: View, truth: Truth) -> set[str]:
    """Hold each listed name, kind, size, hash and time against the truth; the ids listed."""
    for listed in view.listed:
        target_id, _, own_id = listed["ID"].rpartition("\t")
        own, entry = truth.entries[own_id], truth.entries.get(target_id or own_id)
        assert listed["Name"].startswith(name_in_rclone(own["name"]))
        if entry is None or entry["kind"] == "shortcut":
            continue  # a shortcut to nothing has no more to show
        assert listed["IsDir"] == (entry["kind"] == "folder")
        shown_ms = datetime.fromisoformat(listed["ModTime"]).timestamp() * 1000
        assert round(shown_ms) == entry["modified_ms"]
        if entry["kind"] == "blob":
            assert listed["Name"] == name_in_rclone(own["name"])
            assert listed["Size"] == entry["size"]
            assert listed["Hashes"]["md5"] == (entry["claimed_md5"] or entry["md5"])
    return {listed["ID"].rpartition("\t")[2] for listed in view.listed}


def explain(left: set[str], truth: Truth) -> dict[str, Explained]:
    """The explanation of each thing left behind; every one must fit exactly."""
    why = {path: explained for explained in EXPLAINED for path in explained.paths}
    unexplained = [truth.path(i) for i in left if truth.path(i) not in why]
    assert unexplained == []
    found = {item_id: why[truth.path(item_id)] for item_id in left}
    for explained in EXPLAINED:
        count = sum(1 for one in found.values() if one is explained)
        assert count == explained.count, f"{explained.why}: {count} of {explained.paths}"
    return found


def check_refusal(entry: dict[str, Any]) -> None:
    """What no id brings must be refused by Google, beyond rclone's means, or a shortcut."""
    allowed = entry["refused"] or entry["kind"] == "shortcut"
    assert allowed or entry["mime_type"] in FORMS_AND_FILMS, entry["name"]


def copy_by_id(rclone: Rclone, folder: Path, ids: list[str]) -> dict[str, str]:
    """Copy each by its id, hashes unchecked by rclone; the SHA-256 of what came."""
    pairs = [text for item_id in ids for text in (item_id, str(folder / item_id))]
    done = rclone.run("backend", "copyid", "drive:", *pairs, "--ignore-checksum")
    assert done.returncode == 0, done.stderr[-2000:]
    return {item_id: sha256(folder / item_id) for item_id in ids}


@pytest.mark.long
def test_rclone_lists_and_copies_the_whole_account_with_no_unexplained_difference(
    served: Serving, tmp_path: Path
) -> None:
    rclone = Rclone(served, tmp_path)
    views = copy_everything(rclone, tmp_path / "views")
    truth = Truth(served)
    left = truth.files() - set().union(*(arrived(view, truth) for view in views))
    explained = explain(left, truth)
    listed = set().union(*(check_listing(view, truth) for view in views))
    unlisted = {item_id for item_id, one in explained.items() if not one.listed}
    assert set(truth.entries) - listed == unlisted

    by_id = sorted(item_id for item_id, one in explained.items() if one.by_id)
    hashes = copy_by_id(rclone, tmp_path / "by id", by_id)
    truth = Truth(served)  # exports made by id are new ones
    for item_id, digest in hashes.items():
        assert digest in truth.hashes(item_id), truth.path(item_id)
    for item_id in left.difference(by_id):
        check_refusal(truth.entries[item_id])


@pytest.mark.parametrize("direct", [False, True], ids=["through the proxy", "by token_url"])
def test_rclone_refreshes_an_expired_token(
    served: Serving, tmp_path: Path, *, direct: bool
) -> None:
    url = f"{served.url}/token" if direct else ""
    rclone = Rclone(served, tmp_path, expiry="2020-01-01T00:00:00Z", token_url=url)
    before = rclone.config.read_text()
    assert "Documents" in {entry["Name"] for entry in rclone.json("lsjson", "drive:")}
    assert served.world.counters.requests["oauth.refresh"] == 1
    assert rclone.config.read_text() != before  # the new token is kept


def test_rclone_says_what_a_revoked_account_means(served: Serving, tmp_path: Path) -> None:
    rclone = Rclone(served, tmp_path, expiry="2020-01-01T00:00:00Z")
    served.world.oauth.revoke_account(next(iter(served.world.accounts)))
    done = rclone.run("lsjson", "drive:")
    assert done.returncode != 0
    assert "invalid_grant" in done.stderr


def test_the_proxy_leads_to_google_only(served: Serving) -> None:
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        requests.get("https://example.org/", proxies={"https": served.proxy_url}, timeout=10)


def test_what_rclone_copies_into_the_drive_it_finds_there_again(
    served: Serving, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "sub" / "deeper").mkdir(parents=True)
    (source / "empty.txt").write_bytes(b"")
    (source / "sub" / "ünïcode ’name.txt").write_text("text")
    (source / "sub" / "deeper" / "big.bin").write_bytes(bytes(range(256)) * 3000)
    rclone = Rclone(served, tmp_path, scope="drive")
    upload = ("--drive-upload-cutoff", "512k", "--drive-chunk-size", "256k")
    done = rclone.run("copy", str(source), "drive:restored", *upload)
    assert done.returncode == 0, done.stderr[-2000:]
    check = rclone.run("check", str(source), "drive:restored", "--download")
    assert check.returncode == 0, check.stderr[-2000:]
    listed = rclone.json("lsjson", "-R", "--hash", "drive:restored")
    for entry in listed:
        path = source / entry["Path"]
        shown = datetime.fromisoformat(entry["ModTime"]).timestamp()
        assert entry["IsDir"] or abs(shown - path.stat().st_mtime) < 0.01
    assert served.world.counters.requests["files.create"] >= 8  # the big one came in pieces
    assert len(listed) == 5


def test_rclone_replaces_content_and_uploads_through_errors(
    served: Serving, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rclone = Rclone(served, tmp_path, scope="drive.file")
    control = Control(served.url)
    for text in (b"first" * 100_000, b"second" * 100_000):
        (source / "x.bin").write_bytes(text)
        control.add_fault("upload_id", status=503, count=1, skip=1)
        upload = ("--drive-upload-cutoff", "256k", "--drive-chunk-size", "256k")
        done = rclone.run("copy", str(source), "drive:", *upload, "--low-level-retries", "5")
        assert done.returncode == 0, done.stderr[-2000:]
        control.clear_faults()
        assert rclone.run("check", str(source), "drive:", "--download").returncode == 0
    assert [e["Name"] for e in rclone.json("lsjson", "drive:")] == ["x.bin"]
