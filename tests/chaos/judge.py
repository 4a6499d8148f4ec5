"""The verdict on a seed, from the stand-in's truth, the stores' own bytes and plain SQL.

Nothing of the product takes part: it must not vouch for itself.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

from emulator.control import Control
from tests.chaos.servers import Store

PREFIX = "chaos/"
READERS = 16
COPIES = """
SELECT f.remote_id, v.current, v.sha256, c.state, c.object_key, d.name
FROM syncapp_copy c JOIN syncapp_version v ON v.id = c.version_id
JOIN syncapp_file f ON f.id = v.file_id JOIN syncapp_destination d ON d.id = c.destination_id
"""
ABOUT = """
SELECT f.parent_id, f.problem, f.vanished_at, f.trashed_at, f.key_name, v.current, v.state,
v.error_code, v.due_at, c.destination_id, c.state, c.error_code, c.object_key
FROM syncapp_file f LEFT JOIN syncapp_version v ON v.file_id = f.id
LEFT JOIN syncapp_copy c ON c.version_id = v.id WHERE f.remote_id = %s
"""
STUCK = {
    "runs without an end": "SELECT count(*) FROM syncapp_run WHERE ended_at IS NULL",
    "open lanes": "SELECT count(*) FROM syncapp_lane WHERE ended_at IS NULL",
    "leases": "SELECT count(*) FROM syncapp_version WHERE lease_owner <> ''",
    "keys to be removed": "SELECT count(*) FROM syncapp_copy WHERE old_key <> ''",
}


@dataclass
class Verdict:
    """What was found wrong, each with an example or two; empty: all is well."""

    live: int = 0
    copies: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def say(self, what: str, example: str) -> None:
        """One more case of something wrong."""
        self.wrong[what] += 1
        self.examples.setdefault(what, example)


def judge(
    control: Control, stores: Mapping[str, Store], ever: dict[str, set[str]], spool: Path
) -> Verdict:
    """Compare everything; `stores` by the names of the destinations."""
    verdict = Verdict()
    with connection.cursor() as cursor:
        cursor.execute(COPIES)
        rows = cursor.fetchall()
        for what, query in STUCK.items():
            cursor.execute(query)
            if number := cursor.fetchone()[0]:
                verdict.say(f"stuck: {what}", str(number))
    claimed: dict[tuple[str, str], str] = {}
    there = [row for row in rows if row[3] in ("stored", "verified")]
    with ThreadPoolExecutor(READERS) as pool:  # a store may answer late on purpose
        digests = pool.map(lambda row: _digest(stores[row[5]], row[4]), there)
    for (remote_id, current, sha256, _, key, place), found in zip(there, digests, strict=True):
        verdict.copies += 1
        if found is None:
            verdict.say("claimed and not there", f"{place}: {key}")
        elif found != sha256:
            verdict.say("claimed and different", f"{place}: {key}")
        if sha256 not in ever[remote_id]:
            verdict.say("a version that the file never was", f"{remote_id} {sha256}")
        if current:
            claimed[remote_id, place] = f"{sha256} {key}"
    _hold_against_truth(control, list(stores), claimed, verdict)
    if left := [path.name for path in spool.rglob("*.part")]:
        verdict.say("stuck: temporary files", left[0])
    return verdict


def _digest(store: Store, key: str) -> str | None:
    """SHA-256 of an object's bytes; None if there is none."""
    body = store.read(PREFIX + key)
    return None if body is None else hashlib.sha256(body).hexdigest()


def _hold_against_truth(
    control: Control, places: list[str], claimed: dict[tuple[str, str], str], verdict: Verdict
) -> None:
    """Every live file is in both stores, with the bytes it has now, under the path it has now."""
    entries = {entry["id"]: entry for entry in control.manifest()}
    live = [entry for entry in entries.values() if _is_live(entry)]
    siblings = Counter((tuple(e["parents"]), _fold(e["name"])) for e in live)
    for entry in live:
        verdict.live += 1
        plain = siblings[tuple(entry["parents"]), _fold(entry["name"])] == 1
        expected = _path(entry, entries) if plain and "/" not in entry["name"] else ""
        for place in places:
            sha256, _, key = claimed.get((entry["id"], place), "").partition(" ")
            if sha256 != entry["sha256"]:
                what = "an older version" if sha256 else "nothing"
                about = f"{place}: {entry['name']} {_catalog_of(entry['id'])}"
                verdict.say(f"lost: {what} of a live file", about)
            elif expected and key != expected and " ~" not in key:
                verdict.say("under another path", f"{place}: {key}, not {expected}")


def _catalog_of(remote_id: str) -> str:
    """What the catalog says about a file, for whoever looks for the reason."""
    with connection.cursor() as cursor:
        cursor.execute(ABOUT, [remote_id])
        return str(cursor.fetchall())


def _is_live(entry: dict[str, Any]) -> bool:
    return entry["kind"] == "blob" and not entry["trashed"] and not entry["refused"]


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _path(entry: dict[str, Any], entries: dict[str, dict[str, Any]]) -> str:
    names = [entries[part]["name"] for part in entry["path"] if part in entries]
    top = [] if names[:1] == ["My Drive"] else ["My Drive"]
    return "/".join(["drive/files", *top, *names])
