"""The cases: name → what it does. Each runs in a process of its own and writes one JSON result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cases import transfers

Result = dict[str, Any]
CASES: dict[str, Callable[[Path, float], Result]] = {
    "small-0ms": transfers.small_without_latency,
    "small-30ms": transfers.small_with_latency,
    "big": transfers.big,
    "mixed": transfers.mixed,
}
