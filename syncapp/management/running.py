"""What `backup` and `verify` share: choosing sources, asking for runs, waiting, telling the end.

Must not decide what a run does; the engine's faces are called and their rows are shown.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from itertools import islice
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import runs
from syncapp.engine.trouble import Kind, Trouble, reasons, troubles
from syncapp.management import lookup
from syncapp.management.base import START_WORKERS, Exit, ReportCommand, add_json
from syncapp.management.outcome import (
    run_document,
    seconds,
    stopped_by,
    trouble_document,
    worst_of,
)
from syncapp.management.output import duration, printable, size, table
from syncapp.management.progress import Display
from syncapp.management.watch import Watch
from syncapp.models import Run, Source
from syncapp.types import JsonObject
from syncapp.words import counted

SHOWN, LISTED = 50, 1000  # troubles of a kind and source in text, in JSON; `files` has them all
TITLES = {
    Kind.FAILED: "failed",
    Kind.REFUSED: "refused by Google",
    Kind.EXCLUDED: "left out by a rule",
    Kind.DAMAGED: "damaged",
}


class RunCommand(ReportCommand):
    """Asks for a run of each chosen source, and waits for them if told to."""

    kinds: tuple[Kind, ...]  # the troubles that the result lists
    pause = staticmethod(time.sleep)

    @abstractmethod
    def request(self, source: Source) -> tuple[Run, bool]:
        """Ask the engine for a run; whether it is new."""

    @abstractmethod
    def code_of(self, run: Run) -> Exit:
        """What an ended run means for a script."""

    def add_arguments(self, parser: CommandParser) -> None:
        """The options of both."""
        parser.add_argument(
            "--source",
            action="append",
            default=[],
            metavar="SOURCE",
            help="Id, slug or name; may be repeated. Without it: all that are not paused.",
        )
        parser.add_argument("--wait", action="store_true", help="Wait for the end, with progress.")
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Ask for the runs, and wait for them with --wait."""
        sources, stopped = self.choose(options["source"])
        if not sources:
            return stopped
        alive = runs.worker_alive()
        if options["wait"] and not alive:
            self.warn(f"No worker is running; nothing was started. {START_WORKERS}")
            return Exit.NO_WORKER
        asked = [self.request(source) for source in sources]
        code = self._wait(asked, options) if options["wait"] else self._tell_asked(asked, options)
        if not alive:
            self.warn(f"No worker is running: they wait until there is one. {START_WORKERS}")
        return worst_of([code, stopped])

    def choose(self, wanted: Sequence[str]) -> tuple[list[Source], Exit]:
        """The sources to run, and BLOCKED if one that was asked for is paused."""
        everything = Source.objects.select_related("owner", "account").order_by("pk")
        named = {source.pk: source for source in map(lookup.find_source, wanted)}
        chosen = list(named.values()) if wanted else list(everything)
        if not chosen:
            self.warn("There is no source yet: link a Google account in the browser, then add it.")
            return [], Exit.USAGE
        going = [source for source in chosen if not source.paused]
        if wanted or not going:
            for source in chosen:
                if source.paused:
                    self.warn(printable(stopped_by(source)))
        blocked = len(going) < len(chosen) and (bool(wanted) or not going)
        return going, Exit.BLOCKED if blocked else Exit.OK

    def _tell_asked(self, asked: Sequence[tuple[Run, bool]], options: dict[str, Any]) -> Exit:
        if options["json"]:
            documents = [run_document(run) | {"new": new} for run, new in asked]
            self.give({"exit_code": 0, "runs": documents})
            return Exit.OK
        for run, new in asked:
            name = printable(run.source.name)
            self.say(f"Run {run.pk} of “{name}” {'is queued' if new else 'is under way already'}.")
        return Exit.OK

    def _wait(self, asked: Sequence[tuple[Run, bool]], options: dict[str, Any]) -> Exit:
        display = Display(self.stderr)
        try:
            ended = Watch([run for run, _ in asked], display, pause=self.pause).until_ended()
        except KeyboardInterrupt:
            ids = ", ".join(str(run.pk) for run, _ in asked)
            self.warn(f"Detached: run {ids} goes on. `manage.py status` shows how far it is.")
            return Exit.DETACHED
        codes = [self.code_of(run) for run in ended.runs if run.ended_at is not None]
        lost = len(asked) - len(ended.runs)  # rows of a source that was deleted meanwhile
        code = worst_of([ended.code, *codes, *[Exit.FAILED] * bool(lost)])
        if options["json"]:
            new = {run.pk: is_new for run, is_new in asked}
            documents = [self._document(run) | {"new": new[run.pk]} for run in ended.runs]
            self.give({"exit_code": int(code), "reason": ended.reason, "runs": documents})
        else:
            self._tell_ended(ended.runs)
        if ended.reason:
            self.warn(printable(ended.reason))
        return code

    def _document(self, run: Run) -> JsonObject:
        document = run_document(run)
        for kind in self.kinds:
            found = list(islice(troubles(run.source, kind), LISTED + 1))
            document[kind.value] = [trouble_document(trouble) for trouble in found[:LISTED]]
            document[f"{kind.value}_left_out"] = len(found) > LISTED
        return document

    def _tell_ended(self, ended: Sequence[Run]) -> None:
        unit = ended[0].unit.upper() if ended else "FILES"  # all are of one kind
        headings = ("RUN", "SOURCE", "OUTCOME", unit, "DONE", "REFUSED WHEN READ", "FAILED")
        self.say(table((*headings, "BYTES", "TIME"), map(_row, ended)))
        for run in ended:
            stopped = stopped_by(run.source)
            if run.error_message and run.error_message not in stopped:
                self.say(f"\n“{printable(run.source.name)}”: {printable(run.error_message)}")
            if stopped:
                self.say(f"\n{printable(stopped)}")
            for kind in self.kinds:
                self._tell_troubles(run.source, kind)

    def _tell_troubles(self, source: Source, kind: Kind) -> None:
        found = list(islice(troubles(source, kind), SHOWN + 1))
        if not found:
            return
        number = "" if len(found) > SHOWN else f"{counted(len(found), 'file')} "
        if kind is not Kind.DAMAGED:
            by_code = reasons(source, kind).most_common()
            number = f"{counted(sum(n for _, n in by_code), 'file')} "
            number += f"({', '.join(f'{code}: {n:,}' for code, n in by_code)}) "
        self.say(f"\n“{printable(source.name)}”: {number}{TITLES[kind]}")
        for trouble in found[:SHOWN]:
            self.say(f"  {trouble_line(trouble)}")
        if len(found) > SHOWN:
            self.say(f"  … all: `manage.py files --source {source.pk} --state {kind.value}`")


def trouble_line(trouble: Trouble) -> str:
    """One file: where it is, what is wrong."""
    where = f" in “{printable(trouble.destination)}”" if trouble.destination else ""
    message = f": {printable(trouble.message)}" if trouble.message else ""
    return f"{printable(trouble.path)}{where} [{trouble.code}]{message}"


def _row(run: Run) -> Sequence[object]:
    took = seconds(run)
    time_ = "–" if took is None else duration(took)
    outcome = run.get_outcome_display()
    counts = run.files_total, run.files_done, run.files_refused, run.files_failed
    return run.pk, run.source.name, outcome, *counts, size(run.bytes_done), time_
