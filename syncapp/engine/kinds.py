"""What kinds of run there are: where each begins, and what holds it up."""

from __future__ import annotations

from django.db.models import Q

from syncapp.models import Run

FIRST_STAGE = {
    Run.Kind.BACKUP: Run.Stage.SCAN,
    Run.Kind.VERIFY: Run.Stage.VERIFY,
    Run.Kind.RESTORE: Run.Stage.RESTORE,
    Run.Kind.DRILL: Run.Stage.DRILL,
    Run.Kind.PRUNE: Run.Stage.PRUNE,
    Run.Kind.ERASE: Run.Stage.ERASE,
}
# What a person asked for in so many words goes on while the source is paused.
OF_ITS_OWN = [Run.Kind.RESTORE, Run.Kind.ERASE]
UNPAUSED = Q(paused=False) & (Q(source__paused=False) | Q(kind__in=OF_ITS_OWN))
ACTIVE = Q(ended_at__isnull=True) & UNPAUSED


def is_paused(run: Run) -> bool:
    """Whether a pause holds up the run, its own or its source's."""
    return run.paused or (run.source.paused and run.kind not in OF_ITS_OWN)
