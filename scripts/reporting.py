"""How the scripts speak: short progress lines, and failures that are one line saying what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failure(Exception):
    """Something a person must act on; the message is the whole of what they read."""


def say(line: str) -> None:
    """One line of progress, at once."""
    print(line, flush=True)


def run_script(main: Callable[[], int]) -> None:
    """Run `main`; a Failure becomes one line and exit status 1, Ctrl-C no traceback."""
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
