"""The end of a restore: folders get their times and their sharing, once all is in them.

What is put into a folder changes its time, so this comes last. What was done is written down batch
by batch; a batch that a kill cut off is done again, to the same end.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from django.conf import settings
from django.db import connection, transaction

from syncapp.engine.beat import Beat
from syncapp.engine.feed import retrying
from syncapp.engine.restore_plan import google_names
from syncapp.engine.sets import update_many
from syncapp.errors import BackupError, PermanentError
from syncapp.models import Restore, RestoreFolder
from syncapp.restore_targets.base import Item, Target

BATCH = 200


def finish(restore: Restore, target: Target, beat: Beat) -> bool:
    """Do what is left; False if told to stop before the end.

    Raises what stops all of it: TransientError to be tried again, ConfigurationError for a person.
    """
    with ThreadPoolExecutor(settings.FILES_IN_FLIGHT, "folders") as pool:
        while rows := _left(restore):
            if beat.halted():
                return False
            answers = list(pool.map(partial(_finish, target, beat), rows))
            _settle(restore, rows, answers, beat)
            for answer in answers:
                if isinstance(answer, BackupError):
                    raise answer
    return True


def again(restore: Restore) -> None:
    """What is put into folders from now on changes their times."""
    RestoreFolder.objects.filter(restore=restore).update(done=False)


def _left(restore: Restore) -> list[RestoreFolder]:
    """The next ones, what lies deeper before what holds it."""
    rows = RestoreFolder.objects.filter(restore=restore, done=False)
    return list(rows.select_related("file").order_by("-pk")[:BATCH])


def _finish(target: Target, beat: Beat, row: RestoreFolder) -> str | BackupError:
    """In a thread: what could not be as it was, or why it can't be done now."""
    path = tuple(row.path.split("/"))
    metadata = row.file.metadata if row.file else {}
    item = Item(0, path, google_names(path), row.modified_at, metadata=metadata or {})
    try:
        return retrying(lambda: target.finish_folder(item), beat.halt)
    except PermanentError as error:
        return error.message
    except BackupError as error:
        return error
    finally:
        connection.close()  # a target that reads tokens has opened one


def _settle(
    restore: Restore,
    rows: Sequence[RestoreFolder],
    answers: Sequence[str | BackupError],
    beat: Beat,
) -> None:
    done = [
        (True, note, row.pk, restore.pk)
        for row, note in zip(rows, answers, strict=True)
        if isinstance(note, str)
    ]
    with transaction.atomic():
        beat.fence()
        update_many(RestoreFolder, ["done", "note"], ["id", "restore_id"], done)
