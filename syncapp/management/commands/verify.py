"""`manage.py verify`: have every stored object read back and compared with the catalog.

Exit: 0 every copy is as it was stored; 1 one is missing or different, or could not be read; 2
unknown source; 4 no worker; 5 paused or blocked, a person must act.

JSON, stable. Queued: {exit_code, runs: [run + new]}. With --wait: {exit_code, reason, runs: [run +
new, damaged: [trouble], damaged_left_out]}; a run's `files_done` are copies found as they were
stored, `files_failed` damaged ones, `bytes_done` bytes read back. Keys of runs and troubles:
`management/outcome.py`; codes of damage: missing, size_mismatch, checksum_mismatch.
"""

from __future__ import annotations

from syncapp.engine import runs
from syncapp.engine.trouble import Kind
from syncapp.management.base import Exit
from syncapp.management.outcome import judge
from syncapp.management.running import RunCommand
from syncapp.models import Copy, Run, Source


class Command(RunCommand):
    """Read everything back."""

    help = "Read every stored object back and compare it, byte for byte, with what was stored."
    kinds = (Kind.DAMAGED,)

    def request(self, source: Source) -> tuple[Run, bool]:
        """A verification."""
        return runs.request_verify(source)

    def code_of(self, run: Run) -> Exit:
        """Damage counts whenever it was found: it is there until a backup has mended it."""
        damaged = Copy.objects.filter(version__source=run.source, state=Copy.State.DAMAGED)
        return Exit.FAILED if damaged.exists() else judge(run)
