#!/usr/bin/env python3
r"""Give back the files of a backup without the program that made it.

    python3 restore_without_app.py /mnt/disk/backup restored
    python3 restore_without_app.py s3://bucket/prefix restored --endpoint https://s3.example.com \
        --path "My Drive/Letters" --at 2026-03-01

Needs Python 3.9. Buckets need boto3 too (pip install boto3), and keys in the environment variables
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile of ~/.aws/credentials in AWS_PROFILE.
Nothing is written at the destination. Every file is compared with its SHA-256; one that is there
and right stays, so a restore that was stopped is simply called again. Exit code 0: all that was
stored is back; 1: some is not, or none was found. What was never stored is only told.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from sqlite3 import Connection, connect
from typing import Any

NAME = re.compile(r"\.catalog[/\\]([^/]+)[/\\](\d{9,})-(full|delta)-\d+of(\d+)-d(\d+)\.jsonl\.gz")
UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
UTC = timezone.utc  # noqa: UP017 - for Python 3.9
File = dict[str, Any]  # a line of a segment
say = partial(print, file=sys.stderr)


class Store:
    """A destination, only read: a folder, or s3://bucket/prefix."""

    def __init__(self, options: Namespace) -> None:
        self.path = options.origin
        self.client: Any = None
        if self.path.startswith("s3://"):
            import boto3

            self.bucket, _, prefix = self.path[len("s3://") :].partition("/")
            self.path = prefix.strip("/") + "/" if prefix.strip("/") else ""
            self.client = boto3.client("s3", options.region, endpoint_url=options.endpoint)

    def names(self) -> Iterator[str]:
        if not self.client:
            for folder, _, files in os.walk(os.path.join(self.path, ".catalog")):
                yield from (os.path.relpath(os.path.join(folder, x), self.path) for x in files)
            return
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=self.path + ".catalog/"):
            yield from (found["Key"][len(self.path) :] for found in page.get("Contents", ()))

    def open(self, key: str, version: str = "") -> Any:
        if not self.client:
            return open(os.path.join(self.path, *key.split("/")), "rb")
        more = {"VersionId": version} if version else {}
        return self.client.get_object(Bucket=self.bucket, Key=self.path + key, **more)["Body"]


def lines(store: Store, key: str) -> Iterator[File]:
    """The lines of one part, header first; ValueError at the end unless the trailer fits them."""
    digest, last, count = hashlib.sha256(), b"", -1
    with store.open(key) as packed, gzip.open(packed) as unpacked:
        for line in unpacked:
            if last:
                digest.update(last)
                count += 1
                yield json.loads(last)
            last = line
    trailer = json.loads(last or b"{}")
    if (trailer.get("sha256"), trailer.get("lines")) != (digest.hexdigest(), count):
        raise ValueError("checksum or length is wrong")


def load(store: Store, found: list[re.Match[str]], database: Connection) -> bool:
    """The newest whole catalog that is undamaged, then all that is later; False if some is lost."""
    database.execute("CREATE TABLE file (id TEXT PRIMARY KEY, folder INTEGER, line TEXT)")
    keys, at, damaged, whole = defaultdict(list), 0, 0, True
    for key, _, no, kind, of, to in sorted((name[0], *name.groups()) for name in found):
        keys[int(no), kind, int(of), int(to)].append(key)
    finished = sorted(name for name in keys if len(keys[name]) == name[2])
    wholes = [name for name in reversed(finished) if name[1] == "full"]
    for number, kind, parts, where in wholes + [name for name in finished if name[1] == "delta"]:
        if number <= at or (kind == "full" and at):
            continue
        try:
            with database:  # all of it or nothing
                after = apply(store, keys[number, kind, parts, where], where, database)
        except Exception as error:  # noqa: BLE001 - whatever it is, there may be another way
            say(f"segment {number} can't be used: {error}")
            damaged = max(damaged, number)
            continue
        if after > at:
            say(f"segment {after}" if at else "the full segment", "is missing, and what it told")
        at, whole = number, whole and after <= at
    return at > damaged and whole


