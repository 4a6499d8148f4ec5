"""The erase lane: everything of some files, or of a whole account, gone everywhere; and proven so.

    1. survey     every object, strays too, and what a lock protects; nothing is changed yet.
                  If anything is locked it ends here, unless the rest was asked for
    2. mark       tombstones hold: no scan writes these files down again, no lane works on them
    3. remove     copies (`remove`), unfinished uploads, strays; then rows, and names in messages
    4. rewrite    the catalog's segments and the database's backups, which had them
    5. prove      each object is asked for once more

Each step is idempotent and noted when it is done, so the next lane goes on there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from syncapp.destinations.base import FOR_EVER
from syncapp.engine import (
    erasure_account,
    erasure_given_up,
    erasure_rows,
    erasure_scope,
    remove,
    restoring,
    runs,
    segments,
)
from syncapp.engine.adapters import destination_for
from syncapp.engine.beat import Beat
from syncapp.engine.erased import ERASED
from syncapp.engine.remove import Remover
from syncapp.engine.sets import by_pk
from syncapp.engine.sites import Site
from syncapp.errors import BackupError, ConfigurationError, ObjectLocked, TransientError
from syncapp.models import (
    Copy,
    Destination,
    Erased,
    ErasedObject,
    Erasure,
    File,
    Lane,
    PartialUpload,
    Run,
    ScanProgress,
    Source,
    Version,
)
from syncapp.words import counted

WAIT_S = 0.5  # between looks whether others have let go
# What may write objects of these files; it begins again by itself.
_IN_THE_WAY = [Run.Kind.BACKUP, Run.Kind.VERIFY, Run.Kind.PRUNE, Run.Kind.DRILL]


class EraseRefused(BackupError):
    """Something stands in the way; the message says what, and that nothing was erased, if so."""

    code = "erase_refused"


class Stopped(Exception):
    """The lane was told to stop: the next one goes on."""


def erase(run: Run, lane: Lane, beat: Beat) -> None:
    """Work until it is all erased and proven, refused, or the lane is told to stop."""
    erasure = Erasure.objects.get(run=run)
    with ExitStack() as stack:
        try:
            _Erasing(run, lane, beat, erasure, stack).run()
        except Stopped:
            return
        except ConfigurationError as error:
            # The source works; this can't be done.
            told = EraseRefused(_and_so(erasure, error.message), code=error.code)
            runs.fail(run, told)


def _and_so(erasure: Erasure, message: str) -> str:
    so = "Nothing was erased." if erasure.marked_at is None else "Resume it when that is mended."
    lost = f"`erase resume {erasure.pk} --give-up DESTINATION` goes on without one that is lost."
    return f"{message} {so} {lost}"


class _Erasing:
    """One lane's work."""

    def __init__(
        self, run: Run, lane: Lane, beat: Beat, erasure: Erasure, stack: ExitStack
    ) -> None:
        self.job, self.lane, self.beat, self.erasure = run, lane, beat, erasure
        self.source = run.source
        self._stack = stack
        self._sites: dict[int, Site] = {}
        self._given_up = erasure_given_up.places(erasure)

    def run(self) -> None:
        """The steps that are still to be done, in their order."""
        erasure = self.erasure
        erasure_rows.overwrite_what_is_deleted()
        if erasure.surveyed_at is None:
            self._survey()
            self._done("surveyed_at")
        if erasure.marked_at is None:
            count, first, last = erasure_scope.locked(erasure)
            if count and first and last and not erasure.all_but_locked:
                erasure_scope.forget_list(erasure)
                runs.fail(self.job, _locked(count, first, last))
                return
            self._mark()
        if erasure.removed_at is None:
            self._stop_others()
            self._remove()
            self._done("removed_at")
        if erasure.rewritten_at is None:
            self._rewrite()
            self._done("rewritten_at")
        self._prove()
        self._end()

    def _go_on(self) -> bool:
        self.beat.raise_if_lost()
        return self.beat.may_take()

    def _check(self) -> None:
        if not self._go_on():
            raise Stopped

    def _done(self, step: str) -> None:
        with transaction.atomic():
            self.beat.fence()
            setattr(self.erasure, step, timezone.now())
            self.erasure.save(update_fields=[step])

    def _places(self) -> list[Destination]:
        """Where anything of the source is or may be, but for what was given up."""
        holds = Copy.objects.filter(version__source=self.source).order_by()
        wanted = set(holds.values_list("destination_id", flat=True).distinct())
        wanted |= set(self.source.destinations.values_list("pk", flat=True))
        wanted |= set(
            ErasedObject.objects.filter(erasure=self.erasure, destination__isnull=False)
            .order_by()
            .values_list("destination_id", flat=True)
            .distinct()
        )
        wanted -= set(self._given_up)
        return list(Destination.objects.filter(pk__in=wanted).order_by("pk"))

    def _site(self, row: Destination) -> Site:
        if row.pk not in self._sites:
            site = Site(row.pk, destination_for(row), self.beat, settings.FILES_IN_FLIGHT)
            self._stack.callback(site.close)
            self._sites[row.pk] = site
        return self._sites[row.pk]

    def _survey(self) -> None:
        """Ends early only when it must: a destination has to be looked through in one go."""
        erasure, progress = self.erasure, ScanProgress.objects.get_or_create(run=self.job)[0]
        if not erasure_scope.list_files(erasure, self.source, self._may_survey):
            raise Stopped
        for file_ids in erasure_scope.listed(erasure):
            if not self._may_survey():
                raise Stopped
            erasure_scope.note_copies(erasure, file_ids)
        done = list(progress.after.get("surveyed", []))
        for row in self._places():
            if row.pk not in done:
                if not erasure_scope.look(erasure, self._site(row), self.source, self._may_survey):
                    raise Stopped
                done.append(row.pk)
                ScanProgress.objects.filter(pk=progress.pk).update(after={"surveyed": done})

    def _may_survey(self) -> bool:
        self.beat.raise_if_lost()
        return not self.beat.halted()

    def _mark(self) -> None:
        """From this commit on it is decided."""
        with transaction.atomic():
            self.beat.fence()
            self.erasure.marked_at = timezone.now()
            self.erasure.save(update_fields=["marked_at"])
            if self.erasure.account:
                Source.objects.filter(pk=self.source.pk).update(paused=True)

    def _stop_others(self) -> None:
        """Nobody may be sending or moving objects of these files when they are removed."""
        for file_ids in erasure_scope.listed(self.erasure):
            self._check()
            with transaction.atomic():
                self.beat.fence()
                File.objects.filter(pk__in=file_ids).exclude(problem=ERASED).update(problem=ERASED)
                Version.objects.filter(file__in=file_ids, state=Version.State.PENDING).update(
                    state=Version.State.SUPERSEDED, lease_owner=""
                )
        others = Run.objects.filter(source=self.source, ended_at__isnull=True)
        for other in others.filter(kind__in=_IN_THE_WAY):
            restoring.cancel(other)
        lanes = Lane.objects.filter(
            run__source=self.source, run__kind__in=_IN_THE_WAY, ended_at__isnull=True
        ).exclude(owner="")
        while lanes.filter(run__ended_at__isnull=False).exists():
            self._check()
            self.beat.wait(WAIT_S)

    def _remove(self) -> None:
        with Remover(self.job, self.beat, erasing=True, without=self._given_up) as remover:
            remover.finish()
            for file_ids in erasure_scope.listed(self.erasure):
                self._check()
                self._abort_uploads(file_ids)
                erasure_scope.note_copies(self.erasure, file_ids)
                with transaction.atomic():
                    self.beat.fence()
                    copies = Copy.objects.filter(version__file__in=file_ids)
                    copies.filter(destination__in=self._given_up).delete()
                    copies.update(state=Copy.State.RELEASED)
                remover.finish()
                _raise_for(remover)
                self._check()
                with transaction.atomic():
                    self.beat.fence()
                    erasure_rows.forget(self.erasure, self.source, file_ids)
            self._note_locked()
        self._purge(ErasedObject.objects.filter(erasure=self.erasure, stray=True))
        erasure_rows.forget_for_all(self.erasure, self.source)
        erasure_rows.settle_indexes()

    def _abort_uploads(self, file_ids: list[int]) -> None:
        uploads = PartialUpload.objects.filter(copy__version__file__in=file_ids).exclude(
            copy__destination__in=self._given_up
        )
        for upload in uploads.select_related("copy__destination"):
            site = self._site(upload.copy.destination)
            answer = site.call(partial(erasure_scope.abort, site.store, upload))
            if isinstance(answer, BackupError):
                raise answer
            upload.delete()

    def _note_locked(self) -> None:
        """Locks that came up only now."""
        rows = Copy.objects.filter(
            version__source=self.source, locked_until__gt=timezone.now(),
            version__file__in=Erased.objects.filter(erasure=self.erasure).values("file_pk"),
        )  # fmt: skip
        for where, key, version, until in rows.values_list(
            "destination_id", "object_key", "store_version", "locked_until"
        ):
            ErasedObject.objects.filter(
                erasure=self.erasure, destination_id=where, object_key=key, store_version=version
            ).update(locked_until=until)

    def _purge(self, rows: QuerySet[ErasedObject]) -> None:
        """Remove these objects, as far as no copy claims their keys by now."""
        for site, some in self._batches(rows):
            taken = remove.claimed(
                site.destination_id, [key for _, key, version in some if not version]
            )
            free = [one for one in some if one[2] or one[1] not in taken]
            calls = (partial(site.store.purge, key, version_id=v) for _, key, v in free)
            for (pk, *_), answer in zip(free, site.each(calls), strict=True):
                if isinstance(answer, ObjectLocked):
                    ErasedObject.objects.filter(pk=pk).update(locked_until=answer.until)
                elif isinstance(answer, BackupError):
                    raise answer

    def _batches(
        self, rows: QuerySet[ErasedObject]
    ) -> Iterator[tuple[Site, list[tuple[int, str, str]]]]:
        for row in self._places():
            site = self._site(row)
            mine = rows.filter(destination=row)
            for some in by_pk(mine, "object_key", "store_version", size=500):
                self._check()
                yield site, some

    def _rewrite(self) -> None:
        try:
            notes = segments.rewrite(self.source)
        except segments.RewriteRefused as error:
            raise TransientError(error.message, code=error.code) from error
        self.erasure.notes = [*self.erasure.notes, *notes]
        self.erasure.save(update_fields=["notes"])

    def _prove(self) -> None:
        """Ask for each object once more; what is there against all expectation is removed again."""
        left = ErasedObject.objects.filter(
            erasure=self.erasure, absent_at__isnull=True, locked_until__isnull=True
        ).exclude(destination__in=self._given_up)
        self._purge(self._ask(left))
        still = self._ask(left).count()
        if still:
            message = f"Still there: {counted(still, 'object')}; resume it."
            raise TransientError(message, code="not_erased")

    def _ask(self, left: QuerySet[ErasedObject]) -> QuerySet[ErasedObject]:
        """Note which of these are absent; the others."""
        now = timezone.now()
        for site, some in self._batches(left):
            calls = (partial(erasure_scope.is_absent, site.store, key, v) for _, key, v in some)
            answers = site.each(calls)
            absent = []
            for (pk, *_), answer in zip(some, answers, strict=True):
                if isinstance(answer, BackupError):
                    raise answer
                if answer:
                    absent.append(pk)
            ErasedObject.objects.filter(pk__in=absent).update(absent_at=now)
        return left

    def _end(self) -> None:
        self.erasure.refresh_from_db()
        count, first, last = erasure_scope.locked(self.erasure)
        Erased.objects.filter(erasure=self.erasure, file_pk__isnull=True).update(erasure=None)
        if self.erasure.account and not count:
            proven = partial(self._done, "proven_at")
            erasure_account.forget(self.erasure, self.source, self._places(), proven)
            return
        self._done("proven_at")
        absent = ErasedObject.objects.filter(erasure=self.erasure, absent_at__isnull=False)
        message = (
            f"Files and folders erased: {self.erasure.files_erased:,}; "
            f"{counted(absent.count(), 'object')} asked for once more and found absent. "
            f"The report is that of erasure {self.erasure.pk}."
        )
        if count and first and last:
            message += f" {_protected(count, first, last)}"
        message = " ".join([message, *erasure_given_up.told(self.erasure)])
        outcome = Run.Outcome.WARNINGS if count or self._given_up else Run.Outcome.OK
        runs.complete(self.job, message, outcome=outcome)


