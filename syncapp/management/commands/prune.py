"""`manage.py prune`: remove for good what its policy lets go, or tell beforehand what that is.

Exit: 0 done, or told; 1 something could not be removed; 2 unknown source; 4 no worker; 5 paused.

JSON, stable. Queued and --wait: as `verify`; a run's `files_done` are copies removed,
`bytes_done` their bytes. --dry-run: {sources: [{source, as_of, trash_days,
keep, destinations: [{destination, trash, retention, bytes, protected, protected_until}], copies:
[{path, destination, key, bytes, why, protected_until}], copies_left_out}]}; `trash` and
`retention` count copies; `as_of` is null before a first good backup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import runs
from syncapp.engine.folders import Folders
from syncapp.engine.prunable import Prunable, Savings, Terms, preview, savings
from syncapp.management.base import Exit
from syncapp.management.outcome import judge
from syncapp.management.output import moment, printable, size, table
from syncapp.management.policies import told_rules
from syncapp.management.running import RunCommand
from syncapp.models import Destination, File, Run, Source
from syncapp.types import JsonObject
from syncapp.words import counted

SHOWN = 20


@dataclass
class _Found:
    """What would go of one source."""

    terms: Terms
    sums: dict[int, Savings] = field(default_factory=dict)
    shown: list[Prunable] = field(default_factory=list)
    copies: int = 0


class Command(RunCommand):
    """Let go of what is not to be kept."""

    help = "Remove for good what its policy lets go: old trash, and versions by the rules."
    examples = (
        "--dry-run",
        "--source 1 --wait",
    )
    kinds = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Also the dry run."""
        super().add_arguments(parser)
        parser.add_argument(
            "--dry-run", action="store_true", help="Only tell what would go, and what that saves."
        )
        parser.add_argument(
            "--list", type=int, default=SHOWN, metavar="N", help="Copies to list (20)."
        )

    def answer(self, options: dict[str, Any]) -> Exit:
        """Ask for the runs, or tell."""
        if not options["dry_run"]:
            return super().answer(options)
        sources, stopped = self.choose(options["source"])
        found = [_look(source, max(options["list"], 0)) for source in sources]
        if options["json"]:
            self.give({"sources": [_document(one) for one in found]})
        else:
            for one in found:
                self._tell_found(one)
        return stopped if not sources else Exit.OK

    def request(self, source: Source) -> tuple[Run, bool]:
        """A pruning."""
        return runs.request_prune(source)

    def code_of(self, run: Run) -> Exit:
        """Whether it all went."""
        return judge(run)

    def _tell_found(self, found: _Found) -> None:
        terms = found.terms
        name = printable(terms.source.name)
        if terms.as_of is None:
            self.say(f"“{name}”: nothing goes before a first good backup.")
            return
        self.say(
            f"“{name}”, as of {moment(terms.as_of)}: keeps {told_rules(terms.policy.rules)}; "
            f"{counted(terms.policy.trash_days, 'day')} in the trash."
        )
        if not found.copies:
            self.say("  Nothing would go.")
            return
        headings = ("DESTINATION", "FROM TRASH", "VERSIONS", "SAVES", "PROTECTED", "UNTIL")
        self.say(table(headings, _rows(found)))
        for path, where, one in _lines(found):
            until = f", protected until {moment(one.locked_until)}" if one.locked_until else ""
            about = f"[{one.why.value}] {size(one.size)}{until}"
            self.say(f"  {printable(path)} in “{printable(where)}” {about}")
        if found.copies > len(found.shown):
            self.say(f"  … and {found.copies - len(found.shown):,} more copies")


def _look(source: Source, most: int) -> _Found:
    found = _Found(Terms.of(source))
    for batch in preview(found.terms):
        savings(batch, found.sums)
        found.copies += len(batch)
        found.shown += batch[: max(most - len(found.shown), 0)]
    return found


def _rows(found: _Found) -> Iterator[Sequence[object]]:
    names = dict(Destination.objects.filter(pk__in=found.sums).values_list("pk", "name"))
    for pk, sums in sorted(found.sums.items()):
        until = moment(sums.locked_until)
        yield names[pk], sums.trash, sums.retention, size(sums.bytes), sums.locked, until


def _lines(found: _Found) -> Iterator[tuple[str, str, Prunable]]:
    """Path, destination and copy of what is listed."""
    files = File.objects.in_bulk([one.file_id for one in found.shown])
    folders = Folders(found.terms.source.pk)
    folders.load({file.parent_id for file in files.values()})
    names = dict(Destination.objects.filter(pk__in=found.sums).values_list("pk", "name"))
    for one in found.shown:
        file = files.get(one.file_id)
        if file is not None:
            yield folders.path(file.parent_id, file.name), names[one.destination_id], one


def _document(found: _Found) -> JsonObject:
    terms = found.terms
    names = dict(Destination.objects.filter(pk__in=found.sums).values_list("pk", "name"))
    return {
        "source": terms.source.slug,
        "as_of": terms.as_of,
        "trash_days": terms.policy.trash_days,
        "keep": told_rules(terms.policy.rules),
        "destinations": [
            {
                "destination": names[pk],
                "trash": sums.trash,
                "retention": sums.retention,
                "bytes": sums.bytes,
                "protected": sums.locked,
                "protected_until": sums.locked_until,
            }
            for pk, sums in sorted(found.sums.items())
        ],
        "copies": [
            {
                "path": path,
                "destination": where,
                "key": one.key,
                "bytes": one.size,
                "why": one.why.value,
                "protected_until": one.locked_until,
            }
            for path, where, one in _lines(found)
        ],
        "copies_left_out": found.copies - len(found.shown),
    }
