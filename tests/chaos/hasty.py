"""`manage.py` with short waits, for the workers of a seed: what happens is the same, only sooner.

Told apart: a wait that the product only ever sits out (back-off, a breaker's pause, how long a
cluster must hang) is shortened; limits that decide who is right (leases, timeouts of requests,
attempts before a file is given up) are not.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random

HASTE = 8.0  # so many times shorter
ROOT = Path(__file__).resolve().parents[2]


def hurry() -> None:
    """Shorten the waits of this process."""
    import django

    from syncapp import pacing

    django.setup()
    from syncapp.engine import breakers, keeper, schedule

    usual_delay_s = pacing.call_delay_s

    def call_delay_s(failures: int, chance: Random) -> float:
        return usual_delay_s(failures, chance) / HASTE

    pacing.call_delay_s = call_delay_s
    for kind, (first, factor, most) in pacing._SCHEDULES.items():
        pacing._SCHEDULES[kind] = first / HASTE, factor, most / HASTE
    for module, name in (
        (breakers, "FIRST_PAUSE_S"),
        (breakers, "MOST_PAUSE_S"),
        (breakers, "TRY_S"),
        (keeper, "MOST_BACKOFF_S"),
        (schedule, "CARE_S"),
    ):
        setattr(module, name, getattr(module, name) / HASTE)
    keeper.HUNG_S /= 2


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backupproject.settings")
    hurry()  # before what imports the functions by name
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
