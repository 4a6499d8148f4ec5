"""The demo's proof finds what is wrong: a proof that can't fail would prove nothing."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import requests

from scripts.demo.catalog import Claim, Entry
from scripts.demo.proof import Verdict, prove
from scripts.demo.truth import Item, Truth
from tests.servers.emulator import RunningEmulator

STORE = "store"


class Backup:
    """A backup of the stand-in's account as it should be: catalog and bytes, by Google's id."""

    def __init__(self, google: RunningEmulator, folder: Path) -> None:
        self._google = google
        self._token = google.access_token()
        self._notes = folder / "served.json"
        self.catalog: dict[str, Entry] = {}
        self.bytes: dict[str, bytes] = {}
        for item in Truth(google.url, self._notes).items():
            self._add(item)
        self.truth = Truth(google.url, self._notes)

    def _add(self, item: Item) -> None:
        code = "in_trash" if item["trashed"] else "refused" if item["refused"] else ""
        entry = Entry(code, "", bool(item["trashed"]), "")
        if not code:
            entry.copies[STORE] = Claim("verified", item["id"])
            self.bytes[item["id"]] = self._content(item)
        self.catalog[item["id"]] = entry

    def _content(self, item: Item) -> bytes:
        if item["kind"] == "blob":
            return self._google.control.content(item["id"])
        if item["kind"] == "shortcut":
            return json.dumps({"target_id": item["target"]}).encode()
        if item["kind"] == "form":
            form = self._get(f"/v1/forms/{item['id']}").json()
            answers = self._get(f"/v1/forms/{item['id']}/responses").json()
            said = {"form": form, "responses": answers.get("responses", [])}
            return json.dumps(said).encode()
        return self._export(item["id"])

    def _export(self, file_id: str) -> bytes:
        """Some export that the stand-in makes of a document, as the product would get one."""
        about = self._get(f"/drive/v3/files/{file_id}?fields=exportLinks&supportsAllDrives=true")
        for link in about.json().get("exportLinks", {}).values():
            return self._get(link).content
        operation = self._google.url + f"/drive/v3/files/{file_id}/download"
        started = requests.post(operation, headers=self._headers, timeout=10).json()
        while not started.get("done"):
            started = self._get(f"/drive/v3/operations/{started['name']}").json()
        return self._get(started["response"]["downloadUri"]).content

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _get(self, where: str) -> requests.Response:
        url = where if where.startswith("http") else self._google.url + where
        return requests.get(url, headers=self._headers, timeout=30)

    def verdict(self) -> Verdict:
        return prove(self.truth, self.catalog, {STORE: self._read})

    def _read(self, key: str) -> bytes:
        if key not in self.bytes:
            raise FileNotFoundError(key)
        return self.bytes[key]

    def one(self, kind: str) -> Item:
        """A file of this kind that lies in the store."""
        return next(i for i in self.truth.items() if i["kind"] == kind and i["id"] in self.bytes)


@pytest.fixture(scope="module")
def whole(_emulator_process: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    return Backup(_emulator_process, tmp_path_factory.mktemp("notes"))


@pytest.fixture
def backup(whole: Backup) -> Backup:
    """One that a test may damage."""
    own = copy.copy(whole)
    own.catalog, own.bytes = copy.deepcopy(whole.catalog), dict(whole.bytes)
    return own


def test_a_whole_backup_is_proved(backup: Backup) -> None:
    verdict = backup.verdict()

    assert verdict.wrong == []
    files = [i for i in backup.truth.items() if not i["trashed"] and i["kind"] != "folder"]
    assert verdict.files == len(files)
    assert verdict.tallies[STORE].proved == len(backup.bytes)
    assert sum(verdict.refused.values()) > 0


def test_a_folder_that_google_does_not_list_is_told_as_the_pages_do(backup: Backup) -> None:
    assert backup.verdict().refused["refused", "cannotListChildren"] == 1


@pytest.mark.parametrize("kind", ["blob", "document", "form", "shortcut"])
def test_other_bytes_than_googles_are_found(backup: Backup, kind: str) -> None:
    item = backup.one(kind)
    other = b'{"form": {}, "responses": [], "target_id": "another"}'
    backup.bytes[item["id"]] = other

    assert [repr(item["name"]) in wrong for wrong in backup.verdict().wrong] == [True]


def test_an_object_that_is_not_there_is_found(backup: Backup) -> None:
    item = backup.one("blob")
    del backup.bytes[item["id"]]

    [wrong] = backup.verdict().wrong
    assert "can't be read (FileNotFoundError)" in wrong


def test_a_file_that_the_catalog_forgot_is_found(backup: Backup) -> None:
    item = backup.one("blob")
    del backup.catalog[item["id"]]

    assert backup.verdict().wrong == [f"{item['name']!r}: the catalog does not know it"]


def test_a_copy_that_is_stored_but_not_verified_is_not_enough(backup: Backup) -> None:
    item = backup.one("blob")
    backup.catalog[item["id"]].copies[STORE] = Claim("stored", item["id"])

    assert backup.verdict().wrong == [f"{item['name']!r} in store: not verified"]


def test_a_copy_that_failed_is_found_with_its_reason(backup: Backup) -> None:
    item = backup.one("blob")
    backup.catalog[item["id"]].copies.clear()
    backup.catalog[item["id"]].error_code = "checksum_mismatch"

    assert backup.verdict().wrong == [f"{item['name']!r} in store: its state is checksum_mismatch"]


def test_a_refusal_without_a_reason_is_found(backup: Backup) -> None:
    item = next(i for i in backup.truth.items() if i["refused"])
    backup.catalog[item["id"]].error_code = ""

    [wrong] = backup.verdict().wrong
    assert "no reason is listed" in wrong
