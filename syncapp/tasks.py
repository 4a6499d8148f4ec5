"""The only Django-Q entry points: short, ids only, idempotent.

Queues store these dotted paths: renaming one breaks what is queued.
"""

from syncapp.engine import dispatch


def work(lane_id: int) -> None:
    """Work on a lane; nothing if it was claimed, replaced or ended."""
    dispatch.work(lane_id)
