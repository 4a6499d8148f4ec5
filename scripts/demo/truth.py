"""What is true about a file, as the stand-in for Google has it: what its stored bytes must be.

Blobs have hashes. An export differs each time that Google makes it, so it must equal one of the
bodies that were served; those are noted between runs. Forms and shortcuts are JSON that the
product writes: they must hold what Google's API answers about them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from emulator.control import Control

Item = dict[str, Any]


class Truth:
    """The stand-in's account, item by item, and the judgement on stored bytes."""

    def __init__(self, google_url: str, notes: Path) -> None:
        self._url = google_url
        self._notes = notes
        self._control = Control(google_url)
        self.account = self._control.accounts()[0]
        self._items = [i for i in self._control.manifest() if i["kind"] != "folder" or i["refused"]]
        self._served = self._noted()
        self._session = requests.Session()
        self._session.trust_env = False
        token = self._control.token(self.account["email"])["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def items(self) -> Iterator[Item]:
        """All but folders that can be listed: id, name, kind, refused (why, or None), trashed, …"""
        return iter(self._items)

    def downloaded(self) -> set[str]:
        """Ids of the files whose content the product has asked for since the stand-in started."""
        return set(self._control.counters()["downloads"])

    def mismatch(self, item: Item, stored: bytes) -> str:
        """What is wrong with the bytes of a copy, "" if nothing is."""
        if item["kind"] == "blob":
            digest = hashlib.sha256(stored).hexdigest()
            return "" if digest == item["sha256"] else "its bytes differ from Google's"
        if item["kind"] == "document":
            digest = hashlib.sha256(stored).hexdigest()
            return "" if digest in self._served.get(item["id"], ()) else "never served like this"
        said = json.loads(stored)
        if item["kind"] == "shortcut":
            return "" if said["target_id"] == item["target"] else "it names another target"
        return "" if self._is_form(item["id"], said) else "it differs from Google's answer"

    def _is_form(self, form_id: str, said: dict[str, Any]) -> bool:
        form = self._ask(f"/v1/forms/{form_id}")
        responses, page = [], self._ask(f"/v1/forms/{form_id}/responses")
        while True:
            responses += page.get("responses", [])
            token = page.get("nextPageToken")
            if not token:
                return bool(said["form"] == form and said["responses"] == responses)
            page = self._ask(f"/v1/forms/{form_id}/responses", pageToken=token)

    def _ask(self, path: str, **query: str) -> dict[str, Any]:
        answer = self._session.get(self._url + path, params=query, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _noted(self) -> dict[str, list[str]]:
        """Hashes of export bodies by file: those of earlier runs and of this one."""
        served: dict[str, list[str]] = (
            json.loads(self._notes.read_text()) if self._notes.exists() else {}
        )
        for item in self._items:
            seen = {export["sha256"] for export in item.get("exports", ())}
            if seen:
                served[item["id"]] = sorted(seen | set(served.get(item["id"], ())))
        self._notes.write_text(json.dumps(served))
        return served
