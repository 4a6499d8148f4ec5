#!/usr/bin/env python
"""The command line of the application; a bad setting is one line, not a traceback.

Output whose reader went away (`| head`) ends a command without a word, as it ends others.
"""

import gc
import os
import select
import sys
from typing import TextIO

YOUNG = 10_000  # objects; while a program loads, Python's own 700 make 300 collections of nothing
CUT_SHORT = 141  # what a shell tells of a program that SIGPIPE ended


def main() -> None:
    """Run a management command."""
    gc.set_threshold(YOUNG)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backupproject.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        from django.conf import settings

        settings.INSTALLED_APPS  # noqa: B018  (reads the environment now, to fail early)
    except ImproperlyConfigured as error:
        sys.exit(f"Refusing to start: {error}")
    try:
        try:
            execute_from_command_line(sys.argv)
        finally:
            for stream in _outputs():
                stream.flush()
    except BrokenPipeError:
        if not _cut_short():
            raise
        sys.exit(CUT_SHORT)


def _outputs() -> list[TextIO]:
    return [stream for stream in (sys.stdout, sys.stderr) if stream]


def _cut_short() -> bool:
    """Whether nobody reads the output any more; what is left of it then goes nowhere."""
    cut = False
    for stream in _outputs():
        reader = select.poll()
        reader.register(stream, 0)  # that it went away is told without being asked for
        if reader.poll(0):
            cut = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return cut


if __name__ == "__main__":
    main()
