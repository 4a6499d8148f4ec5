"""`python -m bench [case …] [--scale 0.1]`: run cases, then write RESULTS.md of all results.

Without a case: all of them. `--scale` makes them smaller, for a quick look; such results are
marked. `--list` names the cases.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench import report, world

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run what was asked for, one process a case; the number of cases that failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--inside", metavar="CASE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return _inside(options.inside, options.scale)
    from bench.cases import CASES

    if options.list:
        print("\n".join(f"{name:16} {case.__doc__}" for name, case in CASES.items()))
        return 0
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; see --list")
    failed = [n for n in options.cases or CASES if not _run(n, options.scale)]
    report.write(RESULTS, Path(__file__).parent / "RESULTS.md")
    print(f"failed: {', '.join(failed)}" if failed else "bench/RESULTS.md is written")
    return len(failed)


def _run(name: str, scale: float) -> bool:
    print(f"{name} …", flush=True)
    command = [sys.executable, "-m", "bench", "--inside", name, "--scale", str(scale)]
    return subprocess.run(command).returncode == 0


def _inside(name: str, scale: float) -> int:
    """One case, in a world of its own; its result becomes a file."""
    world.enter()
    from bench.cases import CASES

    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        result = CASES[name](Path(folder), scale)
    result |= {
        "case": name,
        "scale": scale,
        "date": began.isoformat(timespec="seconds"),
        "python": platform.python_version(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(report.line(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
