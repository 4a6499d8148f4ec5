"""What the product's catalog says of each file, read from its database by plain SQL.

Only for the map from Google's id to object keys, and for what the product itself claims; the proof
takes no byte and no hash from here.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

_FILES = """
SELECT f.remote_id, COALESCE(NULLIF(v.error_code, ''), f.problem),
       COALESCE(NULLIF(v.error_message, ''), f.problem_message), f.trashed_at IS NOT NULL,
       COALESCE(v.state, ''), v.id
FROM syncapp_file f LEFT JOIN syncapp_version v ON v.file_id = f.id AND v.current
"""
_COPIES = """
SELECT c.version_id, d.name, c.state, c.object_key
FROM syncapp_copy c JOIN syncapp_destination d ON d.id = c.destination_id
"""


@dataclass(frozen=True)
class Claim:
    """A copy as the catalog has it."""

    state: str
    key: str


@dataclass
class Entry:
    """A file as the catalog has it; `copies` by the destination's name."""

    error_code: str
    error_message: str
    trashed: bool
    state: str
    copies: dict[str, Claim] = field(default_factory=dict)


def read(database: Path) -> dict[str, Entry]:
    """Every file by Google's id."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        entries: dict[str, Entry] = {}
        by_version: dict[int, Entry] = {}
        for remote_id, code, message, trashed, state, version in connection.execute(_FILES):
            entries[remote_id] = Entry(code or "", message or "", bool(trashed), state)
            by_version[version] = entries[remote_id]
        for version, destination, state, key in connection.execute(_COPIES):
            if version in by_version:
                by_version[version].copies[destination] = Claim(state, key)
        return entries
    finally:
        connection.close()
