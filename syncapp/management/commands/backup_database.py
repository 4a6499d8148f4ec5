"""`manage.py backup_database`: the database itself, beside the data, now instead of tonight.

Goes to destinations of administrators only (or of the only person there is): it holds everybody's
names. Sessions are left out; secrets in it need FIELD_KEYS, which are not in it.

JSON, stable: {destinations: [D]}. D: id, name, object_key, size, stored_at, next_at, error_code,
error_message.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import database_backup
from syncapp.errors import ConfigurationError
from syncapp.management import lookup
from syncapp.management.base import Exit, ReportCommand, add_json
from syncapp.management.output import moment, printable, size, table
from syncapp.models import DatabaseBackup
from syncapp.types import JsonObject


class Command(ReportCommand):
    """One dump, sent to every destination that may have it."""

    help = "Back up the database itself to the destinations."
    examples = (
        "",
        "--list",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to, or only a look."""
        parser.add_argument(
            "--destination", action="append", default=[], metavar="NAME", help="Only there."
        )
        parser.add_argument("--list", action="store_true", help="Only tell what there is.")
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Send it, tell what became of it."""
        named = [lookup.find_destination(name) for name in options["destination"]]
        may = {row.pk for row in database_backup.eligible()}
        wanted = [row.pk for row in named if row.pk in may] if named else sorted(may)
        if not wanted and not options["list"]:
            raise ConfigurationError(
                "No destination of an administrator is enabled and works: there is no place for "
                "the database's backup. It holds everybody's data, so others' are not used.",
                code="no_destination",
            )
        if not options["list"]:
            database_backup.send(wanted)
        rows = DatabaseBackup.objects.filter(destination__in=may).select_related("destination")
        documents = [_document(row) for row in rows.order_by("destination")]
        if options["json"]:
            self.give({"destinations": documents})
        else:
            headings = ("ID", "DESTINATION", "STORED", "SIZE", "OBJECT")
            self.say(table(headings, [_row(row) for row in rows.order_by("destination")]))
        failed = any(row.error_code for row in rows if row.destination_id in wanted)
        return Exit.FAILED if failed else Exit.OK


def _document(row: DatabaseBackup) -> JsonObject:
    names = ("object_key", "size", "stored_at", "next_at", "error_code", "error_message")
    told = {name: getattr(row, name) for name in names}
    return {"id": row.destination_id, "name": row.destination.name, **told}


def _row(row: DatabaseBackup) -> tuple[object, ...]:
    what = f"FAILED: {row.error_message}" if row.error_code else row.object_key
    name = printable(row.destination.name)
    return row.destination_id, name, moment(row.stored_at), size(row.size), what
