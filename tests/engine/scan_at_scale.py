"""Scans of a big synthetic account, in a process of its own whose memory is nobody else's.

`python -m tests.engine.scan_at_scale FOLDER EMULATOR_URL DATABASE_URL FILES` prints one line of
JSON for each step: what was found, seconds, CPU seconds, and the process's peak memory so far.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import product
from emulator.control import Control

if TYPE_CHECKING:
    from syncapp.models import Source

STEP = 250  # new, edited, renamed, moved and deleted files each


class Scale:
    """A source and its destinations, to which nothing is sent."""

    def __init__(self, control: Control, source: Source) -> None:
        self.control, self.source = control, source

    def run(self, *, full: bool = False) -> dict[str, Any]:
        """Read and plan, as a run's first stage does."""
        from syncapp.engine import planning
        from syncapp.engine.absorb import Absorber
        from syncapp.engine.adapters import source_for
        from syncapp.engine.replay import replay
        from syncapp.engine.scan import scan
        from syncapp.models import Run

        self.source.refresh_from_db()
        run = Run.objects.create(source=self.source)
        wanted = planning.wanted_destinations(self.source)
        absorber = Absorber(self.source, wanted)
        reader, drift = source_for(self.source), set[str]()
        if full:
            known = bool(self.source.scanned_at)
            scan(run, absorber, reader, lambda: None, drift if known else None)
        else:
            replay(absorber, reader, lambda: None)
        run.files_new = absorber.counts.new
        planning.plan_copies(run, wanted)
        run.refresh_from_db()
        run.delete()
        counts = absorber.counts
        return {
            "seen": counts.seen, "new": counts.new, "changed": counts.changed,
            "vanished": counts.vanished, "drift": len(drift), "to_do": run.files_total,
        }  # fmt: skip

    def store(self) -> dict[str, Any]:
        """As if all transfers had been made."""
        from django.db import connection, transaction
        from django.utils import timezone

        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE syncapp_copy SET state = 'stored', object_key = 'k/' || version_id,"
                " stored_at = %s WHERE state = 'pending'",
                [timezone.now()],
            )
            cursor.execute("UPDATE syncapp_version SET state = 'stored' WHERE state = 'pending'")
            return {"stored": cursor.rowcount}

    def change(self) -> dict[str, Any]:
        """A thousand and some changes, and two folders of some 50,000 files each renamed."""
        from syncapp.models import File

        files = list(
            File.objects.filter(source=self.source, content="blob")
            .order_by("pk")
            .values_list("remote_id", flat=True)[: 4 * STEP]
        )
        folder = "1SynD" + "0" * 28
        for number in range(STEP):
            edited, renamed, moved, deleted = files[number::STEP]
            self.control.create(f"new {number}.bin", b"new", parent=folder)
            self.control.edit(edited, b"edited")
            self.control.rename(renamed, f"renamed {number}.bin")
            self.control.move(moved, folder)
            self.control.delete(deleted)
        for number in (1, 2):
            self.control.rename(f"1SynD{number:028d}", f"renamed folder {number}")
        return {"changes": 5 * STEP + 2}

    def look(self) -> dict[str, Any]:
        """What the catalog says after the changes."""
        from syncapp.models import Copy, File, Version

        here = File.objects.filter(source=self.source)
        pending = Version.objects.filter(source=self.source, state="pending")
        return {
            "gone": here.exclude(vanished_at=None).count(),
            "due_to_move": here.filter(move_due=True).count(),
            "pending": pending.count(),
            "copies": Copy.objects.filter(version__in=pending, state="pending").count(),
        }


def main(folder: str, emulator: str, database: str, files: str) -> None:
    """All steps, one after the other."""
    product.configure(
        Path(folder),
        GOOGLE_TOKEN_URL=f"{emulator}/token",
        GOOGLE_DRIVE_URL=f"{emulator}/drive/v3/",
        GOOGLE_FORMS_URL=f"{emulator}/",
        **({"DATABASE_URL": database} if database else {}),
    )
    control = Control(emulator)
    source = product.link_source(control)
    for name in ("one", "two"):
        source.destinations.create(owner=source.owner, name=name, kind="local")
    scale = Scale(control, source)
    _step("discovery", lambda: scale.run(full=True))
    _step("store", scale.store)
    _step("unchanged listing", lambda: scale.run(full=True))
    _step("unchanged log", scale.run)
    _step("change", scale.change)
    _step("changed log", scale.run)
    _step("look", scale.look)
    _step("comparison", lambda: scale.run(full=True))


def _step(name: str, work: Callable[[], dict[str, Any]]) -> None:
    wall, cpu = time.monotonic(), time.process_time()
    found = work()
    figures = {
        "wall_s": round(time.monotonic() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps({"step": name, **found, **figures}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
