#!/usr/bin/env python3
r"""Give back the files of a backup without the program that made it.

    python3 restore_without_app.py /mnt/disk/backup restored
    python3 restore_without_app.py s3://bucket/prefix restored --endpoint https://s3.example.com \
        --path "My Drive/Letters" --at 2026-03-01

Needs Python 3.9 and, for buckets only, boto3 (keys as boto3 finds them: AWS_ACCESS_KEY_ID, …).
Reads catalog segments (docs/format.md) and objects, writes nothing there. Every file is compared
with its SHA-256 before it gets its name; one that is there and right stays, so a restore that was
stopped is simply called again. Exit code 0: every file is back; 1: some are not, with the reason.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import sqlite3
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any

NAME = re.compile(r"(\d{9,})-(full|delta)-(\d{4,})of(\d{4,})-d(\d+)\.jsonl\.gz")
CHUNK = 1 << 20
FORMAT_VERSION = 1
File = dict[str, Any]  # a line of a segment
Segments = dict[tuple[int, str, int, int], dict[int, str]]  # number, kind, where, parts → keys
Chain = list[tuple[int, list[str]]]  # the id of this destination there, keys of the parts
say = partial(print, file=sys.stderr)


class Folder:
    """A folder destination: plain files."""

    def __init__(self, path: str) -> None:
        self.path = path

    def names(self, prefix: str) -> Iterator[str]:
        for folder, _, files in os.walk(os.path.join(self.path, prefix)):
            yield from (os.path.relpath(os.path.join(folder, name), self.path) for name in files)

    def read(self, key: str, version: str = "") -> Iterator[bytes]:
        with open(os.path.join(self.path, *key.split("/")), "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


class Bucket(Folder):
    """An S3 destination; its address ends with the prefix of the destination's settings."""

    def __init__(self, address: str, endpoint: str | None, region: str | None) -> None:
        import boto3

        self.bucket, _, prefix = address[len("s3://") :].partition("/")
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.client: Any = boto3.client("s3", endpoint_url=endpoint, region_name=region)

    def names(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
            for found in page.get("Contents", ()):
                yield found["Key"][len(self.prefix) :]

    def read(self, key: str, version: str = "") -> Iterator[bytes]:
        more = {"VersionId": version} if version else {}
        answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key, **more)
        yield from answer["Body"].iter_chunks(CHUNK)


def lines(store: Folder, key: str) -> Iterator[File]:
    """The lines of one part, header first; ValueError at the end unless the trailer fits them."""
    engine, digest, rest, last, count = zlib.decompressobj(31), hashlib.sha256(), b"", b"", -1
    for chunk in store.read(key):
        *whole, rest = (rest + engine.decompress(chunk)).split(b"\n")
        for line in whole:
            if last:
                digest.update(last + b"\n")
                count += 1
                yield json.loads(last)
            last = line
    trailer = json.loads(last or b"{}")
    right = trailer.get("sha256") == digest.hexdigest() and trailer.get("lines") == count
    if not (engine.eof and right):
        raise ValueError("checksum or length is wrong")


def check(store: Folder, keys: list[str], parts: int) -> File:
    """Read a whole segment; its header."""
    if len(keys) < parts:
        raise ValueError(f"{parts - len(keys)} of its parts are missing")
    header: File = {}
    for number, line in ((n, line) for key in keys for n, line in enumerate(lines(store, key))):
        header = header if number else line
    if header.get("version", 99) > FORMAT_VERSION:
        raise ValueError("its version of the format is not known here")
    return header


def segments(store: Folder) -> dict[str, Segments]:
    """Of each source, by its folder's name, the segments that are there."""
    found: dict[str, Segments] = {}
    for key in store.names(".catalog/"):
        match = NAME.fullmatch(key.split("/")[-1])
        if match and key.count("/") == 2:
            number, kind, part, parts, where = match.groups()
            of = found.setdefault(key.split("/")[1], {})
            of.setdefault((int(number), kind, int(where), int(parts)), {})[int(part)] = key
    return found


