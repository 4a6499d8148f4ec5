"""`manage.py files`: every file that is not backed up or damaged, with its path and reason.

Rows are written as they are found, so that any number fits. JSON, stable: {files: [trouble +
source]}; keys of a trouble: `management/outcome.py`. Always exit 0: it lists, `status` judges.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine.trouble import Kind, Trouble, troubles
from syncapp.management import lookup
from syncapp.management.base import Exit, ReportCommand, add_json
from syncapp.management.outcome import trouble_document
from syncapp.management.output import printable
from syncapp.management.running import trouble_line
from syncapp.models import Source


class Command(ReportCommand):
    """What is in trouble."""

    help = "List files that failed, that Google does not give, or whose copy is damaged."

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
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Write them out."""
        named = [lookup.find_source(text) for text in options["source"]]
        sources = named or list(Source.objects.order_by("pk"))
        kinds = [Kind(value) for value in options["state"] or list(Kind)]
        found = (
            (source, trouble)
            for source in sources
            for kind in kinds
            for trouble in troubles(source, kind)
        )
        write = self._write_json if options["json"] else self._write_text
        write(found)
        return Exit.OK

    def _write_text(self, found: Iterator[tuple[Source, Trouble]]) -> None:
        any_found = False
        for source, trouble in found:
            any_found = True
            self.say(f"{trouble.kind.value:8}  {printable(source.name)}: {trouble_line(trouble)}")
        if not any_found:
            self.say("No file is in trouble.")

    def _write_json(self, found: Iterator[tuple[Source, Trouble]]) -> None:
        self.stdout.write('{"files": [', ending="")
        separator = "\n"
        for source, trouble in found:
            document = json.dumps({"source": source.slug} | trouble_document(trouble))
            self.stdout.write(f"{separator}  {document}", ending="")
            separator = ",\n"
        self.stdout.write("\n]}")
