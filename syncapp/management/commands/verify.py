"""`manage.py verify`: have what is stored checked, and what is damaged made anew.

Every object is listed and held against the catalog, and the copies that were not read for longest
are read back, so that all are within the policy's days; `--all` reads every copy now.

Exit: 0 every copy is as it was stored, or was made anew; 1 one is missing or different and could
not be mended, or could not be read; 2 unknown source; 4 no worker; 5 paused or blocked, a person
must act.

JSON, stable. Queued: {exit_code, runs: [run + new]}. With --wait: {exit_code, reason, runs: [run +
new, damaged: [trouble], damaged_left_out]}; a run's `files_seen` are objects listed, `files_done`
copies read back and found as they were stored, `files_failed` others, `bytes_done` bytes read
back; `damaged` is what is left. Keys of runs and troubles: `management/outcome.py`; codes of
damage: missing, size_mismatch, checksum_mismatch.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import runs
from syncapp.engine.trouble import Kind
from syncapp.management.base import Exit
from syncapp.management.outcome import judge
from syncapp.management.running import RunCommand
from syncapp.models import Copy, Run, Source


class Command(RunCommand):
    """Check what is stored."""

    help = (
        "List every stored object and compare it with the catalog, read those back that are due,"
        " byte for byte, and make damaged ones anew."
    )
    examples = (
        "--wait",
        "--source 1 --all --wait",
    )
    kinds = (Kind.DAMAGED,)
    everything = False

    def add_arguments(self, parser: CommandParser) -> None:
        """How much is read back."""
        super().add_arguments(parser)
        parser.add_argument(
            "--all", action="store_true", dest="everything", help="Read every copy back now."
        )

    def answer(self, options: dict[str, Any]) -> Exit:
        """Ask for the runs."""
        self.everything = options["everything"]
        return super().answer(options)

    def request(self, source: Source) -> tuple[Run, bool]:
        """A verification."""
        return runs.request_verify(source, everything=self.everything)

    def code_of(self, run: Run) -> Exit:
        """Damage counts whenever it was found, until it is mended."""
        damaged = Copy.objects.filter(version__source=run.source, state=Copy.State.DAMAGED)
        return Exit.FAILED if damaged.exists() else judge(run)
