"""Restores for terminals and scripts: figures, lines and documents.

JSON of a restore, stable: what a run has (`outcome.py`), and at, target, options, prefer, origin,
collision, convert, permissions, paused, files_there (the same, byte for byte), files_skipped (left
alone: something else has the name), waits_for.
JSON of an estimate: files, folders, bytes, missing, frozen, costs ({currency: amount}), cost (in
words), unpriced_bytes, seconds, thaw_seconds, origins ({name: files}), partial (false).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from syncapp.engine import restoring
from syncapp.engine.restore_estimate import Estimate
from syncapp.management.base import Exit
from syncapp.management.outcome import run_document
from syncapp.management.output import duration, moment, size
from syncapp.models import Restore, Run
from syncapp.types import JsonObject
from syncapp.words import counted


def estimate_lines(found: Estimate) -> Iterator[str]:
    """An estimate as text."""
    folders = f" and {counted(found.folders, 'empty folder')}" if found.folders else ""
    least = "at least " * found.partial
    yield f"{least}{counted(found.files, 'file')}{folders}, {size(found.bytes)}"
    for name, files in sorted(found.origins.items()):
        yield f"  from “{name}”: {counted(files, 'file')}"
    yield f"cost: {found.cost}, by list prices, before tax and free allowances"
    if found.about:
        yield "  about: a price among them could not be confirmed"
    if found.unpriced_bytes:
        yield f"  besides {size(found.unpriced_bytes)} from services whose prices are not known"
    if found.frozen:
        yield (
            f"{counted(found.frozen, 'file')} must be retrieved from cold storage first, which "
            f"takes up to {duration(found.thaw_seconds)}"
        )
    yield f"time: about {duration(found.seconds)}, as these destinations were read lately"
    if found.missing:
        lacking = counted(found.missing, "file")
        yield f"{lacking} can't be restored: no content of theirs from then is stored"


def estimate_document(found: Estimate) -> JsonObject:
    """An estimate as JSON."""
    return asdict(found) | {"cost": found.cost}


def restore_document(restore: Restore) -> JsonObject:
    """A restore as JSON."""
    run = restore.run
    return run_document(run) | {
        "at": restore.at,
        "target": restore.target,
        "options": restore.options,
        "prefer": restore.prefer,
        "origin": restore.origin.name if restore.origin else "",
        "collision": restore.collision,
        "convert": restore.convert,
        "permissions": restore.permissions,
        "paused": run.paused,
        "files_there": run.files_there,
        "files_skipped": run.files_skipped,
        "waits_for": "" if run.ended_at else restoring.waits_for(run),
    }


HEADINGS = (
    "RUN",
    "SOURCE",
    "TO",
    "STATE",
    "ITEMS",
    "DONE",
    "THERE",
    "LEFT ALONE",
    "NEVER STORED",
    "FAILED",
    "BYTES",
    "ASKED",
)


def row(restore: Restore) -> Sequence[object]:
    """A restore as a line of a table, under HEADINGS."""
    run = restore.run
    counts = run.files_total, run.files_done, run.files_there, run.files_skipped
    lacking = run.files_refused, run.files_failed
    asked = size(run.bytes_done), moment(run.created_at)
    return run.pk, run.source.name, where(restore), state_of(run), *counts, *lacking, *asked


def where(restore: Restore) -> str:
    """Where it goes, in a few words."""
    options = restore.options
    if restore.target == Restore.Target.DESTINATION:
        return f"destination {options.get('destination')}: {options.get('prefix', '')}"
    if restore.target == Restore.Target.DRIVE:
        return f"Google Drive: {options.get('folder', 'a dated folder')}"
    return str(options.get("path", restore.get_target_display()))


def state_of(run: Run) -> str:
    """How it stands, in a word or two."""
    if run.ended_at:
        return str(run.get_outcome_display())
    return "Paused" if run.paused else str(run.get_stage_display())


def judge(run: Run) -> Exit:
    """The code of an ended restore."""
    return Exit.OK if run.outcome in (Run.Outcome.OK, Run.Outcome.WARNINGS) else Exit.FAILED
