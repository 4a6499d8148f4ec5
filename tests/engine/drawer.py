"""A process that takes from a shared limit as fast as it is let; prints how much it got."""

from __future__ import annotations

import sys
import time

import django


def main(key: str, ceiling: float, units: float, seconds: float) -> None:
    """`key` "k" is a limit of its own, "write:3" that of the destination 3."""
    from syncapp.engine.limits import Limit, writing
    from syncapp.errors import Interrupted

    until = time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() > until

    kind, _, pk = key.partition(":")
    limit = writing(int(pk), over) if pk else Limit(kind, lambda: ceiling, over)
    got = 0.0
    while not over():
        try:
            limit.take(units)
        except Interrupted:
            break
        got += units
    sys.stdout.write(str(got))


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1], *map(float, sys.argv[2:]))
