"""`manage.py drill SOURCE`: restore a sample to a scratch folder, compare every byte, remove it.

`--pin PATH` (and `--unpin`) names a file that every drill of the source restores besides.

Exit: 0 all of it came back as it was stored; 1 something did not; 2 unknown source or path; 4 no
worker; 5 paused or blocked, a person must act.

JSON, stable. Queued: {exit_code, runs: [run + new]}. With --wait: {exit_code, reason, runs: [run +
new]}. Pins: {source, pinned: [path]}. A run's keys: `management/outcome.py`.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import cold_drill, restore_paths, runs, samples
from syncapp.engine.folders import Folders
from syncapp.management import lookup
from syncapp.management.base import Exit, add_json, read_number, usage
from syncapp.management.outcome import judge
from syncapp.management.output import printable
from syncapp.management.running import RunCommand
from syncapp.models import Canary, File, Policy, Run, Source
from syncapp.types import Content


class Command(RunCommand):
    """Prove that a restore works."""

    help = "Restore a random sample and pinned files to a scratch folder, and compare every byte."
    examples = (
        "--wait",
        "1 --files 50",
        '1 --pin "My Drive/Letters/contract.pdf"',
    )
    kinds = ()
    files: int | None = None
    cold = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Which sources, how many files, pins."""
        parser.add_argument(
            "source", nargs="*", metavar="SOURCE", help="Id, slug or name; all without it."
        )
        parser.add_argument("--files", type=_files, help="How many files (the policy's number).")
        parser.add_argument(
            "--cold",
            action="store_true",
            help="Also a few files from cold storage: takes hours and costs; it says how much.",
        )
        parser.add_argument("--pin", metavar="PATH", help="A file that every drill restores.")
        parser.add_argument("--unpin", metavar="PATH", help="No longer restore it every time.")
        parser.add_argument("--wait", action="store_true", help="Wait for the end, with progress.")
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Change the pins, or ask for drills."""
        if options["pin"] or options["unpin"]:
            return self._pins(options)
        self.files, self.cold = options["files"], options["cold"]
        return super().answer(options)

    def request(self, source: Source) -> tuple[Run, bool]:
        """A drill."""
        if self.cold:
            self.warn(f"{printable(source.name)}: {printable(cold_drill.stated(source))}")
        return runs.request_drill(source, files=self.files, cold=self.cold)

    def code_of(self, run: Run) -> Exit:
        """A drill that failed is a failure."""
        return judge(run)

    def _pins(self, options: dict[str, Any]) -> Exit:
        if len(options["source"]) != 1:
            raise usage("Name the one source whose file it is.")
        source = lookup.find_source(options["source"][0])
        if options["pin"]:
            file = _file(source, options["pin"])
            if not samples.is_stored(file):
                raise usage(
                    f"Nothing of “{printable(file.name)}” is stored: no drill can restore it."
                )
            Canary.objects.get_or_create(file=file, defaults={"source": source})
        if options["unpin"]:
            Canary.objects.filter(file=_file(source, options["unpin"])).delete()
        folders = Folders(source.pk)
        pinned = [
            folders.path(canary.file.parent_id, canary.file.name)
            for canary in source.canaries.select_related("file").order_by("pk")
        ]
        if options["json"]:
            self.give({"source": source.slug, "pinned": pinned})
        else:
            self.say(f"Restored by every drill of “{printable(source.name)}”:")
            for path in pinned or ["nothing besides the random sample"]:
                self.say(f"  {printable(path)}")
        return Exit.OK


def _files(text: str) -> int:
    return read_number(text, "number of files", Policy, "drill_files")


def _file(source: Source, path: str) -> File:
    found = [f for f in restore_paths.find(source, path, None) if f.content != Content.FOLDER]
    if len(found) != 1:
        problem = "names several files" if found else "names no file"
        raise usage(f"“{printable(path)}” {problem} of “{printable(source.name)}”.")
    return found[0]
