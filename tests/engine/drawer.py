"""A process that draws from a shared pace as fast as it is let; prints how much it got."""

from __future__ import annotations

import sys
import time

import django


def main(key: str, ceiling: float, units: float, seconds: float) -> None:
    from syncapp.engine.limits import Limit
    from syncapp.errors import Interrupted

    limit = Limit(key, lambda: ceiling, lambda: time.monotonic() > until)
    got = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            limit.take(units)
        except Interrupted:
            break
        got += units
    sys.stdout.write(str(got))


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1], *map(float, sys.argv[2:]))
