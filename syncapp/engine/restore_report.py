"""What a restore did, item by item: lines of text, or a JSON document in lines. Streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from django.core.serializers.json import DjangoJSONEncoder

from syncapp.engine import targets
from syncapp.engine.sets import by_pk
from syncapp.models import Restore, RestoreFolder, RestoreItem
from syncapp.types import JsonObject
from syncapp.visible import visible


class Line(NamedTuple):
    """One item. `result` is a RestoreItem.State; `origin` the destination its bytes came from."""

    path: str
    size: int
    sha256: str
    origin: str
    result: str
    placed: str
    error_code: str
    error_message: str


_COLUMNS = [
    *("path", "size", "version__sha256", "origin__name", "state", "placed"),
    *("error_code", "error_message"),
]


def items(restore: Restore) -> Iterator[Line]:
    """All items, in the order of their planning; then folders that are not quite as they were."""
    for batch in by_pk(RestoreItem.objects.filter(restore=restore), *_COLUMNS):
        for _, path, size, sha256, origin, state, placed, code, message in batch:
            yield Line(path, size, sha256 or "", origin or "", state, placed, code, message)
    noted = RestoreFolder.objects.filter(restore=restore).exclude(note="")
    for batch in by_pk(noted, "path", "note"):
        for _, path, note in batch:
            yield Line(path, 0, "", "", RestoreItem.State.DONE, "", "", note)


def text(restore: Restore) -> Iterator[str]:
    """For people: one line an item, names made visible, its reason below where there is one."""
    for name, value in _shown(restore).items():
        yield f"# {name}: {visible(str(value))}\n"
    yield "# result  size  sha256  path  <- origin\n"
    for line in items(restore):
        origin = f"  <- {visible(line.origin)}" if line.origin else ""
        digest = line.sha256 or "-"
        yield f"{line.result}  {line.size}  {digest}  {visible(line.path)}{origin}\n"
        if line.error_message:
            code = f"[{line.error_code}] " if line.error_code else ""
            yield f"    {code}{visible(line.error_message)}\n"


def as_json(restore: Restore) -> Iterator[str]:
    """One document: {restore: {…}, items: [{path, size, sha256, origin, result, placed, …}]}."""
    yield f'{{"restore": {_dumped(head(restore))}, "items": ['
    separator = "\n"
    for line in items(restore):
        yield separator + _dumped(line._asdict())
        separator = ",\n"
    yield "\n]}\n"


def head(restore: Restore) -> JsonObject:
    """The restore itself."""
    run = restore.run
    return {
        "run": run.pk,
        "source": run.source.name,
        "at": restore.at,
        "target": restore.target,
        "options": restore.options,
        "collision": restore.collision,
        "created_at": run.created_at,
        "ended_at": run.ended_at,
        "outcome": run.outcome,
        "message": run.error_message,
        "files_done": run.files_done,
        "files_there": run.files_there,
        "files_skipped": run.files_skipped,
        "files_failed": run.files_failed,
        "bytes_done": run.bytes_done,
    }


def _shown(restore: Restore) -> JsonObject:
    """The head in words: where to instead of options, no moment or end that there is not."""
    told = head(restore)
    told["at"] = told["at"] or "the latest"
    told["to"] = targets.places_of([restore])[0]
    del told["target"], told["options"]
    return {name: value for name, value in told.items() if value not in (None, "")}


def _dumped(document: JsonObject) -> str:
    return json.dumps(document, cls=DjangoJSONEncoder)
