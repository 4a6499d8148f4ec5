"""`manage.py runworkers`: work on backups until told to stop. One per host.

SIGTERM or Ctrl-C drains: files in flight are finished (within --grace seconds), the rest waits
for the next start. kill -9 is safe as well. A database that is away is waited for; one that was not
migrated, or whose secrets no key opens, is said at once, and so is that others work here already.
"""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from accounts import rotation
from syncapp.engine import cluster, one_per_host
from syncapp.engine.supervisor import Supervisor
from syncapp.management.base import Exit


class Command(BaseCommand):
    """Start the workers of this host."""

    help = "Run the workers of this host until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        """The grace time, and the mark of the inner process."""
        parser.add_argument(
            "--grace", type=float, default=60.0, help="seconds to finish files in flight"
        )
        parser.add_argument("--cluster", action="store_true", help="(internal) the queue alone")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit with 0 if everything in flight was finished."""
        grace = options["grace"]
        if options["cluster"]:
            sys.exit(cluster.run(grace))
        _refuse_if_not_ready()
        try:
            with one_per_host.held(settings.DATA_DIR):
                sys.exit(Supervisor(grace).run())
        except one_per_host.AlreadyRunning as error:
            raise CommandError(error.message, returncode=Exit.FAILED) from error


def _refuse_if_not_ready() -> None:
    """CommandError where a person must act before any worker can."""
    try:
        executor = MigrationExecutor(connection)
        behind = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except OperationalError:
        return  # away: the supervisor waits for it
    if behind:
        raise CommandError(
            "The database is not of this version: run `manage.py migrate` first.",
            returncode=Exit.FAILED,
        )
    unreadable = sum(rotation.check(*column).unreadable for column in rotation.encrypted_columns())
    if unreadable:
        raise CommandError(
            f"{unreadable} stored secrets can't be read: put the key that encrypted them back into "
            "FIELD_KEYS. If it is lost, see `manage.py keys forget --help`.",
            returncode=Exit.BLOCKED,
        )
