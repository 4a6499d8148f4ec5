"""The independent proof: every file of the stand-in against what lies in each destination.

Reads the stores with clients of its own (boto3, plain open), not with the product's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scripts.demo.catalog import Entry
from scripts.demo.stage import BUCKET, Stage
from scripts.demo.truth import Item, Truth

Read = Callable[[str], bytes]


@dataclass
class Tally:
    """What was found in one destination."""

    stored: int = 0
    verified: int = 0
    proved: int = 0
    bytes: int = 0


@dataclass
class Verdict:
    """How it stands; `wrong` lists what must not be, by file and destination."""

    tallies: dict[str, Tally]
    files: int = 0
    documents: int = 0
    trashed: int = 0
    refused: dict[tuple[str, str], int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def prove(truth: Truth, catalog: Mapping[str, Entry], stores: Mapping[str, Read]) -> Verdict:
    """Judge every file that the stand-in has."""
    verdict = Verdict({name: Tally() for name in stores})
    for item in truth.items():
        entry = catalog.get(item["id"])
        if entry is None:
            verdict.wrong.append(f"{item['name']!r}: the catalog does not know it")
        elif item["trashed"]:
            verdict.trashed += 1  # excluded by rule; the catalog has it on its list
        elif item["refused"]:
            _note_refusal(verdict, item, entry)
        else:
            _judge(verdict, truth, item, entry, stores)
    return verdict


def _note_refusal(verdict: Verdict, item: Item, entry: Entry) -> None:
    verdict.files += item["kind"] != "folder"
    if not entry.error_code:
        verdict.wrong.append(f"{item['name']!r}: Google refuses it, and no reason is listed")
        return
    reason = entry.error_code, item["refused"]
    verdict.refused[reason] = verdict.refused.get(reason, 0) + 1


def _judge(
    verdict: Verdict, truth: Truth, item: Item, entry: Entry, stores: Mapping[str, Read]
) -> None:
    verdict.files += 1
    verdict.documents += item["kind"] == "document"
    for name, read in stores.items():
        claim, tally = entry.copies.get(name), verdict.tallies[name]
        state = claim.state if claim else entry.error_code or "missing"
        tally.stored += state in {"stored", "verified"}
        tally.verified += state == "verified"
        problem = f"its state is {state}"
        if claim and state in {"stored", "verified"}:
            problem = _proof(truth, item, claim.key, read, tally)
        if problem or state != "verified":
            verdict.wrong.append(f"{item['name']!r} in {name}: {problem or 'not verified'}")


def _proof(truth: Truth, item: Item, key: str, read: Read, tally: Tally) -> str:
    """Read one stored object and hold it against the truth; what is wrong with it."""
    try:
        stored = read(key)
    except (OSError, ClientError, BotoCoreError) as error:
        return f"{key!r} can't be read ({type(error).__name__})"
    problem = truth.mismatch(item, stored)
    tally.bytes += len(stored)
    tally.proved += not problem
    return problem


def s3_reader(stage: Stage) -> Read:
    """A client of its own for the embedded S3 server."""
    client = boto3.client(
        "s3",
        endpoint_url=stage.s3_url,
        region_name="us-east-1",
        aws_access_key_id=stage.memory.s3_key,
        aws_secret_access_key=stage.memory.s3_secret,
        config=Config(
            s3={"addressing_style": "path"},
            proxies={},
            response_checksum_validation="when_required",
        ),
    )

    def read(key: str) -> bytes:
        return client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    return read


def folder_reader(folder: Path) -> Read:
    """Plain files."""

    def read(key: str) -> bytes:
        return (folder / key).read_bytes()

    return read