def chain(store: Folder, there: Segments) -> Chain:
    """The newest whole catalog that is undamaged, then all that is later."""
    chosen, at = Chain(), 0
    wholes = sorted((name for name in there if name[1] == "full"), reverse=True)
    for name in [*wholes, *sorted(name for name in there if name[1] == "delta")]:
        number, kind, where, parts = name
        if number <= at or (kind == "full" and chosen):
            continue
        try:
            keys = [key for _, key in sorted(there[name].items())]
            after = check(store, keys, parts).get("after", 0)
        except Exception as error:  # noqa: BLE001 - whatever it is, there may be another way
            say(f"segment {number} can't be used: {error!r}")
            continue
        if after > at:
            say(f"segment {after} is not used: some changes before segment {number} are lost")
        chosen.append((where, keys))
        at = number
    return chosen


def load(store: Folder, chosen: Chain, database: sqlite3.Connection) -> None:
    """The catalog into a temporary database: a line a file, copies elsewhere left out."""
    database.execute("CREATE TABLE file (id TEXT PRIMARY KEY, folder INTEGER, line TEXT)")
    for where, key in ((where, key) for where, keys in chosen for key in keys):
        for number, line in enumerate(lines(store, key)):
            if "gone" in line:
                database.execute("DELETE FROM file WHERE id = ?", [line["gone"]])
            elif "file" in line and number:
                for version in line.get("versions", ()):
                    version["copies"] = [c for c in version.get("copies", ()) if c["to"] == where]
                row = [line["file"], line.get("content") == "folder", json.dumps(line)]
                database.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", row)


def moment(text: str) -> str:
    """A time in a form that sorts; a date alone is its first moment."""
    return (text.rstrip("Z") + "0000-00-00T00:00:00.000000"[len(text.rstrip("Z")) :])[:26]


def place(file: File, at: str) -> tuple[str, str] | None:
    """Parent and name that a file had then (without `at`: has now); None: it was not there."""
    gone = file.get("trashed_at") or file.get("vanished_at")
    if not gone and (not at or moment(file.get("placed_at", "")) <= at):
        return file.get("parent", ""), file.get("name", "")
    for old in file.get("places", ()) if at else ():
        if moment(old["from"]) <= at < moment(old["until"]):
            return old.get("parent", ""), old.get("name", "")
    return None


def version_of(file: File, at: str) -> File | None:
    """The version that it had then, or the newest older one of which a copy is here."""
    stored = [v for v in file.get("versions", ()) if v["copies"] and v.get("sha256")]
    seen = list[tuple[bool, str, int]]()
    for i, s in ((i, s) for i, v in enumerate(stored) for s in (v, *v.get("spans", ()))):
        since = moment(s.get("from") or s.get("returned_at") or s["first_seen_at"])
        lasts = moment(s.get("until") or s.get("replaced_at") or "9999") > (at or "9998")
        seen += [(lasts, since, i)] if not at or since <= at else []
    return stored[max(seen)[2]] if seen else None


def safe(name: str) -> str:
    """A name that every file system takes and that leads nowhere else; at most 250 bytes."""
    bad = '/\\:*?"<>|' if os.name == "nt" else "/"
    name = "".join("\ufffd" if ord(c) < 32 or ord(c) == 127 or c in bad else c for c in name)
    name = name if name.strip(". ") else "_" + name.replace(".", "\uff0e")
    stem, ending = os.path.splitext(name)
    stem, ending = (name, "") if len(ending.encode("utf-8", "replace")) > 16 else (stem, ending)
    return stem.encode("utf-8", "replace")[:230].decode("utf-8", "ignore") + ending


def folders_of(database: sqlite3.Connection, parent: str, at: str) -> list[str]:
    """The names of the folders down to this one; loops and unknown folders end it."""
    path, seen = list[str](), set[str]()
    while parent and parent not in seen:
        seen.add(parent)
        row = database.execute("SELECT line FROM file WHERE id = ?", [parent]).fetchone()
        file = json.loads(row[0]) if row else {"name": parent}
        parent, name = place(file, at) or (file.get("parent", ""), file.get("name", ""))
        path.insert(0, safe(name))
    return path


def mark(path: str) -> bytes:
    """What a path takes for itself, in file systems that ignore case as well."""
    return hashlib.sha256(path.lower().encode("utf-8", "replace")).digest()


