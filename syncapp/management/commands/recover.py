"""`manage.py recover`: rebuild everything from one destination, on an empty machine.

Reads the catalog segments that lie beside the data, and writes nothing there. Killed or failed, it
goes on when it is called again. Must not take a secret as an argument, nor print one.

JSON, stable: {sources: [S]}. S: slug, name, owner, files, written_at (of the newest segment used),
notes (what is lost or odd, in words), damaged (segments or copies are lost or damaged, or nothing
came back: exit 1); after a rebuild also id, objects, adopted, missing, foreign, and stopped (why
nothing is written to the destination: another installation's place; else "").
"""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from accounts.models import User
from syncapp.destinations import KINDS
from syncapp.engine import marks, recovery, recovery_setup
from syncapp.engine.destination_setup import configure
from syncapp.engine.reconcile import Compared
from syncapp.engine.recovery_plan import Chain
from syncapp.engine.segment_store import catalog_store
from syncapp.errors import BackupError, ConfigurationError
from syncapp.management import lookup
from syncapp.management.base import EXIT_HELP, Exit, ReportCommand, add_json, usage
from syncapp.management.option_values import kinds_help, read_values
from syncapp.management.output import duration, printable
from syncapp.models import Destination, Source
from syncapp.types import JsonObject
from syncapp.words import counted

TELL_S = 5.0  # between two lines of progress
NOT_ALL = (
    "Not everything is there that should be. What may still give it back: `recover` from another "
    "destination; here, once it is put back, `recover` again, or --compare for files alone; "
    "scripts/restore_without_app.py, which needs no database; a backup of the database "
    "(docs/format.md)."
)