def request_erasure(source: Source, erasure: Erasure) -> Run:
    """Begin what the erasure (new, or stopped before its end) asks for.

    EraseRefused while another of the source is under way or not at its end.
    """
    erasure_rows.overwrite_what_is_deleted()  # earlier states of the report's rows, too
    others = Erasure.objects.filter(source=source, proven_at__isnull=True).exclude(pk=erasure.pk)
    open_ones = others.filter(Q(marked_at__isnull=False) | Q(run__ended_at__isnull=True))
    active = Run.objects.filter(source=source, kind=Run.Kind.ERASE, ended_at__isnull=True)
    if (other := open_ones.exclude(run=None).first()) or active.exists():
        number = f" {other.pk}" if other else ""
        raise EraseRefused(f"Erasure{number} of {source.name} is not at its end: resume it first.")
    if erasure.proven_at is not None:
        raise EraseRefused(f"Erasure {erasure.pk} is done already.")
    with transaction.atomic():
        run, new = runs.request_erase(source, by=erasure.owner)
        if not new:
            raise EraseRefused(f"Something else of {source.name} is just being erased.")
        if erasure.marked_at is None:
            # Locks end, and other objects come: it is looked at anew.
            erasure.surveyed_at = None
            ErasedObject.objects.filter(erasure_id=erasure.pk).delete()
        erasure.run = run
        erasure.save()
    return run


def _raise_for(remover: Remover) -> None:
    """What could not be removed is tried by the next lane, a few times."""
    for told in remover.told.values():
        if told.error is not None:
            raise TransientError(told.error.message, code=told.error.code)


def _locked(count: int, first: datetime, last: datetime) -> EraseRefused:
    told = f"Nothing was erased: {_protected(count, first, last)}"
    return EraseRefused(f"{told} Erase then, or all but those now.", code=ObjectLocked.code)


def _protected(count: int, first: datetime, last: datetime) -> str:
    until = _until(last) if first == last else f"{_until(first)} to {_until(last)}"
    return f"{counted(count, 'object')} protected by a store, until {until}."


def _until(moment: datetime) -> str:
    return "somebody ends it" if moment >= FOR_EVER else f"{moment:%Y-%m-%d %H:%M} UTC"