def put(store: Folder, version: File | None, root: str, path: str) -> bool:
    """One file, verified, with its time; False if it was there already."""
    target, scratch = os.path.join(root, path), root + ".part"
    if version is None:
        raise ValueError("no version of it is stored here")
    if os.path.isfile(target) and not os.path.islink(target):
        digest = hashlib.sha256()
        for chunk in Folder("/").read(os.path.abspath(target)):
            digest.update(chunk)
        if digest.hexdigest() == version["sha256"]:
            return False
        free = (f"{target}.before{n or ''}" for n in range(1000))
        os.replace(target, next(name for name in free if not os.path.lexists(name)))
    copy, digest = version["copies"][0], hashlib.sha256()
    with open(scratch, "wb") as file:
        for chunk in store.read(copy["key"], copy.get("version_id", "")):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != version["sha256"]:
        os.unlink(scratch)
        raise ValueError("its SHA-256 is not the one that was stored")
    if version.get("modified_at"):
        when = datetime.datetime.fromisoformat(version["modified_at"].replace("Z", "+00:00"))
        os.utime(scratch, (when.timestamp(), when.timestamp()))
    os.replace(scratch, target)
    return True


def restore(
    store: Folder, database: sqlite3.Connection, target: str, options: argparse.Namespace
) -> list[int]:
    """Every file that is wanted; how many were restored, were there already, failed."""
    at = moment(options.at) if options.at else ""
    folders_there = database.execute("SELECT id FROM file WHERE folder")
    taken = {mark("/".join(folders_of(database, pk, at))) for (pk,) in folders_there}
    counts = [0, 0, 0]
    for (text,) in database.execute("SELECT line FROM file WHERE NOT folder ORDER BY id"):
        file = json.loads(text)
        gone = (file.get("parent", ""), file.get("name", "")) if options.deleted else None
        here = place(file, at) or gone
        if here is None or not file.get("versions"):
            continue
        folders = folders_of(database, here[0], at)
        stem, ending = os.path.splitext(safe(here[1]))
        if file.get("extension") and ending.lower() != "." + file["extension"]:
            stem, ending = stem + ending, "." + file["extension"]
        path, number = "/".join([*folders, stem + ending]), 1
        while mark(path) in taken:
            number += 1
            path = "/".join([*folders, f"{stem} ({number}){ending}"])
        taken.add(mark(path))
        if not (path + "/").startswith(options.path.strip("/") + "/" if options.path else ""):
            continue
        try:
            if options.list:
                print(ascii(path)[1:-1])
                continue
            os.makedirs(os.path.join(target, *folders), exist_ok=True)
            counts[not put(store, version_of(file, at), target, path)] += 1
        except Exception as error:  # noqa: BLE001 - told and counted; the others go on
            counts[2] += 1
            say(f"NOT restored: {path!a}: {error!r}")
    return counts


def main() -> int:
    """Parse, choose, restore."""
    parser = argparse.ArgumentParser(description="Restore a backup without its program.")
    parser.add_argument("origin", help="the destination: a folder, or s3://bucket/prefix")
    parser.add_argument("target", help="an empty folder, or one to go on with")
    parser.add_argument("--source", help="only this source (its folder's name below .catalog)")
    parser.add_argument("--path", default="", help="only what lies at or below this path")
    parser.add_argument("--at", default="", help="as it was then (UTC): 2026-03-01[T12:00:00]")
    parser.add_argument("--deleted", action="store_true", help="also what was gone")
    parser.add_argument("--list", action="store_true", help="only print paths")
    parser.add_argument("--endpoint", help="of a service other than Amazon's")
    parser.add_argument("--region")
    options = parser.parse_args()
    bad, origin, is_bucket = 0, options.origin, options.origin.startswith("s3://")
    store = Bucket(origin, options.endpoint, options.region) if is_bucket else Folder(origin)
    found = segments(store) or say("There are no catalog segments there.") or {}
    for slug in sorted(found if options.source is None else {options.source} & set(found)):
        database = sqlite3.connect("")  # a temporary file, as far as memory does not do
        load(store, chain(store, found[slug]), database)
        counts = restore(store, database, os.path.join(options.target, slug), options)
        say("{}: {} restored, {} there already, {} not restored".format(slug, *counts))
        bad += counts[2]
    return 0 if found and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
