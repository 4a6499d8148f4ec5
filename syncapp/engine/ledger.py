"""The catalog's side of a move, written in sets; every write is fenced by the lane.

A lane that was replaced finds its row ended and writes nothing: so two lanes never disagree about
where a copy lies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from syncapp.engine import lease, leftovers
from syncapp.engine.beat import LaneLost
from syncapp.engine.move_order import Step
from syncapp.engine.occupied import STORED
from syncapp.engine.sets import chunks, update_many
from syncapp.models import Copy, File, Lane, Run, Version
from syncapp.types import ObjectInfo

LOST_MESSAGE = "The object was not as the catalog has it when it was to be moved."


class Ledger:
    """What one lane of a run writes about moves."""

    def __init__(self, run: Run, lane: Lane) -> None:
        self._run, self._lane = run, lane

    def reserve(self, steps: Sequence[Step]) -> set[int]:
        """The keys that are gone to, before the store has anything under them; the copies of which
        that is true. One that has been let go meanwhile is not moved."""
        with self._fenced():
            rows = [(step.to, step.copy_id, step.here, "") for step in steps]
            update_many(Copy, ["old_key"], ["id", "object_key", "old_key"], rows)
            now = Copy.objects.filter(pk__in=[step.copy_id for step in steps], state__in=STORED)
            lie = {pk: keys for pk, *keys in now.values_list("pk", "object_key", "old_key")}
        return {step.copy_id for step in steps if lie.get(step.copy_id) == [step.here, step.to]}

    def swap(self, made: Sequence[tuple[Step, ObjectInfo]], before: Mapping[int, str]) -> set[int]:
        """From now on they lie under the new keys; those of which that is true.

        `before` are the store's versions that they were copied from.
        """
        columns = [
            *("object_key", "old_key", "old_store_version", "store_version", "etag", "state"),
            "verified_at",
        ]
        rows = [
            (
                step.to, step.here, before[step.copy_id], info.version_id, info.etag[:128],
                Copy.State.STORED, None, step.copy_id, step.here, step.to,
            )
            for step, info in made
        ]  # fmt: skip
        with self._fenced():
            update_many(Copy, columns, ["id", "object_key", "old_key"], rows)
            now = Copy.objects.filter(pk__in=[step.copy_id for step, _ in made])
            lie = {pk: keys for pk, *keys in now.values_list("pk", "object_key", "old_key")}
        return {step.copy_id for step, _ in made if lie.get(step.copy_id) == [step.to, step.here]}

    def freed(self, keys: Sequence[tuple[int, str]]) -> None:
        """Nothing lies under these second keys (copy, key) any more."""
        with self._fenced():
            rows = [("", "", copy_id, key) for copy_id, key in keys]
            update_many(Copy, ["old_key", "old_store_version"], ["id", "old_key"], rows)

    def not_begun(self, leftovers: Sequence[tuple[int, str, bool]]) -> None:
        """Copies never stored, of renamed files: (copy, key, whether something lies there).

        They get their key anew; what an earlier worker left is removed once they are stored.
        """
        with self._fenced():
            rows = [("", key if lies else "", pk, key, "") for pk, key, lies in leftovers]
            update_many(Copy, ["object_key", "old_key"], ["id", "object_key", "old_key"], rows)

    def lost(self, rows: Sequence[tuple[int, str, str, bool]]) -> None:
        """(copy, key, error code, whether anything lies there): to be made anew at once.

        What Google does not give any more (old contents, files that are gone) can't be made anew
        from there; it is damaged.
        """
        current = dict(
            Copy.objects.filter(
                pk__in=[pk for pk, *_ in rows], version__current=True,
                version__file__vanished_at__isnull=True, version__file__problem="",
            ).values_list("pk", "version_id")
        )  # fmt: skip
        columns = ["state", "object_key", "old_key", "error_code", "error_message"]
        written = [
            (Copy.State.PENDING, "", key if lies else "", code, LOST_MESSAGE, pk, key)
            if pk in current
            else (Copy.State.DAMAGED, key, "", code, LOST_MESSAGE, pk, key)
            for pk, key, code, lies in rows
        ]
        with self._fenced():
            left = Copy.objects.filter(pk__in=[pk for pk, *_ in rows])
            leftovers.note(left, ["old_key"])  # perhaps copied there, and not as it should be
            update_many(Copy, columns, ["id", "object_key"], written)
            # Those that wait already are counted already.
            settled = Version.objects.filter(pk__in=current.values()).exclude(
                state=Version.State.PENDING
            )
            count = settled.update(state=Version.State.PENDING, attempts=0, due_at=timezone.now())
            Run.objects.filter(pk=self._run.pk).update(files_total=F("files_total") + count)

    def settle(self, files: Collection[int], moved: int) -> None:
        """All copies of these files lie where they should; `moved` of them were moved now.

        Not if the run has ended: the next one's scan may have found them elsewhere since.
        """
        with self._fenced():
            if not lease.under_way(self._run):
                return
            for some in chunks(files, 500):
                File.objects.filter(pk__in=some).update(move_due=False)
            Run.objects.filter(pk=self._run.pk).update(files_moved=F("files_moved") + moved)

    @contextmanager
    def _fenced(self) -> Iterator[None]:
        with transaction.atomic():
            ours = Lane.objects.select_for_update().filter(
                pk=self._lane.pk, owner=self._lane.owner, ended_at__isnull=True
            )
            if not ours.exists():
                raise LaneLost("This lane was replaced while it moved files.")
            yield
