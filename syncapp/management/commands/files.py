"""`manage.py files`: every file that is not backed up or damaged, with its path and reason.

With `--search` and its like: the files that are looked for, at any moment.

Rows are written as they are found, so that any number fits. JSON, stable: {files: [trouble +
source]}, keys of a trouble: `management/outcome.py`; of a search {files: [hit]}, keys:
`management/searching.py`. Always exit 0: it lists, `status` judges.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine.trouble import Kind, troubles
from syncapp.management import lookup
from syncapp.management.base import Exit, ReportCommand, add_json, usage
from syncapp.management.outcome import trouble_document
from syncapp.management.output import printable
from syncapp.management.running import trouble_line
from syncapp.management.searching import add_search, hit_document, hit_line, hits, is_search
from syncapp.models import Source
from syncapp.types import JsonObject


class Command(ReportCommand):
    """What is in trouble."""

    help = "List files that failed, are not backed up, or whose copy is damaged; or search all."
    examples = (
        "",
        "--source 1 --state failed",
        '--search "letter bank" --kind pdf --since 2026-01-01',
        "--larger 1G --deleted only",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Which of them."""
        parser.add_argument(
            "--source", action="append", default=[], metavar="SOURCE", help="Id, slug or name."
        )
        parser.add_argument(
            "--state",
            action="append",
            choices=[kind.value for kind in Kind],
            help="Only these; may be repeated.",
        )
        add_search(parser)
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Write them out."""
        named = [lookup.find_source(text) for text in options["source"]]
        sources = named or list(Source.objects.order_by("pk"))
        if is_search(options):
            return self._search(sources, options)
        kinds = [Kind(value) for value in options["state"] or list(Kind)]
        found = (
            (source, trouble)
            for source in sources
            for kind in kinds
            for trouble in troubles(source, kind)
        )
        if options["json"]:
            self._write_json({"source": s.slug} | trouble_document(t) for s, t in found)
        else:
            lines = (f"{t.kind.value:8}  {printable(s.name)}: {trouble_line(t)}" for s, t in found)
            self._write_text(lines, "No file is in trouble.")
        return Exit.OK

    def _search(self, sources: list[Source], options: dict[str, Any]) -> Exit:
        if options["state"]:
            raise usage("--state lists files in trouble, it does not go with a search.")
        found = hits(sources, options)
        if options["json"]:
            self._write_json(map(hit_document, found))
        else:
            self._write_text(map(hit_line, found), "Nothing was found.")
        return Exit.OK

    def _write_text(self, lines: Iterator[str], nothing: str) -> None:
        any_found = False
        for line in lines:
            any_found = True
            self.say(line)
        if not any_found:
            self.say(nothing)

    def _write_json(self, documents: Iterator[JsonObject]) -> None:
        self.stdout.write('{"files": [', ending="")
        separator = "\n"
        for document in documents:
            self.stdout.write(f"{separator}  {json.dumps(document)}", ending="")
            separator = ",\n"
        self.stdout.write("\n]}")
