"""Each requirements file brings what the code that it is for imports: no more luck than that."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from scripts.install import SETS
from scripts.pin import canonical

ROOT = Path(__file__).resolve().parents[2]
OURS = {"accounts", "backupproject", "bench", "emulator", "manage", "scripts", "syncapp", "tests"}
PRODUCT = ("accounts", "backupproject", "syncapp", "scripts")
DISTRIBUTIONS = packages_distributions()


def imported(*folders: str) -> dict[str, str]:
    """Third-party packages that the code imports outside of `if TYPE_CHECKING`, and where."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for name in _imports(ast.parse(path.read_text())):
                if name not in OURS and name not in sys.stdlib_module_names:
                    found[name] = path.relative_to(ROOT).as_posix()
    return found


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.split(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def pinned(name: str) -> set[str]:
    """The packages of a requirements file and of those that it includes."""
    lines = [
        line
        for part in SETS[: SETS.index(name) + 1]
        for line in (ROOT / part).read_text().splitlines()
    ]
    return {canonical(line) for line in lines if line and not line.startswith(("#", "-r"))}


def missing(found: dict[str, str], name: str) -> dict[str, str]:
    have = pinned(name)
    return {
        module: path
        for module, path in found.items()
        if not have & {canonical(dist) for dist in DISTRIBUTIONS.get(module, [])}
    }


def test_the_runtime_set_brings_what_the_product_imports() -> None:
    found = {m: p for m, p in imported(*PRODUCT).items() if not p.startswith("scripts/demo/")}

    assert "django" in found
    assert missing(found, "requirements.txt") == {}


def test_the_demo_set_brings_what_stand_in_and_demo_import() -> None:
    assert missing(imported(*PRODUCT, "emulator"), "requirements-demo.txt") == {}


@pytest.mark.parametrize("folder", ["tests", "bench"])
def test_the_development_set_brings_what_tests_import(folder: str) -> None:
    assert missing(imported(folder), "requirements-dev.txt") == {}


@pytest.mark.parametrize("word", ["--help", "--mistyped"])
def test_asking_for_help_rewrites_nothing(word: str) -> None:
    files = {ROOT / name: (ROOT / name).read_text() for name in SETS}
    command = [sys.executable, str(ROOT / "scripts" / "pin.py"), word]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert "usage:" in done.stdout + done.stderr
    assert files == {path: path.read_text() for path in files}
