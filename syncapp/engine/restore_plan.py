"""What a restore will bring back, written down item by item.

Planning is done in sets and costs memory for one way down the tree: a folder's names while what is
below it is being written. A plan that was cut off is made anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils import timezone

from syncapp.engine import keys, restorable
from syncapp.engine.beat import Beat
from syncapp.engine.moment import Chosen, descend
from syncapp.engine.sets import by_pk, insert_many
from syncapp.models import Restore, RestoreFolder, RestoreItem, Run
from syncapp.types import Content

NOT_STORED = "not_stored"
_MARK = "\0"  # in no name of Google's
# Where folders have times; what a drill makes is removed at once.
_WITH_FOLDERS = [Restore.Target.FOLDER, Restore.Target.DRIVE]
_FOLDER_COLUMNS = ["restore_id", "file_id", "path", "modified_at", "done", "note"]
_COLUMNS = [
    *("restore_id", "file_id", "version_id", "path", "size", "state", "due_at", "attempts"),
    *("origin_id", "placed", "error_code", "error_message"),
]


class Names:
    """Names as they are written down: components for any file system, or as Google has them.

    Given files in the order of `descend`, depth first. With `exact`, `google_names` gives back what
    they are called in Google, and equal siblings are told apart by a mark behind; otherwise
    components are also cut to 255 bytes and held apart where case or Unicode form alone does it.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._exact = exact
        self._levels: list[tuple[str, _Level]] = []

    def of(self, path: Sequence[str], google: Sequence[str] = ()) -> str:
        """The written path, `/` between components. `google`: the names there, if they differ."""
        given: list[str] = []
        for depth, raw in enumerate(path):
            above = "/".join(given)
            if depth == len(self._levels):
                self._levels.append((above, _Level()))
            elif self._levels[depth][0] != above:
                del self._levels[depth:]
                self._levels.append((above, _Level()))
            level = self._levels[depth][1]
            name = google[depth] if google else raw
            given.append(level.exact(raw, name) if self._exact else level.component(raw))
        return "/".join(given)


def google_names(path: Sequence[str]) -> tuple[str, ...]:
    """What the components of an exact path are called in Google."""
    return tuple(keys.decode(component).partition(_MARK)[0] for component in path)


class _Level:
    """The names of one folder."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()
        self._equal: Counter[str] = Counter()

    def exact(self, raw: str, name: str) -> str:
        """The name in Google for `raw`, its own among siblings; marked where it came before."""
        if raw not in self._given:
            self._equal[name] += 1
            number = self._equal[name]
            marked = f"{name}{_MARK}{number}" if number > 1 else name
            self._given[raw] = keys.encode(marked)
        return self._given[raw]

    def component(self, raw: str) -> str:
        if raw not in self._given:
            made = keys.component(raw, "", raw, self._taken)
            self._given[raw] = made
            self._taken.add(keys.fold(made))
        return self._given[raw]


def plan(run: Run, restore: Restore, beat: Beat) -> bool:
    """Write down every item; False if it was told to stop before. Idempotent."""
    if restore.planned_at is not None:
        return True
    for model in (RestoreItem, RestoreFolder):
        for batch in by_pk(model.objects.filter(restore=restore)):
            model.objects.filter(pk__in=[pk for (pk,) in batch]).delete()
    names = Names(exact=restore.target == Restore.Target.DRIVE)
    files = size = 0
    folders = restore.target in _WITH_FOLDERS
    for chosen in descend(run.source_id, restore.files, restore.at, folders=folders):
        if beat.halted():  # a lane's usual end would mean planning for ever
            return False
        named = [(one, names.of(one.path, one.names)) for one in chosen]
        lost = [one.file_id for one in chosen if _is_lost(one)]
        why = restorable.reasons(lost, restore.at or timezone.now())
        rows = [_row(restore, one, path, why) for one, path in named if not one.holds]
        with transaction.atomic():
            beat.fence()
            insert_many(RestoreItem, _COLUMNS, rows)
            if folders:
                insert_many(RestoreFolder, _FOLDER_COLUMNS, _folder_rows(restore, named))
        files += len(rows)
        size += sum(one.size for one in chosen)
        Run.objects.filter(pk=run.pk).update(files_total=files, bytes_total=size)
    with transaction.atomic():
        beat.fence()
        Restore.objects.filter(pk=restore.pk).update(planned_at=timezone.now())
        Run.objects.filter(pk=run.pk).update(
            files_total=files, bytes_total=size, files_refused=never_stored(restore)
        )
    restore.refresh_from_db()
    return True


def never_stored(restore: Restore) -> int:
    """Items of which no content was stored at the moment: nothing that a restore could bring."""
    failed = restore.items.filter(state=RestoreItem.State.FAILED, error_code=NOT_STORED)
    return failed.filter(version__isnull=True).count()


def _is_lost(chosen: Chosen) -> bool:
    return chosen.version_id is None and chosen.content != Content.FOLDER


def _row(restore: Restore, chosen: Chosen, path: str, why: Mapping[int, str]) -> tuple[object, ...]:
    lost = _is_lost(chosen)
    state = RestoreItem.State.FAILED if lost else RestoreItem.State.PENDING
    code, message = (NOT_STORED, why[chosen.file_id]) if lost else ("", "")
    about = (restore.pk, chosen.file_id, chosen.version_id, path, chosen.size)
    return (*about, state, timezone.now(), 0, None, "", code, message)


def _folder_rows(restore: Restore, named: Sequence[tuple[Chosen, str]]) -> list[tuple[object, ...]]:
    return [
        (restore.pk, one.file_id, path, one.modified_at, False, "")
        for one, path in named
        if one.content == Content.FOLDER
    ]