class Command(ReportCommand):
    """The way back when nothing is left but a bucket."""

    help = "Rebuild sources, files, versions and settings from one destination."
    examples = (
        "--kind local --set path=/mnt/backup --list",
        "--kind s3 --set endpoint=https://… --set bucket=B "
        "--secret access_key_id --secret secret_access_key --owner ada",
    )
    epilog = f"{kinds_help()}\n\n{EXIT_HELP}"

    def add_arguments(self, parser: CommandParser) -> None:
        """Which destination, and what of it."""
        place = parser.add_mutually_exclusive_group(required=True)
        place.add_argument("--kind", choices=list(KINDS), help="A place that is not set up yet.")
        place.add_argument("--destination", metavar="NAME", help="One that is: id or name.")
        for flag, metavar, text in (
            ("--set", "OPTION=VALUE", "An option that is no secret; may be repeated."),
            ("--secret", "OPTION", "A secret, asked for, or a line of stdin each, in order."),
            ("--secret-env", "OPTION=NAME", "A secret from the environment variable NAME."),
            ("--source", "SLUG", "Only this source; may be repeated."),
        ):
            parser.add_argument(flag, action="append", default=[], metavar=metavar, help=text)
        parser.add_argument(
            "--owner", default="", help="User name; made if need be. Left out: as it was."
        )
        parser.add_argument("--list", action="store_true", help="Only tell what could be rebuilt.")
        parser.add_argument(
            "--compare",
            action="store_true",
            help="Rebuild nothing: hold the catalog that is here against what lies there.",
        )
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="Go on backing up there: the installation that made these backups is gone for "
            "good. If it is not, it will stop. Left out: a trial, nothing is written there.",
        )
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Look, rebuild, compare."""
        at_hand = _destination(options)
        store = catalog_store(at_hand)
        if options["compare"]:
            return self._compare_only(at_hand, options)
        chains = recovery.look(store, lambda name: self._progress.tell(f"reading {name.key}"))
        wanted = options["source"]
        chains = [chain for chain in chains if not wanted or chain.slug in wanted]
        if not chains:
            raise ConfigurationError(
                "There is no catalog of a backup there. Look at the prefix (the folder in the "
                "bucket, or the subfolder), and at --source if you gave it.",
                code="no_catalog",
            )
        documents = [_told(chain) for chain in chains]
        if options["list"]:
            return self._answer(documents, options)
        for chain, document in zip(chains, documents, strict=True):
            if not chain.segments:
                continue
            row = self._rebuild(chain, at_hand, options["owner"], document)
            document["stopped"] = self._settle_place(row, take_over=options["take_over"])
        if any(chain.segments for chain in chains):
            self._say_what_is_left()
        return self._answer(documents, options)

    def _settle_place(self, row: Destination, *, take_over: bool) -> str:
        """Whose place it is from now on; why it is not ours, if so."""
        try:
            stopped = recovery.settle_place(row, take_over=take_over)
        except BackupError as error:
            message = printable(error.message)
            self.warn(f"This installation's mark could not be left there: {message}")
            return ""
        return stopped.message if stopped is not None else ""

    def _rebuild(
        self, chain: Chain, at_hand: Destination, username: str, document: JsonObject
    ) -> Destination:
        owner = recovery_setup.owner_of(chain.header, username)
        row = recovery.destination_row(at_hand, owner, chain)
        progress = _Progress(self, chain.slug, "files", chain.files_at_most)
        rebuilt = recovery.rebuild(chain, row, owner, progress.add)
        progress.end()
        document |= {"id": rebuilt.source.pk, "owner": owner.username, "files": rebuilt.files}
        if rebuilt.recovery.ended_at is None:
            self._compare(rebuilt.source, row, document)
        return row

    def _compare(self, source: Source, at_hand: Destination, document: JsonObject) -> None:
        progress = _Progress(self, source.slug, "objects", 0)
        compared = recovery.compare(source, at_hand, progress.add)
        progress.end()
        document["notes"] = [*document["notes"], *compared.notes()]
        document["files"] = files = source.files.count()
        document["damaged"] |= compared.missing > 0 or (files == 0 and compared.objects > 0)
        document |= _counts(compared)

    def _compare_only(self, at_hand: Destination, options: dict[str, Any]) -> Exit:
        if at_hand._state.adding:
            raise usage("--compare wants a destination that is set up: --destination NAME.")
        documents = []
        for source in at_hand.sources.select_related("owner").order_by("pk"):
            if not options["source"] or source.slug in options["source"]:
                document = _described(source)
                self._compare(source, at_hand, document)
                documents.append(document)
        return self._answer(documents, options)

    def _say_what_is_left(self) -> None:
        for owner in User.objects.filter(sources__recovery__isnull=False).distinct():
            if not owner.has_usable_password():
                name = printable(owner.username)
                self.warn(f"{name} has no password yet: `manage.py changepassword {name}`.")
        self.warn("Reconnect the accounts on the page Google accounts: backups then go on.")
        for row in Destination.objects.filter(blocked_code=marks.OTHER):
            self.warn(
                f"“{printable(row.name)}” is browsed and restored from, but stopped for writing. "
                f"{printable(row.blocked_reason)} `recover … --take-over` does the same at once."
            )
        for row in Destination.objects.filter(blocked_code=recovery_setup.NO_KEYS):
            self.warn(f"“{printable(row.name)}”: enter its keys again and test it.")

    def _answer(self, documents: list[JsonObject], options: dict[str, Any]) -> Exit:
        if options["json"]:
            self.give({"sources": documents})
        else:
            for document in documents:
                name, files = printable(document["name"]), counted(document["files"], "file")
                self.say(f"{document['slug']}  “{name}”: {files}, as of {document['written_at']}")
                for note in document["notes"]:
                    self.say(f"  ! {printable(note)}")
        if any(document["damaged"] for document in documents):
            self.warn(NOT_ALL)
            return Exit.FAILED
        return Exit.OK

    @property
    def _progress(self) -> _Progress:
        if not hasattr(self, "_reading"):
            self._reading = _Progress(self, "", "parts", 0)
        return self._reading


class _Progress:
    """Lines on stderr, every few seconds: how far, how fast, how long still."""

    def __init__(self, command: ReportCommand, slug: str, noun: str, total: int) -> None:
        self._command, self._slug, self._noun, self._total = command, slug, noun, total
        self._done, self._began = 0, time.monotonic()
        self._next = self._began + TELL_S

    def add(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        spent = time.monotonic() - self._began
        left = max(self._total - self._done, 0)
        rest = f", {duration(spent / self._done * left)} left" if self._total and self._done else ""
        of = f" of {self._total:,}" if self._total else ""
        self.tell(f"{self._done:,}{of} {self._noun}, {self._done / max(spent, 0.1):,.0f}/s{rest}")

    def tell(self, text: str) -> None:
        """Say it if it is time to say something."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + TELL_S
            self._command.stderr.write(printable(f"{self._slug}  {text}".strip()))

    def end(self) -> None:
        """The last line."""
        spent = duration(time.monotonic() - self._began)
        self._command.stderr.write(f"{self._slug}  {self._done:,} {self._noun} in {spent}")


def _destination(options: dict[str, Any]) -> Destination:
    """The row that is set up, or one that is not saved yet."""
    if options["destination"]:
        return lookup.find_destination(options["destination"])
    values = read_values(
        options["kind"],
        plain=options["set"],
        from_stdin=options["secret"],
        from_environment=options["secret_env"],
    )
    row = Destination(kind=options["kind"])
    try:
        configure(row, values, by=User(is_superuser=True))
    except ConfigurationError as error:
        raise usage(printable(error.message)) from error
    return row


def _told(chain: Chain) -> JsonObject:
    if not chain.segments:
        return {
            "slug": chain.slug, "name": chain.slug, "owner": "", "files": 0,
            "written_at": "an unknown time", "notes": list(chain.notes), "damaged": True,
        }  # fmt: skip
    source = chain.header["source"]
    return {
        "slug": chain.slug,
        "name": source["name"],
        "owner": chain.header["owner"]["username"],
        "files": chain.segments[0].lines,
        "written_at": chain.segments[-1].written_at,
        "notes": list(chain.notes),
        "damaged": chain.damaged,
    }


def _described(source: Source) -> JsonObject:
    return {
        "slug": source.slug, "name": source.name, "owner": source.owner.username,
        "id": source.pk, "files": source.files.count(), "written_at": "now", "notes": [],
        "damaged": False,
    }  # fmt: skip


def _counts(compared: Compared) -> JsonObject:
    names = ("objects", "adopted", "missing", "foreign")
    return {name: getattr(compared, name) for name in names}
