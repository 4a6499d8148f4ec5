"""The only Django-Q entry points: short, ids only, idempotent.

Queues store these dotted paths: renaming one breaks what is queued.
"""

from syncapp.engine import dispatch, push
from syncapp.engine import poll as polling


def work(lane_id: int) -> None:
    """Work on a lane; nothing if it was claimed, replaced or ended."""
    dispatch.work(lane_id)


def poll(source_id: int) -> None:
    """Look whether Google has anything new; nothing if the source is not to be looked at now."""
    polling.poll(source_id)


def stop_push(source_id: int) -> None:
    """Close the push channels that a source no longer needs."""
    push.stop(source_id)
