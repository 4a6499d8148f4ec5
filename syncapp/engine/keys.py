"""Names of objects: safe, reversible, unique among siblings. Pure.

A component is the source's name in rclone's "Standard" encoding (rclone.org/overview/#encoding):
control characters become control pictures, `/` its full-width form, and what looks like a
replacement is quoted with U+201B. So rclone, reading a bucket, shows the names that it shows in
Drive. What rclone has no rule for: a component is at most 255 bytes (what file systems take), and
siblings that differ only in case or Unicode form are held apart by a mark made from the remote
id, so that a restore to any file system keeps both.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Container, Sequence
from datetime import UTC, datetime

MAX_COMPONENT_BYTES = 255
# Room for a destination's own prefix within S3's 1,024 bytes of a whole key.
MAX_KEY_BYTES = 850
FILES, VERSIONS, TRASH, DEEP = "files", ".versions", ".trash", "~deep"

_QUOTE = "\u201b"
_PICTURES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421, ord("/"): 0xFF0F}
_ENCODE = {source: chr(target) for source, target in _PICTURES.items()} | {
    target: _QUOTE + chr(target) for target in [*_PICTURES.values(), ord(_QUOTE)]
}
_DECODE = {chr(target): chr(source) for source, target in _PICTURES.items()}
_DOTS = {".": "\uff0e", "..": "\uff0e\uff0e"}
_QUOTED_DOTS = {dots: "".join(_QUOTE + d for d in dots) for dots in _DOTS.values()}


def encode(name: str) -> str:
    """A name as an object key's component; "" becomes "_" because a component can't be empty."""
    if not name:
        return "_"
    if name in _DOTS:
        return _DOTS[name]
    return _QUOTED_DOTS.get(name) or name.translate(_ENCODE)


def decode(component: str) -> str:
    """The name that `encode` was given (marks and shortening aside)."""
    for table in (_DOTS, _QUOTED_DOTS):
        for name, encoded in table.items():
            if component == encoded:
                return name
    out: list[str] = []
    quoted = False
    for char in component:
        if quoted or char != _QUOTE:
            out.append(char if quoted else _DECODE.get(char, char))
            quoted = False
        else:
            quoted = True
    return "".join(out)


def fold(component: str) -> str:
    """The form in which two siblings count as equal: NFC, case-folded."""
    if component.isascii():
        return component.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", component).casefold())


def component(name: str, extension: str, remote_id: str, taken: Container[str]) -> str:
    """The component of a new file or folder. `taken` holds the folds of its siblings."""
    full = encode(f"{name}.{extension}" if extension and not _ends(name, extension) else name)
    if len(full.encode()) > MAX_COMPONENT_BYTES:
        full = _marked(full, _mark(remote_id)[:8])
    if not taken or fold(full) not in taken:
        return full
    mark = _mark(remote_id)
    for length in (8, 16, 64):
        marked = _marked(full, mark[:length])
        if fold(marked) not in taken:
            return marked
    raise ValueError(f"no free name for {remote_id}: its own mark is taken")


def _mark(remote_id: str) -> str:
    return hashlib.sha256(remote_id.encode()).hexdigest()


def _ends(name: str, extension: str) -> bool:
    return name.lower().endswith(f".{extension}")


def _marked(full: str, mark: str) -> str:
    """`full` with the mark before its extension, cut to fit."""
    stem, dot, tail = full.rpartition(".")
    if not dot or not stem or len(tail.encode()) > 15:
        stem, tail = full, ""
    ending = f" ~{mark}" + (f".{tail}" if tail else "")
    return _cut(stem, MAX_COMPONENT_BYTES - len(ending.encode())) + ending


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore").rstrip(_QUOTE)


def file_key(slug: str, folders: Sequence[str], name: str, remote_id: str) -> str:
    """The key of a file's current version, below a destination's prefix.

    A path too long for a key goes to `~deep`, by the remote id.
    """
    return _key([slug, FILES], folders, name, remote_id)


def trash_key(
    slug: str, gone_at: datetime, folders: Sequence[str], name: str, remote_id: str
) -> str:
    """The key of the newest version of a file that is gone at the source, by the day (UTC)."""
    day = f"{gone_at.astimezone(UTC):%Y-%m-%d}"
    return _key([slug, TRASH, day], folders, name, remote_id)


def newest_key(
    slug: str, gone_at: datetime | None, folders: Sequence[str], name: str, remote_id: str
) -> str:
    """Where a file's newest version lies: under its path, or in the trash once it is gone."""
    if gone_at is not None:
        return trash_key(slug, gone_at, folders, name, remote_id)
    return file_key(slug, folders, name, remote_id)


def _key(area: Sequence[str], folders: Sequence[str], name: str, remote_id: str) -> str:
    key = "/".join([*area, *folders, name])
    if len(key.encode()) <= MAX_KEY_BYTES:
        return key
    deep = hashlib.sha256(remote_id.encode()).hexdigest()[:32]
    return "/".join([*area, DEEP, deep, name])


def is_in(area: str, key: str) -> bool:
    """Whether a key lies in FILES, VERSIONS or TRASH of its source."""
    return key.split("/", 2)[1:2] == [area]


def apart(key: str, remote_id: str) -> str:
    """Another key beside `key`, for a file that finds its own taken by an older object."""
    folder, _, name = key.rpartition("/")
    return f"{folder}/{_marked(name, hashlib.sha256(remote_id.encode()).hexdigest()[:16])}"


def previous_key(key: str, revision: str, modified_at: datetime | None) -> str:
    """Where a replaced version is kept on a store that has no versions of its own."""
    slug, _, path = key.partition("/")
    folder, _, name = path.rpartition("/")
    stamp = (modified_at or datetime(1970, 1, 1, tzinfo=UTC)).astimezone(UTC)
    mark = f"{stamp:%Y%m%dT%H%M%SZ}-{hashlib.sha256(revision.encode()).hexdigest()[:8]}"
    return "/".join(part for part in (slug, VERSIONS, folder.partition("/")[2]) if part) + (
        "/" + _marked(name, mark)
    )
