"""`manage.py setup_admin`: the first administrator, by a printed one-time link or at once."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import setup
from accounts.models import User


class Command(BaseCommand):
    """Prints the link, or with --username reads the password from standard input."""

    help = (
        "Makes the first administrator. Without --username: prints a link that is good for 24 "
        "hours, once. With it: reads the password from standard input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The name, for scripts."""
        parser.add_argument("--username", help="make this administrator now")
        parser.add_argument("--email", default="", help="the administrator's address")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 1 if there is an administrator, or the name or password is refused."""
        if existing := setup.administrator():
            raise CommandError(
                f"There is an administrator already: {existing.username}. For a new password: "
                f"manage.py changepassword {existing.username}"
            )
        if not options["username"]:
            self.stderr.write("Open this within 24 hours to make the first administrator:")
            self.stdout.write(setup.setup_url())
            return
        user = User(username=options["username"], email=options["email"])
        _set_password(user, _read_password())
        user.is_staff = user.is_superuser = True
        user.save()
        self.stdout.write(f"Administrator {user.username} is ready.")


def _read_password() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\r\n")


def _set_password(user: User, password: str) -> None:
    try:
        user.full_clean(exclude=["password"])
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    user.set_password(password)
