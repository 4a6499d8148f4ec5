"""`manage.py keys new|rotate|check`: the keys in FIELD_KEYS and what they have encrypted."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import rotation


class Command(BaseCommand):
    """Makes a key, re-encrypts with the first key, or checks that everything can be read."""

    help = (
        "Encryption keys. To rotate: put the key that `new` prints first in FIELD_KEYS, restart "
        "everything, run `rotate`, then remove the old key and run `check`."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """One word."""
        parser.add_argument("what", choices=["new", "rotate", "check"])

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; exit code 1 if anything can't be decrypted."""
        if options["what"] == "new":
            self.stdout.write(Fernet.generate_key().decode())
            return
        rotates = options["what"] == "rotate"
        work = rotation.rotate if rotates else rotation.check
        tallies = [work(*column) for column in rotation.encrypted_columns()]
        for tally in tallies:
            self.stdout.write(_line(tally, rotates=rotates))
        unreadable = sum(tally.unreadable for tally in tallies)
        if unreadable:
            raise CommandError(
                f"{unreadable} values can't be decrypted: put the key that encrypted them back "
                "into FIELD_KEYS."
            )


def _line(tally: rotation.Tally, *, rotates: bool) -> str:
    older = "re-encrypted" if rotates else "with an older key"
    return (
        f"{tally.column}: {tally.changed} {older}, {tally.current} with the first key, "
        f"{tally.unreadable} unreadable"
    )