def apply(store: Store, keys: list[str], where: int, database: Connection) -> int:
    """A row a file, without copies elsewhere; the number of the segment on which it builds."""
    after = 0
    for line in (line for key in keys for line in lines(store, key)):
        if line.get("format") and line["version"] > 1:
            raise ValueError("its version of the format is not known here")
        after = line["after"] if line.get("format") else after
        if "gone" in line:
            database.execute("DELETE FROM file WHERE id = ?", [line["gone"]])
        elif "file" in line:
            for version in line.get("versions", ()):
                version["copies"] = [c for c in version.get("copies", ()) if c["to"] == where]
            row = [line["file"], line.get("content") == "folder", json.dumps(line)]
            database.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", row)
    return after


def chosen(text: str) -> str:
    """The moment of --at as in the catalog, without Z; a date alone is the end of that day."""
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ArgumentTypeError(f"{text!a} is no time like 2026-03-01T14:30 (UTC)") from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    if when > datetime.now(UTC):
        raise ArgumentTypeError(f"{text!a} lies in the future (a time is in UTC)")
    when += timedelta(days=1, microseconds=-1) if len(text) <= 10 else timedelta()
    return when.astimezone(UTC).isoformat(timespec="microseconds")[:26]


def place(file: File, at: str, *, deleted: bool = False) -> tuple[str, str] | None:
    """Parent and name that a file had then (without `at`: has now); None: it was not there."""
    gone = file.get("trashed_at") or file.get("vanished_at")
    if not gone and (not at or file.get("placed_at", "").rstrip("Z") <= at):
        return file.get("parent", ""), file.get("name", "")
    for old in file.get("places", ()) if at else ():
        if old["from"].rstrip("Z") <= at < old["until"].rstrip("Z"):
            return old.get("parent", ""), old.get("name", "")
    return (file.get("parent", ""), file.get("name", "")) if deleted else None


def version_of(file: File, at: str) -> File | None:
    """The version that it had then, or the newest older one of which a copy is here."""
    stored = [v for v in file.get("versions", ()) if v["copies"] and v.get("sha256")]
    seen = list[tuple[bool, str, int]]()
    for i, s in ((i, s) for i, v in enumerate(stored) for s in (v, *v.get("spans", ()))):
        since = (s.get("from") or s.get("returned_at") or s["first_seen_at"]).rstrip("Z")
        lasts = (s.get("until") or s.get("replaced_at") or "9999").rstrip("Z") > (at or "9998")
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


def folders_of(database: Connection, parent: str, at: str) -> list[str]:
    """The names of the folders down to this one; loops and unknown folders end it."""
    path, seen = list[str](), set[str]()
    while parent and parent not in seen:
        seen.add(parent)
        row = database.execute("SELECT line FROM file WHERE id = ?", [parent]).fetchone()
        file = json.loads(row[0]) if row else {"name": parent}
        parent, name = place(file, at) or (file.get("parent", ""), file.get("name", ""))
        path.insert(0, safe(name))
    return path


def put(store: Store, version: File | None, root: str, path: str) -> str:
    """One file, verified, with its time; what became of it."""
    target, scratch = os.path.join(root, path), root + ".part"
    if version is None:
        raise ValueError("no copy of it is here, or none of that time")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isfile(target) and not os.path.islink(target):
        digest = hashlib.sha256()
        with open(target, "rb") as there:
            for chunk in iter(partial(there.read, 1 << 20), b""):
                digest.update(chunk)
        if digest.hexdigest() == version["sha256"]:
            return "there already"
        free = (f"{target}.before{n or ''}" for n in range(1000))
        os.replace(target, next(name for name in free if not os.path.lexists(name)))
    copy, digest = version["copies"][0], hashlib.sha256()
    with open(scratch, "wb") as file, store.open(copy["key"], copy.get("version_id", "")) as source:
        for chunk in iter(partial(source.read, 1 << 20), b""):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != version["sha256"]:
        os.unlink(scratch)
        raise ValueError("its SHA-256 is not the one that was stored")
    if version.get("modified_at"):
        when = datetime.fromisoformat(version["modified_at"].replace("Z", "+00:00"))
        os.utime(scratch, (when.timestamp(), when.timestamp()))
    os.replace(scratch, target)
    return "restored"


