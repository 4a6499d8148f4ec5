"""`manage.py erase`: forget files, folders or a whole account everywhere, and prove it.

    erase SOURCE --file PATH … | --folder PATH … | --account [--all-but-locked] --yes
    erase list | report ERASURE | resume ERASURE [--give-up DESTINATION --yes] | forget ERASURE

Exit: 0 erased and proven, or only asked for without --wait; 1 refused, or something is still there;
2 usage; 4 no worker. `resume` goes on with one that was stopped, on wish
without a destination that is lost for good. `forget` deletes the report of one
that is proven or was refused, the last place that has the names, with all backups of the database,
which hold it; refused, and nothing deleted, where they can't be removed now.

JSON, stable: {exit_code, erasures: [E]}. E: id, source, what, account, all_but_locked, created_at,
surveyed_at, marked_at, removed_at, rewritten_at, proven_at, files_erased, objects, absent,
protected, protected_until, given_up ([{destination, place, at, by}]), outcome, error_code,
error_message (of its last run; null if that went with its source).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from getpass import getuser
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import erasure_given_up, erasure_report, erasure_scope, runs
from syncapp.engine.erase import request_erasure
from syncapp.engine.folders import Folders
from syncapp.engine.restore_paths import find
from syncapp.management import lookup
from syncapp.management.base import START_WORKERS, Exit, ReportCommand, add_json, usage
from syncapp.management.output import moment, printable, table
from syncapp.models import Erasure, File, Run, Source
from syncapp.types import Content, JsonObject
from syncapp.words import counted

_LOOK_S = 0.5
_STEPS = ("surveyed_at", "marked_at", "removed_at", "rewritten_at", "proven_at")


class Command(ReportCommand):
    """Right to be forgotten."""

    help = "Erase files, folders or a whole account everywhere, with a proof; list the erasures."
    examples = (
        '1 --file "My Drive/Letters/old.pdf"',
        '1 --folder "My Drive/Letters" --yes --wait',
        "report 3",
    )
    pause = staticmethod(time.sleep)

    def add_arguments(self, parser: CommandParser) -> None:
        """What, or which erasure."""
        parser.add_argument(
            "source",
            metavar="SOURCE",
            help="Id, slug or name; or list, report, resume, forget.",
        )
        parser.add_argument("erasure", nargs="?", type=int, metavar="ERASURE", help="Its number.")
        for name, what in (("file", "A file"), ("folder", "A folder and all that is in it")):
            parser.add_argument(
                f"--{name}",
                nargs="+",
                action="extend",
                default=[],
                metavar="PATH",
                help=f"{what}: its path, or id:N; several may be named.",
            )
        parser.add_argument(
            "--account",
            action="store_true",
            help="All of the source, the source itself, and its Google account.",
        )
        parser.add_argument(
            "--all-but-locked",
            action="store_true",
            help="Erase what no object lock protects; else a single lock refuses all of it.",
        )
        parser.add_argument(
            "--give-up",
            metavar="DESTINATION",
            help="With resume: go on without one that is lost for good; the report says so.",
        )
        parser.add_argument("--yes", action="store_true", help="Do it; without, only tell.")
        parser.add_argument("--wait", action="store_true", help="Wait for the end.")
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """An action, or an erasure."""
        actions = {
            "list": self._list,
            "report": self._report,
            "resume": self._resume,
            "forget": self._forget,
        }
        action = actions.get(options["source"])
        return action(options) if action else self._erase(options)

    def _erase(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        chosen = [_found(source, path, folder=False) for path in options["file"]]
        chosen += [_found(source, path, folder=True) for path in options["folder"]]
        if bool(chosen) == options["account"]:
            raise usage("Say what: --file, --folder, or --account.")
        erasure = Erasure(
            owner=source.owner,
            source=source,
            source_name=source.name,
            what=_told(source, chosen),
            files=[file.pk for file in chosen],
            account=options["account"],
            all_but_locked=options["all_but_locked"],
        )
        if not options["yes"]:
            files, objects = erasure_scope.count(erasure, source)
            self.say(
                f"Would erase {printable(erasure.what)}: {_files(files)}, "
                f"{counted(objects, 'stored object')}. Nothing can bring them back; add --yes."
            )
            return Exit.OK
        return self._begin(source, erasure, options)

    def _begin(self, source: Source, erasure: Erasure, options: dict[str, Any]) -> Exit:
        alive = runs.worker_alive()
        if options["wait"] and not alive:
            self.warn(f"No worker is running; nothing was started. {START_WORKERS}")
            return Exit.NO_WORKER
        request_erasure(source, erasure)
        code = self._wait(erasure) if options["wait"] else Exit.OK
        if options["json"]:
            self.give({"exit_code": int(code), "erasures": [_document(erasure)]})
        elif options["wait"]:
            self.say(_ended(erasure))
        else:
            self.say(f"Erasure {erasure.pk} of “{printable(source.name)}” is queued.")
        if not alive:
            self.warn(f"No worker is running: it waits until there is one. {START_WORKERS}")
        return code

    def _wait(self, erasure: Erasure) -> Exit:
        try:
            while True:
                # With its run, in one look: an account's goes with its source.
                erasure.refresh_from_db(from_queryset=Erasure.objects.select_related("run"))
                run = erasure.run
                if run is None or run.ended_at is not None:
                    done = erasure.proven_at is not None
                    good = run is None or run.outcome in runs.GOOD
                    return Exit.OK if done and good else Exit.FAILED
                self.pause(_LOOK_S)
        except KeyboardInterrupt:
            self.warn(f"Detached: erasure {erasure.pk} goes on. `erase list` shows how far it is.")
            return Exit.DETACHED

    def _list(self, options: dict[str, Any]) -> Exit:
        rows = list(Erasure.objects.select_related("run").order_by("-pk"))
        if options["json"]:
            self.give({"exit_code": 0, "erasures": [_document(row) for row in rows]})
        elif rows:
            headings = ("ID", "SOURCE", "ASKED FOR", "STATE", "FILES", "OBJECTS", "ABSENT")
            self.say(table(headings, map(_row, rows)))
        else:
            self.say("Nothing was ever erased.")
        return Exit.OK

    def _report(self, options: dict[str, Any]) -> Exit:
        for line in erasure_report.lines(_named(options)):
            self.say(line)
        return Exit.OK

    def _resume(self, options: dict[str, Any]) -> Exit:
        erasure = _named(options)
        if erasure.source is None or erasure.proven_at is not None:
            raise usage(f"Erasure {erasure.pk} is at its end.")
        erasure.all_but_locked |= options["all_but_locked"]
        if options["give_up"] and not self._give_up(erasure, options):
            return Exit.OK
        return self._begin(erasure.source, erasure, options)

    def _give_up(self, erasure: Erasure, options: dict[str, Any]) -> bool:
        """Whether it was done; only told without --yes."""
        destination = lookup.find_destination(options["give_up"])
        try:
            erasure_given_up.refuse(erasure, destination)
        except erasure_given_up.GiveUpRefused as error:
            raise usage(error.message) from error
        if not options["yes"]:
            self.say(
                f"Would go on without {printable(destination.name)}: nothing is erased there, and "
                "the report says so for good. Only for one that is lost; add --yes."
            )
            return False
        erasure_given_up.give_up(erasure, destination, f"{getuser()} on the command line")
        return True

    def _forget(self, options: dict[str, Any]) -> Exit:
        try:
            erasure_report.forget(_named(options))
        except erasure_report.ForgetRefused as error:
            raise usage(error.message) from error
        self.say(
            "Its report is deleted, and all backups of the database, which held it; new ones are "
            "made soon."
        )
        return Exit.OK


def _named(options: dict[str, Any]) -> Erasure:
    erasure = Erasure.objects.filter(pk=options["erasure"] or 0).select_related("run").first()
    if erasure is None:
        raise usage("Say which erasure, by its number: `erase list` has them.")
    return erasure


def _found(source: Source, path: str, *, folder: bool) -> File:
    """The only file (or folder) that the path can mean, gone or not."""
    if path.startswith("id:") and path[3:].isdecimal():
        files = list(File.objects.filter(source=source, pk=int(path[3:])))
    else:
        files = find(source, path, None)
    kind = "folder" if folder else "file"
    files = [file for file in files if (file.content == Content.FOLDER) == folder]
    if not files:
        raise usage(f"There is no {kind} “{printable(path)}” in “{printable(source.name)}”.")
    if len(files) > 1:
        ids = ", ".join(f"id:{file.pk}" for file in files)
        raise usage(f"“{printable(path)}” is the path of several: {ids}.")
    return files[0]


def _told(source: Source, chosen: Sequence[File]) -> str:
    if not chosen:
        return f"all of {source.name} and the Google account {source.account.email}"
    folders = Folders(source.pk)
    return ", ".join(f"“{folders.path(file.parent_id, file.name)}”" for file in chosen)


def _files(number: int) -> str:
    return "1 file or folder" if number == 1 else f"{number:,} files and folders"


def _ended(erasure: Erasure) -> str:
    run = erasure.run
    if run is not None and run.outcome not in runs.GOOD:
        return printable(run.error_message)
    absent = erasure.objects_erased.filter(absent_at__isnull=False).count()
    return (
        f"Erased: {_files(erasure.files_erased)}; {counted(absent, 'object')} asked for once "
        f"more and found absent. The report: `manage.py erase report {erasure.pk}`."
        + "".join(f" {printable(told)}" for told in erasure_given_up.told(erasure))
    )


def _row(erasure: Erasure) -> Sequence[object]:
    objects = erasure.objects_erased
    absent = objects.filter(absent_at__isnull=False).count()
    counts = erasure.files_erased, objects.count(), absent
    asked = moment(erasure.created_at)
    return erasure.pk, erasure.source_name, asked, _state(erasure), *counts


def _state(erasure: Erasure) -> str:
    if erasure.proven_at is not None:
        return "erased, but for what was given up" if erasure.given_up else "erased"
    run: Run | None = erasure.run
    if run is None:
        return "not begun"
    if run.ended_at is None:
        return "under way"
    return "stopped" if erasure.marked_at else "refused"


def _document(erasure: Erasure) -> JsonObject:
    count, _, last = erasure_scope.locked(erasure)
    objects = erasure.objects_erased
    run = erasure.run
    return {
        "id": erasure.pk,
        "source": erasure.source.slug if erasure.source else None,
        "what": erasure.what,
        "account": erasure.account,
        "all_but_locked": erasure.all_but_locked,
        "created_at": erasure.created_at,
        **{step: getattr(erasure, step) for step in _STEPS},
        "files_erased": erasure.files_erased,
        "objects": objects.count(),
        "absent": objects.filter(absent_at__isnull=False).count(),
        "protected": count,
        "protected_until": last,
        "given_up": erasure.given_up,
        "outcome": run.outcome if run else None,
        "error_code": run.error_code if run else None,
        "error_message": run.error_message if run else None,
    }
