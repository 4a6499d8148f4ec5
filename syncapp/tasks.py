"""The only Django-Q entry points: short, ids only, idempotent.

Queues store these dotted paths: renaming one breaks what is queued.
"""

from syncapp.engine import database_backup, dispatch, push, segments
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


def write_segments(source_id: int) -> None:
    """Write what changed of a source's catalog to its destinations; nothing if another does."""
    segments.write(source_id)


def back_up_database(destination_ids: list[int]) -> None:
    """Send a backup of the database to these destinations."""
    database_backup.send(destination_ids)
