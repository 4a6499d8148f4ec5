"""`manage.py keys new|rotate|check|forget`: the keys in FIELD_KEYS and what they have encrypted."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import rotation


class Command(BaseCommand):
    """Makes a key, re-encrypts with the first key, checks that everything can be read, or lets go
    of what can't."""

    help = (
        "Encryption keys. To rotate: put the key that `new` prints first in FIELD_KEYS, restart "
        "everything, run `rotate`, then remove the old key and run `check`. Where one is lost for "
        "good, `forget` empties what it encrypted, and nothing else: link those accounts again "
        "and enter those destinations' keys again, and backups go on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """One word."""
        parser.add_argument("what", choices=["new", "rotate", "check", "forget"])
        parser.add_argument("--yes", action="store_true", help="forget: really do it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; exit code 1 if anything can't be decrypted."""
        if options["what"] == "new":
            self.stdout.write(Fernet.generate_key().decode())
            return
        rotates, forgets = options["what"] == "rotate", options["what"] == "forget"
        work = rotation.rotate if rotates else rotation.check
        if forgets and options["yes"]:
            work = rotation.forget
        tallies = [work(*column) for column in rotation.encrypted_columns()]
        for tally in tallies:
            self.stdout.write(_line(tally, rotates=rotates))
        unreadable = sum(tally.unreadable for tally in tallies)
        if forgets:
            self._say_forgotten(unreadable, done=options["yes"])
        elif unreadable:
            raise CommandError(
                f"{unreadable} values can't be decrypted: put the key that encrypted them back "
                "into FIELD_KEYS. If it is lost, see `keys forget`."
            )

    def _say_forgotten(self, count: int, *, done: bool) -> None:
        if not count:
            self.stdout.write("Everything can be read: there is nothing to forget.")
        elif done:
            self.stdout.write(
                f"{count} values forgotten. Restart everything, link the Google accounts again and "
                "enter the destinations' keys again: the pages say where."
            )
        else:
            raise CommandError(
                f"{count} values would be forgotten, for no key opens them. They can't be had back "
                "then, even if the key is found. Say `keys forget --yes` if it is lost for good."
            )


def _line(tally: rotation.Tally, *, rotates: bool) -> str:
    older = "re-encrypted" if rotates else "with an older key"
    return (
        f"{tally.column}: {tally.changed} {older}, {tally.current} with the first key, "
        f"{tally.unreadable} unreadable"
    )