def restore(store: Store, database: Connection, root: str, options: Namespace) -> dict[str, int]:
    """Every file that is wanted; of how many of them what became."""
    at, wanted = options.at or "", options.path.strip("/")
    counts = {"listed": 0}
    if not options.list:
        counts = {"restored": 0, "there already": 0, "not restored": 0}
        os.makedirs(root, exist_ok=True)
    folders_there = database.execute("SELECT id FROM file WHERE folder")
    taken = {hash("/".join(folders_of(database, pk, at)).lower()) for (pk,) in folders_there}
    for (text,) in database.execute("SELECT line FROM file WHERE NOT folder ORDER BY id"):
        file = json.loads(text)
        here = place(file, at, deleted=options.deleted)
        versions = file.get("versions", [{}])
        never = not any(version.get("sha256") for version in versions)
        if not here or file.get("problem") == "erased" or (never and not place(file, "")):
            continue
        folders = folders_of(database, here[0], at)
        name, added = here[1], "." + file.get("extension", "")
        name += added if added != "." and not name.lower().endswith(added) else ""
        stem, ending = os.path.splitext(safe(name))
        path, number = "/".join([*folders, stem + ending]), 1
        while hash(path.lower()) in taken and not never:
            number += 1
            path = "/".join([*folders, f"{stem} ({number}){ending}"])
        taken |= set() if never else {hash(path.lower())}
        shown = UNSEEN.sub(lambda found: ascii(found[0])[1:-1], path)
        if wanted and not any(f"{form}/".startswith(f"{wanted}/") for form in (path, shown)):
            continue
        result, why = "listed", file.get("problem_message") or versions[-1].get("error_message")
        if never:
            result = "never stored" if why else "not restored"
            say(f"{result}: {shown}: {UNSEEN.sub(' ', why or 'not stored yet by this catalog')}")
        else:
            print(shown, flush=True)
        if not never and not options.list:
            try:
                result = put(store, version_of(file, at), root, path)
            except Exception as error:  # told and counted; the others go on
                if getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                    raise
                result = "not restored"
                say(f"NOT restored: {shown}: {error}")
        counts[result] = counts.get(result, 0) + 1
    return counts


def main() -> int:
    """Parse, choose, restore."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("origin", help="the destination: a folder, or s3://bucket/prefix")
    parser.add_argument("target", nargs="?", default="restored", help="where to (./restored)")
    parser.add_argument("--source", help="only this source (its folder's name below .catalog)")
    parser.add_argument("--path", default="", help="only what lies at or below this path")
    times = "as it was then, in UTC: 2026-03-01 (the end of that day), 2026-03-01T14:30[+01:00]"
    parser.add_argument("--at", type=chosen, metavar="TIME", help=times)
    parser.add_argument("--deleted", action="store_true", help="also what was gone")
    parser.add_argument("--list", action="store_true", help="print the paths, restore nothing")
    parser.add_argument("--endpoint", help="address of the service, if it is not Amazon's")
    parser.add_argument("--region")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    store = Store(options)
    names = [name for name in map(NAME.fullmatch, store.names()) if name]
    found, files, bad = sorted({name[1] for name in names}), 0, 0
    if not found:
        sys.exit(f"There is no catalog: no .catalog with segments can be read in {options.origin}")
    if options.source not in (None, *found):
        sys.exit(f"There is no source {options.source!a}, but: {', '.join(found)}")
    for slug in [options.source] if options.source else found:
        database = connect("")  # a temporary file, as far as memory does not do
        whole = load(store, [name for name in names if name[1] == slug], database)
        counts = restore(store, database, os.path.join(options.target, safe(slug)), options)
        text = ", ".join(f"{count} {what}" for what, count in counts.items())
        say(f"{slug}: {text}{'' if whole else '; SOME OF THE CATALOG IS LOST'}")
        files, bad = files + sum(counts.values()), bad + counts.get("not restored", 0) + (not whole)
    if not files and not bad:
        none = "No file was stored yet" + " at that moment" * bool(options.at)
        say(f"There is no {options.path!r}: --list prints what there is" if options.path else none)
    return 0 if files and not bad else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, Exception) as trouble:  # noqa: BLE001 - told in one line
        say(f"Stopped: {str(trouble) or 'the same command goes on'} (see --help)")
        os._exit(1)  # without a word on a pipe that nobody reads any more
