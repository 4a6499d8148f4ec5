"""Rewrite the lower half of the requirements files: what the direct dependencies bring.

Upkeep only (`make pins`, needs the package index). The upper half of each file is edited by
hand: direct dependencies with exact versions. Below the mark goes what pip resolves for them in
a fresh environment, so that two installations never differ.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.install import SETS
from scripts.reporting import ROOT, Failure, run_script, say

MARK = "# --- What those bring (written by `make pins`)"


def main() -> int:
    """Pin every set, the smallest first, in one environment that grows."""
    # No options: what asks for help, or is mistyped, must not rewrite files.
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="pins-") as folder:
        venv.create(folder, with_pip=True, symlinks=True)
        python = Path(folder) / "bin" / "python"
        known: set[str] = set()
        for name in SETS:
            known |= pin(ROOT / name, python, known)
            say(f"{name}: {len(known)} packages")
    return 0


def pin(file: Path, python: Path, known: set[str]) -> set[str]:
    """Rewrite one file; the names that it adds to those `known` from smaller sets."""
    direct = file.read_text().split(MARK)[0].rstrip()
    lines = [line for line in direct.splitlines() if line and not line.startswith(("#", "-r"))]
    loose = [line for line in lines if "==" not in line]
    if loose:
        raise Failure(f"{file.name}: give an exact version: {', '.join(loose)}")
    pip(python, "install", "--quiet", *lines)
    named = known | {canonical(line) for line in lines}
    frozen = pip(python, "freeze").splitlines()
    brought = [line for line in frozen if canonical(line) not in named]
    file.write_text("\n".join([direct, "", MARK, *brought, ""]))
    return {canonical(line) for line in frozen}


def pip(python: Path, *arguments: str) -> str:
    """Run pip in the throw-away environment."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"pip: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def canonical(requirement: str) -> str:
    """A package's name as PyPI compares it (PEP 503)."""
    name = re.split(r"[\[=<>~; ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    run_script(main)
