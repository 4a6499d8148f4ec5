#!/usr/bin/env python
"""The command line of the application; a bad setting is one line, not a traceback."""

import gc
import os
import sys

YOUNG = 10_000  # objects; while a program loads, Python's own 700 make 300 collections of nothing


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
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
