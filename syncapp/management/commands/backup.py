"""`manage.py backup`: ask for backups, wait for them, or say what they would do.

Exit: 0 every file stored, or refused by Google and listed with the reason; 1 a run or a file
failed; 2 unknown source; 4 no worker; 5 paused or blocked, a person must act.

JSON, stable. Queued: {exit_code, runs: [run + new]}. With --wait: {exit_code, reason, runs: [run +
new, failed: [trouble], failed_left_out, and so refused and excluded]}. With --dry-run:
{previews: [{source, files, folders, new, changed, waiting, unchanged, to_read (each {files, bytes,
unsized}), vanished, trashed, replaced, asks (whether the guard would), refused: {code: files},
destinations, quota_units, quota_minutes}]}. Keys of runs and troubles: `management/outcome.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import runs
from syncapp.engine.adapters import source_for
from syncapp.engine.preview import Amount, Preview, preview
from syncapp.engine.trouble import Kind
from syncapp.management import lookup
from syncapp.management.base import Exit, usage
from syncapp.management.outcome import judge
from syncapp.management.output import duration, printable, size, table
from syncapp.management.progress import Display
from syncapp.management.running import RunCommand
from syncapp.models import Run, Source
from syncapp.types import JsonObject
from syncapp.words import counted

AMOUNTS = ("new", "changed", "waiting", "unchanged")


class Command(RunCommand):
    """Back up now."""

    help = "Back up now: every source that is not paused, or those named."
    examples = (
        "--wait",
        "--source ada@example.org --dry-run",
    )
    kinds = (Kind.FAILED, Kind.REFUSED, Kind.EXCLUDED)

    def add_arguments(self, parser: CommandParser) -> None:
        """And --dry-run."""
        super().add_arguments(parser)
        parser.add_argument(
            "--dry-run", action="store_true", help="List the source and say what would be done."
        )

    def answer(self, options: dict[str, Any]) -> Exit:
        """Preview, or ask for runs."""
        if not options["dry_run"]:
            return super().answer(options)
        if options["wait"]:
            raise usage("--dry-run starts nothing, so there is nothing to --wait for.")
        return self._dry_run(options)

    def request(self, source: Source) -> tuple[Run, bool]:
        """A backup."""
        return runs.request_backup(source)

    def code_of(self, run: Run) -> Exit:
        """What Google refuses is no failure."""
        return judge(run)

    def _dry_run(self, options: dict[str, Any]) -> Exit:
        named = [lookup.find_source(text) for text in options["source"]]
        chosen = named or list(Source.objects.filter(paused=False).order_by("pk"))
        if not chosen:
            self.warn("There is no source that is not paused.")
            return Exit.USAGE
        documents = []
        for source in chosen:
            found = self._preview(source)
            destinations = source.destinations.filter(enabled=True).count()
            if options["json"]:
                documents.append(preview_document(source, found, destinations))
                continue
            for line in preview_lines(source, found, destinations):
                self.say(line)
        if options["json"]:
            self.give({"previews": documents})
        return Exit.OK

    def _preview(self, source: Source) -> Preview:
        display = Display(self.stderr)

        def show(found: Preview) -> None:
            display.show(
                [f"{printable(source.name)}  scanning  {counted(found.files, 'file')} seen"]
            )

        try:
            return preview(source, source_for(source), on_page=show)
        finally:
            display.clear()


def preview_lines(source: Source, found: Preview, destinations: int) -> Iterator[str]:
    """A preview as text."""
    count = f"{counted(found.files, 'file')}, {counted(found.folders, 'folder')}"
    yield f"“{printable(source.name)}”: {count}"
    rows = [(name, *_cells(getattr(found, name))) for name in AMOUNTS]
    yield table(("", "FILES", "BYTES", "SIZE UNKNOWN"), rows)
    yield f"vanished at the source: {found.vanished:,} (their copies are kept)"
    yield f"would go to the trash: {found.trashed:,}; would be replaced: {found.replaced:,}"
    if found.asks:
        yield "More than the guard allows: a backup would stop, change nothing and ask you first."
    if found.refused:
        codes = ", ".join(f"{code}: {number:,}" for code, number in found.refused.most_common())
        yield f"not backed up, by reason: {codes}"
    reads = found.to_read
    unknown = f" and {reads.unsized:,} of unknown size" if reads.unsized else ""
    yield (
        f"A backup would read {counted(reads.files, 'file')}, {size(reads.bytes)}{unknown}, for "
        f"{counted(destinations, 'destination')}: about {found.quota_units:,} units of Google's "
        f"quota, at least {duration(found.quota_minutes * 60)} at Google's limit."
    )
    if not destinations:
        yield "It has no destination: choose one by `manage.py destination attach`."


def preview_document(source: Source, found: Preview, destinations: int) -> JsonObject:
    """A preview as JSON."""
    return {
        "source": source.slug,
        "files": found.files,
        "folders": found.folders,
        **{name: asdict(getattr(found, name)) for name in (*AMOUNTS, "to_read")},
        "vanished": found.vanished,
        "trashed": found.trashed,
        "replaced": found.replaced,
        "asks": found.asks,
        "refused": dict(found.refused),
        "destinations": destinations,
        "quota_units": found.quota_units,
        "quota_minutes": round(found.quota_minutes, 2),
    }


def _cells(amount: Amount) -> tuple[int, str, int]:
    return amount.files, size(amount.bytes), amount.unsized
