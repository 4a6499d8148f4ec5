"""What the reporting commands share: exit codes, JSON or text, errors as one sentence.

Results go to stdout, everything else to stderr, so that `--json` can be piped. Must not show a
traceback for what the product expects to fail. JSON is ASCII with escapes: safe on any terminal.
"""

from __future__ import annotations

import io
import json
import sys
from abc import ABC, abstractmethod
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any, cast

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError
from django.db.models import Model

from accounts.fields import UndecryptableValue
from syncapp.errors import BackupError, ConfigurationError
from syncapp.management.output import printable
from syncapp.models.bounded import BoundedField
from syncapp.types import CheckResult, JsonObject

START_WORKERS = "Start one with `manage.py runworkers` (or start everything with `make run`)."


class Exit(IntEnum):
    """What a script may conclude from."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_WORKER = 4
    BLOCKED = 5
    DETACHED = 130


EXIT_HELP = """exit codes:
  0    all is well; files that Google refuses are listed with the reason
  1    something failed: a run, a file, a check, or a copy is damaged
  2    usage: an unknown name, option or value
  4    no worker is running
  5    paused or blocked: a person must act, the message says how
  130  Ctrl-C: the command ended, the run goes on
  141  what read the output ended first, as `head` does"""


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Django's order of options, the epilog's lines as they are."""


class ReportCommand(BaseCommand, ABC):
    """A command that answers with an exit code; `answer` is what a subclass writes."""

    epilog = EXIT_HELP
    examples: Sequence[str] = ()  # what follows the command's name

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Add examples and the exit codes to the help."""
        lines = [f"  manage.py {subcommand} {example}".rstrip() for example in self.examples]
        shown = "\n".join(["examples:", *lines, "", self.epilog] if lines else [self.epilog])
        kwargs |= {"epilog": shown, "formatter_class": HelpFormatter}
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if parser._subparsers is None:
            _let_options_stand_anywhere(parser)
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        """Answer, and turn expected failures into one sentence and a code."""
        _survive_narrow_terminals()
        try:
            code = self.answer(options)
        except ConfigurationError as error:
            raise CommandError(printable(error.message), returncode=Exit.BLOCKED) from error
        except BackupError as error:
            raise CommandError(printable(error.message), returncode=Exit.FAILED) from error
        except UndecryptableValue as error:
            raise CommandError(str(error), returncode=Exit.BLOCKED) from error
        except DatabaseError as error:
            cause = printable(str(error).strip())
            raise CommandError(
                f"The database can't be used ({cause}). Is it up, and has `manage.py migrate` run?",
                returncode=Exit.FAILED,
            ) from error
        if code is not Exit.OK:
            raise SystemExit(int(code))

    @abstractmethod
    def answer(self, options: dict[str, Any]) -> Exit:
        """Do it; write results by `say` or `give`."""

    def say(self, text: str = "") -> None:
        """A line of the result."""
        self.stdout.write(text)

    def warn(self, text: str) -> None:
        """A line beside the result."""
        self.stderr.write(text, self.style.WARNING)

    def give(self, document: JsonObject) -> None:
        """The result as JSON."""
        self.stdout.write(json.dumps(document, cls=DjangoJSONEncoder, indent=2))

    def say_checks(self, results: Iterable[CheckResult]) -> None:
        """Each line of a check, its level first."""
        styles: dict[str, Callable[[str], str]] = {
            "ok": self.style.SUCCESS,
            "warning": self.style.WARNING,
            "error": self.style.ERROR,
        }
        for line in results:
            level = styles.get(line.level, str)(f"{line.level:8}")
            message = f": {printable(line.message)}" if line.message else ""
            self.say(f"{level}{printable(line.name)}{message}")


def read_number(text: str, what: str, model: type[Model], name: str) -> int:
    """An option's value within the bounds of the model's field; the error names `what` it is no
    such thing of."""
    field = cast("BoundedField", model._meta.get_field(name))
    known = text.isdecimal() and len(text) <= len(str(field.most))
    if not known or int(text) != field.nearest(int(text)):
        wanted = f"{what} from {field.least} to {field.most:,}"
        raise ArgumentTypeError(f"“{printable(text)}” is no {wanted}.")
    return int(text)


def add_json(parser: CommandParser) -> None:
    """The option that every reporting command has."""
    parser.add_argument("--json", action="store_true", help="Answer in JSON, on stdout.")


def check_document(results: Iterable[CheckResult]) -> list[JsonObject]:
    """Keys: name, level (ok, warning, error), message."""
    return [{"name": r.name, "level": r.level, "message": r.message} for r in results]


def worst(results: Iterable[CheckResult]) -> Exit:
    """FAILED if a line is an error."""
    return Exit.FAILED if any(r.level == "error" for r in results) else Exit.OK


def usage(message: str) -> CommandError:
    """An error in what was typed."""
    return CommandError(message, returncode=Exit.USAGE)


def _let_options_stand_anywhere(parser: CommandParser) -> None:
    """Also between a name and paths, where argparse takes no path after them."""
    plain = parser.parse_args

    def parse(args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        if "--" in (args or ()):  # the other way loses it
            return plain(args, namespace)
        return parser.parse_intermixed_args(args, namespace)

    parser.parse_args = parse  # type: ignore[assignment,method-assign]


def _survive_narrow_terminals() -> None:
    """A name outside the terminal's character set is shown as escapes, not as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
