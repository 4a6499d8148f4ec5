"""`manage.py restore`: bring back files and folders, as they were at any moment.

    restore SOURCE [PATH …] --to /folder | --to-destination NAME | --to-drive
    restore list | report RUN | pause RUN | resume RUN | cancel RUN

Exit: 0 everything that was stored is restored (or was there already, or was left alone where
something else has its name), or only asked for without --wait; 1 a file could not be restored;
2 usage; 4 no worker; 5 paused: a person must act.

JSON, stable. Queued: {exit_code, restores: [restore]}; with --wait also {reason}; --dry-run:
{estimate}; list: {restores: [restore]}; report: {restore, items: [{path, size, sha256, origin,
result, placed, error_code, error_message}]}. Keys: `management/restores.py`.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import restorable, restore_report, restoring, runs, targets
from syncapp.engine.restore_estimate import Estimate, estimate
from syncapp.engine.restore_paths import find
from syncapp.management import lookup, restores
from syncapp.management.base import START_WORKERS, Exit, ReportCommand, add_json, usage
from syncapp.management.output import printable, table
from syncapp.management.progress import Display
from syncapp.management.watch import Watch
from syncapp.models import Restore, RestoreItem, Run, Source
from syncapp.types import JsonObject
from syncapp.words import counted

LISTED = 50
LACKING = (RestoreItem.State.FAILED, RestoreItem.State.SKIPPED)


class Command(ReportCommand):
    """Bring something back."""

    help = "Restore files and folders, as they were at any moment; list and steer restores."
    examples = (
        '1 "My Drive/Letters" --to /srv/back --dry-run',
        '1 "My Drive/Letters" --at 2026-11-01 --to /srv/back --wait',
        "1 --to-drive --convert",
        "list",
        "report 12",
    )
    pause = staticmethod(time.sleep)

    def add_arguments(self, parser: CommandParser) -> None:
        """What, from where, to where, how."""
        parser.add_argument(
            "source",
            metavar="SOURCE",
            help="Id, slug or name; or list, report, pause, resume, cancel.",
        )
        parser.add_argument(
            "paths",
            metavar="PATH",
            nargs="*",
            help="Files and folders, from the top; id:N names one by its id. None: everything. "
            "After report, pause, resume, cancel: the run.",
        )
        parser.add_argument(
            "--at",
            metavar="TIME",
            help="As it was then: 2026-11-25 or 2026-11-25T14:30. Else: now.",
        )
        _add_targets(parser)
        parser.add_argument(
            "--from", dest="origin", metavar="NAME", help="Read from this one only."
        )
        parser.add_argument(
            "--prefer",
            choices=[Restore.Prefer.FASTEST, Restore.Prefer.CHEAPEST],
            default=Restore.Prefer.FASTEST,
            help="Of several destinations, which to read from.",
        )
        parser.add_argument(
            "--collision",
            choices=Restore.Collision.values,
            default=Restore.Collision.SKIP,
            help="What to do where something else has the name.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only say what it would mean.")
        parser.add_argument("--wait", action="store_true", help="Wait for the end, with progress.")
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """An action, or a restore."""
        actions = {
            "list": self._list,
            "report": self._report,
            "pause": self._pause,
            "resume": self._resume,
            "cancel": self._cancel,
        }
        action = actions.get(options["source"])
        return action(options) if action else self._restore(options)

    def _restore(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        at = lookup.find_past(options["at"], "--at")
        files = [_file_id(source, path, at) for path in options["paths"]]
        origin = lookup.find_destination(options["origin"]) if options["origin"] else None
        prefer = Restore.Prefer.NAMED if origin else options["prefer"]
        restoring.check_origin(source, prefer, origin)
        if options["dry_run"]:
            if options["wait"]:
                raise usage("--dry-run starts nothing, so there is nothing to --wait for.")
            if options["to"] or options["to_destination"] or options["to_drive"]:
                kept = targets.check(source, *_target(options), None)
                if options["to"]:
                    targets.look_at_folder(kept["path"])
            restorable.check(source, files, at)
            origin_id = origin.pk if origin else None
            kind = Restore.Target.DRIVE if options["to_drive"] else Restore.Target.FOLDER
            onto = options["to_destination"] and lookup.find_destination(options["to_destination"])
            found = estimate(
                source, files=files, at=at, prefer=prefer, origin_id=origin_id, target=kind,
                onto=onto or None,
            )  # fmt: skip
            return self._tell_estimate(found, options)
        target, wanted = _target(options)
        alive = runs.worker_alive()
        if options["wait"] and not alive:
            self.warn(f"No worker is running; nothing was started. {START_WORKERS}")
            return Exit.NO_WORKER
        run = restoring.request_restore(
            source,
            target=target,
            options=wanted,
            files=files,
            at=at,
            prefer=prefer,
            origin=origin,
            collision=options["collision"],
            convert=options["convert"],
            permissions=options["permissions"],
        )
        code = self._wait(run, options) if options["wait"] else self._tell_asked(run, options)
        if not alive:
            self.warn(f"No worker is running: it waits until there is one. {START_WORKERS}")
        return code

    def _tell_estimate(self, found: Estimate, options: dict[str, Any]) -> Exit:
        if options["json"]:
            self.give({"estimate": restores.estimate_document(found)})
            return Exit.OK
        for line in restores.estimate_lines(found):
            self.say(printable(line))
        return Exit.OK

    def _tell_asked(self, run: Run, options: dict[str, Any]) -> Exit:
        if options["json"]:
            self.give({"exit_code": 0, "restores": [restores.restore_document(run.restore)]})
        else:
            self.say(f"Run {run.pk}: the restore of “{printable(run.source.name)}” is queued.")
        return Exit.OK

    def _wait(self, run: Run, options: dict[str, Any]) -> Exit:
        display = Display(self.stderr)
        try:
            ended = Watch([run], display, pause=self.pause).until_ended()
        except KeyboardInterrupt:
            self.warn(f"Detached: run {run.pk} goes on. `manage.py restore list` shows how far.")
            return Exit.DETACHED
        run.refresh_from_db()
        code = restores.judge(run) if run.ended_at else ended.code
        restore = Restore.objects.select_related("run__source", "origin").get(run=run)
        if options["json"]:
            document = restores.restore_document(restore)
            self.give({"exit_code": int(code), "reason": ended.reason, "restores": [document]})
        else:
            self.say(table(restores.HEADINGS, [restores.row(restore)]))
            if run.error_message:
                self.say(f"\n{printable(run.error_message)}")
            self._tell_lacking(restore)
        if ended.reason:
            self.warn(printable(ended.reason))
        return code

    def _tell_lacking(self, restore: Restore) -> None:
        lacking = restore.items.filter(state__in=LACKING).order_by("state", "pk")
        for path, code, message in lacking.values_list("path", "error_code", "error_message")[
            :LISTED
        ]:
            reason = f" [{code}]" if code else ""
            self.say(f"  {printable(path)}{reason}: {printable(message)}")
        if lacking.count() > LISTED:
            self.say(f"  … all: `manage.py restore report {restore.run_id}`")

    def _list(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["paths"][0]) if options["paths"] else None
        found = list(restoring.restores_of(source)[:LISTED])
        if options["json"]:
            self.give({"restores": [restores.restore_document(restore) for restore in found]})
        elif found:
            self.say(table(restores.HEADINGS, map(restores.row, found)))
            for restore in found:
                waits = "" if restore.run.ended_at else restoring.waits_for(restore.run)
                if waits or (restore.run.paused and restore.run.error_message):
                    reason = waits or restore.run.error_message
                    self.say(f"run {restore.run_id}: {printable(reason)}")
        else:
            self.say("Nothing has been restored yet.")
        return Exit.OK

    def _report(self, options: dict[str, Any]) -> Exit:
        restore = _named(options)
        lines = restore_report.as_json if options["json"] else restore_report.text
        for line in lines(restore):
            self.stdout.write(line, ending="")
        return Exit.OK

    def _pause(self, options: dict[str, Any]) -> Exit:
        return self._steer(options, runs.pause_run, "paused")

    def _resume(self, options: dict[str, Any]) -> Exit:
        return self._steer(options, runs.resume_run, "going on")

    def _cancel(self, options: dict[str, Any]) -> Exit:
        return self._steer(options, restoring.cancel, "cancelled")

    def _steer(self, options: dict[str, Any], act: Any, state: str) -> Exit:
        run = _named(options).run
        done = act(run)
        run.refresh_from_db()
        told = f"Run {run.pk} is {state}." if done else f"Run {run.pk} is unchanged."
        self.say(f"{told} State: {restores.state_of(run)}.")
        return Exit.OK


def _add_targets(parser: CommandParser) -> None:
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--to", metavar="FOLDER", help="A folder of this server; it may be new.")
    target.add_argument("--to-destination", metavar="NAME", help="Another destination.")
    target.add_argument("--to-drive", action="store_true", help="A new folder in Google Drive.")
    parser.add_argument(
        "--folder", default="", help="There: the folder's name. Without it: today's date."
    )
    parser.add_argument(
        "--account", default="", metavar="EMAIL", help="Drive: another one of the owner's accounts."
    )
    parser.add_argument(
        "--convert", action="store_true", help="Drive: Office files become Docs, Sheets and Slides."
    )
    parser.add_argument("--permissions", action="store_true", help="Drive: share as it was shared.")


def _target(options: dict[str, Any]) -> tuple[str, JsonObject]:
    if options["to"]:
        return Restore.Target.FOLDER, {"path": str(Path.cwd() / options["to"])}
    if options["to_destination"]:
        row = lookup.find_destination(options["to_destination"])
        return Restore.Target.DESTINATION, {"destination": row.pk, "prefix": options["folder"]}
    if options["to_drive"]:
        return Restore.Target.DRIVE, {"folder": options["folder"], "account": options["account"]}
    raise usage("Say where to: --to FOLDER, --to-destination NAME or --to-drive.")


def _file_id(source: Source, path: str, at: datetime | None) -> int:
    number = path.removeprefix("id:")
    if path.startswith("id:") and number.isdecimal():
        if len(number) < 19 and source.files.filter(pk=int(number)).exists():
            return int(number)
        raise usage(f"“{printable(source.name)}” has no file {path}.")
    found = find(source, path, at)
    if len(found) == 1:
        return found[0].pk
    if not found:
        then = " at that time" if at else ""
        raise usage(f"There is no “{printable(path)}” in “{printable(source.name)}”{then}.")
    ids = ", ".join(f"id:{file.pk}" for file in found)
    raise usage(f"“{printable(path)}” is {counted(len(found), 'thing')} of one name: {ids}.")


def _named(options: dict[str, Any]) -> Restore:
    word = options["paths"][0] if len(options["paths"]) == 1 else ""
    rows = Restore.objects.select_related("run__source__owner", "origin")
    restore = rows.filter(run_id=int(word)).first() if word.isdecimal() else None
    if restore is None:
        raise usage(f"{options['source']}: name one run of `manage.py restore list`.")
    return restore
