"""Separate queues, so that scans, transfers, verifications and restores never wait for one another.

Each is a Django-Q cluster of its own on every host (`ALT_CLUSTERS`), with as many hands as
`settings.QUEUES` says. One hand of the scan queue is kept free of whole listings, which take
minutes: change logs are read at once whatever else goes on. So is one of the verifications' queue
of large copies that are sent again, which take days.
"""

from __future__ import annotations

from syncapp.models import Run

SCAN, TRANSFER, VERIFY, RESTORE = "scan", "transfer", "verify", "restore"
OF_STAGE = {
    Run.Stage.SCAN: SCAN,
    Run.Stage.PLAN: SCAN,
    Run.Stage.MOVE: TRANSFER,
    Run.Stage.TRANSFER: TRANSFER,
    Run.Stage.VERIFY: VERIFY,
    Run.Stage.RESTORE: RESTORE,
    Run.Stage.PRUNE: VERIFY,
    Run.Stage.ERASE: VERIFY,
    Run.Stage.REMAKE: VERIFY,
    Run.Stage.HEAL: VERIFY,
    Run.Stage.DRILL: VERIFY,
}


def of(stage: str) -> str:
    """The queue whose hands work at a stage."""
    return OF_STAGE[Run.Stage(stage)]


def stages(queue: str) -> list[str]:
    """The stages that a queue's hands work at."""
    return [stage.value for stage, name in OF_STAGE.items() if name == queue]
