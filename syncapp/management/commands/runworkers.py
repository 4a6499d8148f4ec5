"""`manage.py runworkers`: work on backups until told to stop. One per host.

SIGTERM or Ctrl-C drains: files in flight are finished (within --grace seconds), the rest waits
for the next start. kill -9 is safe as well.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from syncapp.engine import cluster
from syncapp.engine.supervisor import Supervisor


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
        sys.exit(cluster.run(grace) if options["cluster"] else Supervisor(grace).run())
