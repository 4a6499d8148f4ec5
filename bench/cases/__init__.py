"""The cases: name → what it does. Each runs in a process of its own and writes one JSON result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cases import pages, profiles, recovery, restores, scaleout, scans, transfers

Result = dict[str, Any]
CASES: dict[str, Callable[[Path, float], Result]] = {
    "small-0ms": transfers.small_without_latency,
    "small-30ms": transfers.small_with_latency,
    "big": transfers.big,
    "capped": transfers.capped,
    "mixed": transfers.mixed,
    "scans-1k": scans.case(1_000),
    "scans-10k": scans.case(10_000),
    "scans-100k": scans.case(100_000, against=True),
    "scans-1M": scans.case(1_000_000, against=True),
    "scans-100k-postgres": scans.case(100_000, on_postgres=True),
    "scans-1M-postgres": scans.case(1_000_000, on_postgres=True, against=True),
    "pages": pages.case(),
    "pages-postgres": pages.case(on_postgres=True),
    "recovery": recovery.case(),
    "recovery-postgres": recovery.case(on_postgres=True),
    "restore-small-0ms": restores.case(5000, 10_240, 0, restores.IN_FLIGHT),
    "restore-small-30ms": restores.case(5000, 10_240, 30, restores.IN_FLIGHT),
    "restore-big-0ms": restores.case(2, 1024**3, 0, restores.BIG_IN_FLIGHT),
    "restore-big-30ms": restores.case(2, 1024**3, 30, restores.BIG_IN_FLIGHT),
    "hosts": scaleout.hosts,
    "profile-small": profiles.case(5000, 10_240, transfers.IN_FLIGHT),
    "profile-big": profiles.case(4, 1024**3, transfers.BIG_IN_FLIGHT),
}
