"""Bandwidth limits on the command line: of a source or of a destination."""

from __future__ import annotations

from argparse import ArgumentParser

from syncapp.engine import bandwidth
from syncapp.errors import ConfigurationError
from syncapp.management.base import usage
from syncapp.management.output import printable
from syncapp.models import Destination, Source

LIMIT_HELP = (
    "Bytes a second as rclone writes them: 10M, off, or a timetable such as "
    "“08:00,512k 19:00,10M 23:00,off”, in the server's time zone."
)


def add_limit(parser: ArgumentParser) -> None:
    """The argument LIMIT; a timetable may come as several words."""
    parser.add_argument("bwlimit", metavar="LIMIT", nargs="+", help=LIMIT_HELP)


def read_limit(text: str) -> str:
    """The text, if it is a limit; else a usage error that says what is wrong."""
    try:
        bandwidth.parse(text)
    except ConfigurationError as error:
        raise usage(printable(error.message)) from error
    return text


def set_limit(row: Source | Destination, words: list[str]) -> str:
    """Save the limit of a source or destination; the sentence that tells it."""
    text = read_limit(" ".join(words))
    row.bwlimit = text
    row.save(update_fields=["bwlimit"])
    return f"“{printable(row.name)}”: {text or 'no limit'}, from now on."
