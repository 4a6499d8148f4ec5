"""`python -m tests.chaos --seeds 100 [--first 1] [--files 5000]`: seed after seed, a line for each.

Even seeds on SQLite, odd ones on PostgreSQL. `--seed N` runs one again and keeps the workers' log.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

SEED_S = 900  # no seed takes as long


def main() -> int:
    """How many seeds ended badly."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--files", type=int, default=5000)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    began, bad = time.monotonic(), []
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    for seed in seeds:
        if not _run(seed, options.files):
            bad.append(seed)
    spent = time.monotonic() - began
    say(f"{len(seeds)} seeds in {spent:.0f} s: {len(bad)} bad {bad or ''}")
    return len(bad)


def _run(seed: int, files: int) -> bool:
    command = [sys.executable, "-m", "tests.chaos.seed", str(seed), "--files", str(files)]
    done = subprocess.run(
        [*command, "--keep"], capture_output=True, text=True, timeout=SEED_S, check=False
    )
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        say(f"seed {seed}: it broke: {done.stderr[-3000:]}")
        return False
    good = done.returncode == 0
    troubles, wrong = sum(told["troubles"].values()), sum(told["wrong_bytes"].values())
    details = {name: value for name, value in told.items() if name not in KNOWN}
    say(
        f"seed {seed:4} {told['database']:10} {told['seconds']:6.1f} s  {told['live']} live files, "
        f"{told['copies']} copies, {told['edits']} edits, {troubles} troubles, {wrong} wrong "
        f"answers, rounds {told['rounds']}: {'good' if good else f'BAD {json.dumps(details)}'}"
    )
    return good


def say(line: str) -> None:
    """A line at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


KNOWN = ("seed", "database", "seconds", "live", "copies", "edits", "rounds")

if __name__ == "__main__":
    sys.exit(main())
