"""The shape of the code, held: sizes, names, what lies at the top, nothing left for later.

Imports are held by import-linter (contracts in pyproject.toml), migrations and settings by
`make check`.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 400
FUNCTION_LINES = 50
# A module is named for what it does; these names say nothing.
EMPTY_NAMES = re.compile(r"^_?(utils?|helpers?|managers?|handlers?|misc|common|tools?)$")
TOP_LEVEL = {
    *(".ci", ".env.example", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    *("Makefile", "README.md", "accounts", "backupproject", "bench", "deploy", "docs", "emulator"),
    *("manage.py", "pyproject.toml", "requirements-demo.txt", "requirements-dev.txt"),
    *("requirements.txt", "scripts", "static", "syncapp", "templates", "tests"),
}
LEFT_FOR_LATER = re.compile(r"\b(TODO|FIXME|XXX)\b|NotImplementedError|\bpass  # (stub|later)")
DOCUMENTED = ("accounts", "backupproject", "emulator", "scripts", "syncapp")


def committed() -> list[str]:
    """Paths under version control, those about to be added included; none that are vendored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = (path for path in listed if (ROOT / path).is_file())
    return sorted(path for path in paths if not path.startswith("static/vendor/"))


def written_by_hand(*suffixes: str) -> list[str]:
    return [
        path for path in committed() if path.endswith(suffixes) and "/migrations/" not in f"/{path}"
    ]


def functions(path: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The names of positional parameters; what says "self" or "cls" is no parameter."""
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        path: len((ROOT / path).read_text().splitlines())
        for path in written_by_hand(".py", ".js", ".css", ".html", ".sh")
    }
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path in written_by_hand(".py")
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert long == []


def test_no_product_function_takes_more_than_five_positional_parameters() -> None:
    wide = [
        f"{path}:{node.lineno} {node.name}({', '.join(parameters(node))})"
        for path in written_by_hand(".py")
        if path.startswith(DOCUMENTED)
        for node in functions(path)
        if len(parameters(node)) > 5
    ]
    assert wide == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    paths = written_by_hand(".py", ".js")
    assert [path for path in paths if EMPTY_NAMES.match(Path(path).stem)] == []


def test_the_top_level_holds_what_the_architecture_names() -> None:
    assert {path.split("/")[0] for path in committed()} - TOP_LEVEL == set()


def test_nothing_is_left_for_later() -> None:
    here = Path(__file__).relative_to(ROOT).as_posix()
    left = [
        f"{path}:{number}: {line.strip()}"
        for path in written_by_hand(".py", ".js", ".css", ".html", ".sh")
        if path != here
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if LEFT_FOR_LATER.search(line)
    ]
    assert left == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path
        for path in written_by_hand(".py")
        if path.startswith(DOCUMENTED)
        and not ("/management/" in path and path.endswith("__init__.py"))  # Django's own shape
        and ast.get_docstring(ast.parse((ROOT / path).read_text())) is None
    ]
    assert silent == []


def swallows_anything(node: ast.ExceptHandler) -> bool:
    """Whether this `except` takes everything and does not raise it on."""
    broad = node.type is None or (
        isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
    )
    last = node.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


def test_what_nobody_foresaw_is_caught_in_one_place() -> None:
    places = [
        f"{path}:{node.lineno}"
        for path in written_by_hand(".py")
        if path.startswith(("accounts/", "backupproject/", "syncapp/"))
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.ExceptHandler) and swallows_anything(node)
    ]
    assert len(places) == 1, places
    assert places[0].startswith("syncapp/engine/dispatch.py:")


@pytest.mark.parametrize("name", ["manage.py", ".ci/run"])
def test_what_people_start_by_hand_is_executable(name: str) -> None:
    assert (ROOT / name).stat().st_mode & 0o100
